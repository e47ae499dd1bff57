// shale layer: the difference of two trees as an OCI layer blob.
#include "cache_records.hpp"
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "json_text.hpp"
#include "layer_output.hpp"
#include "tree_argument.hpp"

#include <shale/base.hpp>
#include <shale/diff.hpp>
#include <shale/layer_form.hpp>
#include <shale/oci.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <memory>
#include <optional>

namespace shale::cli {

namespace {

struct Flags {
    std::string before, after, output, content, memory, compression = "zstd";
    std::optional<int> level;
    bool json = false;
};

// A snapshot says what the files are but not what is in them. That is enough for a layer without
// file contents (metadata, links, removals, empty files) and for nothing else.
void require_content(const Flags& flags, const std::vector<diff::Change>& changes,
                     const snapshot::Tree& after) {
    for (const auto& change : changes) {
        if (change.after == snapshot::kNoNode) continue;
        const auto entry = after.entry(change.after);
        if (entry.type != FileType::Regular || entry.size == 0) continue;
        fail(ErrorKind::Invalid,
             flags.after +
                 " is a snapshot, which holds no file contents, and the layer needs those "
                 "of /" +
                 change.path(after) + "; give the directory with --content DIR");
    }
}

std::string summary(const layer::Formed& blob, layer::Form form, std::size_t changes, bool json) {
    if (json) {
        nlohmann::ordered_json value = {
            {"mediaType", oci::layer_media_type(layer::compression_of(form))},
            {"digest", blob.blob.str()},
            {"size", blob.blob_bytes},
            {"diffId", blob.diff_id.str()},
            {"tarSize", blob.tar_bytes},
            {"changes", changes}};
        if (!blob.annotations.empty()) value["annotations"] = blob.annotations;
        return json_text(value);
    }
    return fmt::format(
        "digest   {}\ndiff-id  {}\nsize     {} ({})\ntar      {} ({})\nchanges  {}\n",
        blob.blob.str(), blob.diff_id.str(), blob.blob_bytes, format_size(blob.blob_bytes),
        blob.tar_bytes, format_size(blob.tar_bytes), changes);
}

int run(const Flags& flags, Workspace& workspace) {
    const auto before = open_tree_argument(workspace, flags.before);
    auto after = open_tree_argument(workspace, flags.after);
    if (!flags.content.empty()) after.open = layer::content_from_directory(flags.content);
    const auto changes = diff::compare(*before.tree, *after.tree);
    if (!after.open) {
        require_content(flags, changes, *after.tree);
        after.open = [](std::string_view, const snapshot::Entry&) -> codec::Source {
            return [](MutableBytes) -> std::size_t { return 0; };
        };
    }
    layer::FormOptions options;
    options.form = layer::parse_form(flags.compression);
    options.level = flags.level;
    if (!flags.memory.empty()) options.memory_bytes = parse_size_flag("--memory", flags.memory);
    OutputFile output(flags.output);
    const auto blob = write_layer_blob(changes, *after.tree, after.open, options,
                                       [&](Bytes bytes) { output.write(bytes); });
    output.commit();
    const auto text = summary(blob, options.form, changes.size(), flags.json);
    if (!output.is_stdout()) print_result(text);
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    required(add_argument(app, "A", flags->before,
                          "The tree below: directory, snapshot, image or scratch"));
    required(
        add_argument(app, "B", flags->after, "The tree to reach: directory, image, or snapshot"));
    required(add_value(app, "-o,--output", flags->output, "FILE",
                       "Where to write the blob; - is standard output"));
    add_value(app, "--compression", flags->compression, kFormChoices,
              "Compression of the blob (default zstd)");
    add_number(app, "--level", flags->level,
               "Compression level: zstd -7 to 22 (default 3), gzip 0 to 9 (default 6)");
    add_value(
        app, "--memory", flags->memory, "BYTES",
        "What the writer may work with (default 256m); where it is short, fewer compress at a "
        "time");
    add_value(app, "--content", flags->content, "DIR",
              "Read file contents below DIR, when B is a snapshot of it");
    add_switch(app, "--json", flags->json, "Print digests and sizes as JSON");
    return [flags](Workspace& workspace) { return run(*flags, workspace); };
}

}  // namespace

const Command& layer_command() {
    static const Command command = {
        .name = "layer",
        .group = "Engine alone",
        .summary = "Write the layer that turns tree A into tree B",
        .usage = "[OPTIONS] A B -o FILE",
        .details = "Writes an OCI image layer: a tar stream with whiteouts for what was removed. "
                   "With zstd the stream is cut into independent frames with a table of contents, "
                   "which any reader of zstd layers ignores and a mount reads lazily. "
                   "zstd-plain is one stream without; zstd:chunked is what podman pulls in parts, "
                   "estargz and zstd:stargz are what stargz-snapshotter mounts, if the descriptor "
                   "of the layer carries the annotations that --json prints.\n\n"
                   "Prints the digest of the blob and the DiffID of its tar stream. The same trees "
                   "give the same bytes on every machine.",
        .examples = {{"shale layer scratch rootfs -o base.tar.zst", "A base layer"},
                     {"shale layer old new -o delta.tar.gz --compression gzip",
                      "The change, for a registry that knows only gzip"},
                     {"shale apply delta.tar.gz copy-of-old", "The same change, applied"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
