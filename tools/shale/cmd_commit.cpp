// shale commit: what was written to a writable mount, as a layer of a new image.
//
// The mount goes on meanwhile. A file that changes while it is read fails the commit, because its
// bytes are not those that were hashed.
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "tree_server.hpp"
#include "writable_mount.hpp"

#include <shale/build.hpp>
#include <shale/build_history.hpp>
#include <shale/build_record.hpp>
#include <shale/codec.hpp>
#include <shale/diff.hpp>
#include <shale/dockerfile.hpp>
#include <shale/layer_form.hpp>

#include <memory>
#include <variant>
#include <vector>

namespace shale::cli {

namespace {

struct Flags {
    std::string directory, reference, message, author;
    std::vector<std::string> changes;
};

// What docker commit takes: instructions that say how to run the image, not what is in it.
template <typename... Allowed>
bool is_one_of(const dockerfile::InstructionValue& value) {
    return (std::holds_alternative<Allowed>(value) || ...);
}

std::string change_text(const Flags& flags) {
    std::string text;
    for (const auto& change : flags.changes)
        text += change + "\n";
    const auto parsed = dockerfile::parse("FROM scratch\n" + text, "--change");
    for (const auto& diagnostic : parsed.diagnostics)
        if (diagnostic.severity == dockerfile::Severity::Error)
            fail(ErrorKind::Invalid, "--change: " + diagnostic.text);
    if (parsed.file.stages.size() != 1) fail(ErrorKind::Invalid, "--change: FROM is not possible");
    using namespace dockerfile;
    for (const auto& instruction : parsed.file.stages.front().instructions)
        if (!is_one_of<Cmd, Entrypoint, Env, Expose, Healthcheck, Label, Onbuild, StopSignal, User,
                       Volume, Workdir>(instruction.value))
            fail(ErrorKind::Invalid, "--change: " + instruction.keyword + " is not possible");
    return text;
}

oci::Descriptor put_document(store::Store& store, const std::string& json,
                             std::string_view media_type) {
    oci::Descriptor out;
    out.media_type = media_type;
    out.digest = store.put_blob(as_bytes(json));
    out.size = json.size();
    return out;
}

struct NewLayer {
    oci::Descriptor descriptor;
    Digest diff_id;
};

// Nothing if nothing was written.
std::optional<NewLayer> write_changes(store::Store& store, const WritableMount& mount) {
    const auto after = tree_in(mount);
    const auto changes = diff::compare(*mount.base.tree, *after.tree);
    if (changes.empty()) return std::nullopt;
    auto writer = store.new_blob(store::Store::Hashing::ByCaller);
    const auto written = layer::write_layer(changes, *after.tree, after.open, {},
                                            [&](Bytes bytes) { writer.write(bytes); });
    NewLayer layer;
    layer.diff_id = written.diff_id;
    layer.descriptor.media_type = oci::media::kLayerZstd;
    layer.descriptor.digest = writer.commit(written.blob);
    layer.descriptor.size = written.blob_bytes;
    // So that docker://REF can be read in parts once the image is pushed.
    layer::vouch_for_toc(store, layer.descriptor);
    return layer;
}

// The image below with the layer on top, as documents of the store.
oci::Descriptor put_image(store::Store& store, const StoredImage& below,
                          const std::optional<NewLayer>& layer, const Flags& flags) {
    auto config = below.config;
    auto manifest = below.manifest;
    oci::History step;
    step.created_ns = system_clock().now_ns();
    step.created_by = "shale commit";
    step.author = flags.author;
    step.comment = flags.message;
    step.empty_layer = !layer;
    if (layer) {
        config.diff_ids.push_back(layer->diff_id);
        manifest.layers.push_back(layer->descriptor);
    }
    config.created_ns = step.created_ns;
    if (!flags.author.empty()) config.author = flags.author;
    config.history.push_back(std::move(step));
    // A manifest of Docker's may hold Docker's layers only.
    manifest.media_type = oci::media::kManifest;
    for (auto& each : manifest.layers)
        if (const auto compression = oci::layer_compression(each.media_type))
            each.media_type = oci::layer_media_type(*compression);
    manifest.annotations.clear();  // they were about the image below
    manifest.config = put_document(store, oci::encode(config), oci::media::kConfig);
    auto descriptor = put_document(store, oci::encode(manifest), oci::media::kManifest);
    descriptor.platform = config.platform;
    return descriptor;
}

// A build of nothing but these instructions, on an image that has no name: the store is a layout,
// and a layout's images go by their digests. The name is given when all of it is there.
void apply_changes(const oci::Reference& name, const oci::Descriptor& below,
                   const std::string& text, Workspace& workspace) {
    constexpr std::string_view kBelow = "committed";
    const TempDir nothing(TempDir::default_parent(), "shale-commit-");
    build::Request request;
    request.context = nothing.path();
    request.dockerfile_text = "FROM " + std::string(kBelow) + "\n" + text;
    request.build_contexts = {{std::string(kBelow), "oci-layout://" + workspace.store().root() +
                                                        "/@" + below.digest.str()}};
    request.tags = {name};
    request.platforms = {below.platform->normalized()};
    const auto progress = build::silent_progress();
    FuseMounter mounter;
    build::Services services{workspace.store(), workspace.images(), mounter,
                             [&]() -> sandbox::Runtime& { return workspace.runtime(); }, *progress};
    // A build by means only; what people look back at are their own.
    std::string record;
    services.on_record = [&](const build::BuildRecord& made) { record = made.id; };
    const auto forget = [&] {
        if (!record.empty()) store::BuildHistory(workspace.store()).forget(record);
    };
    try {
        build::build(request, services, workspace.stop());
    } catch (...) {
        forget();
        throw;
    }
    forget();
}

int run(const Flags& flags, Workspace& workspace) {
    const auto name = oci::Reference::parse(flags.reference);
    if (name.digest)
        fail(ErrorKind::Invalid, "a name with a digest cannot be given: " + flags.reference);
    const auto text = change_text(flags);
    const auto mount = find_writable_mount(workspace, flags.directory);
    if (!mount)
        fail(ErrorKind::Invalid, flags.directory + " is no writable mount of this store; `shale "
                                                   "mount --rw` makes one");
    // They would run, and be gone from the result: --change is a build on the image.
    if (!text.empty() && !mount->base.image->config.config.onbuild.empty())
        fail(ErrorKind::Unsupported, "the image has ONBUILD triggers; commit without --change");
    auto& store = workspace.store();
    const auto layer = write_changes(store, *mount);
    const auto image = put_image(store, *mount->base.image, layer, flags);
    if (text.empty())
        store.tag(name, image);
    else
        apply_changes(name, image, text, workspace);
    print_result(require_image(store, name.str()).manifest.config.digest.str() + "\n");
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    required(add_argument(app, "DIR", flags->directory, "Where shale mount --rw mounted an image"));
    required(add_argument(app, "REF", flags->reference, "The name to give; moved if it exists"));
    add_value(app, "-m,--message", flags->message, "TEXT", "Comment of the new step");
    add_value(app, "-a,--author", flags->author, "TEXT", "Author of the new image");
    add_values(app, "-c,--change", flags->changes, "INSTRUCTION",
               "Dockerfile instruction to apply, such as 'CMD [\"sh\"]' (may be repeated)");
    return [flags](Workspace& workspace) { return run(*flags, workspace); };
}

}  // namespace

const Command& commit_command() {
    static const Command command = {
        .name = "commit",
        .group = "Look inside",
        .summary = "Make an image of what was written to a mount",
        .usage = "[OPTIONS] DIR REF",
        .details =
            "The files that were added, changed and deleted below DIR since `shale mount --rw` "
            "become one layer on top of the image that was mounted. DIR stays mounted and as it "
            "is; a later commit again has all changes. If the process that served it was killed, "
            "its files can still be committed until `shale umount`. --change takes CMD, "
            "ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and "
            "WORKDIR.\n\n"
            "Prints the ID of the new image. `shale diff REF DIR` shows the changes before.",
        .examples = {{"shale commit /mnt app:patched -m 'fix the port'", "Keep the changes"},
                     {"shale commit -c 'CMD [\"app\", \"--debug\"]' /mnt app:debug",
                      "And run it otherwise"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
