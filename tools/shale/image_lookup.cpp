#include "image_lookup.hpp"

#include "console.hpp"
#include "lazy_image.hpp"
#include "progress.hpp"

#include <shale/base.hpp>
#include <shale/build.hpp>

#include <algorithm>
#include <charconv>
#include <set>

namespace shale::cli {

namespace {

constexpr std::size_t kFewestIdDigits = 4;
constexpr std::string_view kHexDigits = "0123456789abcdef";

// Deeper than any index that somebody made on purpose.
constexpr int kMaxIndexDepth = 3;

// Documents that may be an index.
struct Document {
    oci::Descriptor descriptor;
    std::optional<oci::Index> index;
};

Document read_manifest(store::Store& store, const oci::Descriptor& descriptor) {
    const auto json = store.read_document(descriptor.digest, oci::kMaxManifestBytes);
    Document out{descriptor, std::nullopt};
    if (oci::is_index(json)) out.index = oci::decode_index(json);
    return out;
}

// Images, not attestations: those are never what select_platform() gives.
std::vector<oci::Descriptor> children(const oci::Index& index) {
    std::vector<oci::Descriptor> out;
    for (const auto& child : index.manifests) {
        const auto platform = child.platform.value_or(oci::Platform::host());
        const auto selected = oci::select_platform(index, platform);
        if (selected && selected->digest == child.digest) out.push_back(child);
    }
    return out;
}

StoredImage load_manifest(store::Store& store, const std::optional<oci::Reference>& name,
                          const oci::Descriptor& descriptor) {
    StoredImage image{name, descriptor, store.manifest(descriptor), {}};
    image.config = store.config(image.manifest);
    return image;
}

void set_index(StoredImage& image, const Document& document) {
    image.index = document.descriptor;
    for (const auto& child : children(*document.index))
        image.platforms.push_back(child.platform.value_or(oci::Platform{}));
}

std::string listed(const std::vector<oci::Platform>& platforms) {
    std::string text;
    for (const auto& platform : platforms)
        text += (text.empty() ? "" : ", ") + platform.normalized().str();
    return text;
}

std::string what_it_is(const std::optional<oci::Reference>& name,
                       const oci::Descriptor& descriptor) {
    return name ? name->familiar() : descriptor.digest.str();
}

bool fits(const oci::Platform& image, const oci::Platform& wanted) {
    const auto has = image.normalized(), needs = wanted.normalized();
    return has.os == needs.os && has.architecture == needs.architecture &&
           (has.variant.empty() || needs.variant.empty() || has.variant == needs.variant);
}

// An image that was asked for by platform and is for another is not the one asked for.
void require_platform(const StoredImage& image, const PlatformChoice& platform) {
    if (!platform || fits(image.config.platform, *platform)) return;
    const auto has = image.config.platform.normalized().str();
    fail(ErrorKind::NotFound,
         shown_name(image) + " in the store is for " + has + ", not for " + platform->str());
}

// An image that was found, and by which of its digests.
struct Match {
    StoredImage image;
    Digest by;
};

// Appends those whose ID or digest begins with `digits`.
void append_if_matching(store::Store& store, std::string_view digits,
                        const std::optional<oci::Reference>& name,
                        const oci::Descriptor& descriptor, std::vector<Match>& found) {
    try {
        for (auto& image : images_of(store, name, descriptor)) {
            const auto& id = image.manifest.config.digest;
            if (image.index && image.index->digest.hex().starts_with(digits))
                found.push_back({image, image.index->digest});
            else if (id.hex().starts_with(digits) ||
                     image.descriptor.digest.hex().starts_with(digits))
                found.push_back({image, id});
        }
    } catch (const Error& error) {  // a broken image must not hide the others
        log(LogLevel::Debug, what_it_is(name, descriptor) + ": " + error.what());
    }
}

StoredImage imported_image(Workspace& workspace, const std::string& text,
                           const PlatformChoice& platform) {
    auto& store = workspace.store();
    const auto imported =
        build::import_image(text, platform.value_or(oci::Platform::host()), store);
    StoredImage image{std::nullopt, imported.image.descriptor, imported.image.manifest,
                      imported.image.config};
    if (imported.root.digest != image.descriptor.digest)
        set_index(image, read_manifest(store, imported.root));
    require_platform(image, platform);
    return image;
}

}  // namespace

std::optional<oci::Reference> parse_reference(std::string_view text) {
    try {
        return oci::Reference::parse(text);
    } catch (const Error& error) {
        // An image ID is an answer too, so a malformed name is not yet a failure.
        if (error.kind() != ErrorKind::Invalid && error.kind() != ErrorKind::Unsupported) throw;
        return std::nullopt;
    }
}

std::string shown_name(const StoredImage& image) {
    return image.name ? image.name->familiar() : image.manifest.config.digest.short_hex();
}

StoredImage load_image(store::Store& store, const std::optional<oci::Reference>& name,
                       const oci::Descriptor& descriptor, const PlatformChoice& platform) {
    auto document = read_manifest(store, descriptor);
    if (!document.index) {
        auto image = load_manifest(store, name, descriptor);
        require_platform(image, platform);
        return image;
    }
    const auto wanted = platform.value_or(oci::Platform::host());
    const auto top = document;
    for (int depth = 0; document.index; ++depth) {
        const auto chosen = oci::select_platform(*document.index, wanted);
        if (!chosen || depth == kMaxIndexDepth) {
            StoredImage image;
            set_index(image, top);
            fail(ErrorKind::NotFound, what_it_is(name, descriptor) + " has no image for " +
                                          wanted.str() + "; --platform chooses one of " +
                                          listed(image.platforms));
        }
        document = read_manifest(store, *chosen);
    }
    auto image = load_manifest(store, name, document.descriptor);
    set_index(image, top);
    return image;
}

std::vector<StoredImage> images_of(store::Store& store, const std::optional<oci::Reference>& name,
                                   const oci::Descriptor& descriptor) {
    const auto document = read_manifest(store, descriptor);
    if (!document.index) return {load_manifest(store, name, descriptor)};
    std::vector<StoredImage> images;
    for (const auto& child : children(*document.index)) {
        if (!store.has_blob(child.digest)) continue;  // an index may list more than was pulled
        images.push_back(load_manifest(store, name, child));
        set_index(images.back(), document);
    }
    return images;
}

std::vector<StoredImage> images_with_id(store::Store& store, std::string_view text) {
    auto digits = text;
    if (digits.starts_with("sha256:")) digits.remove_prefix(7);
    std::vector<Match> found;
    if (digits.size() < kFewestIdDigits ||
        digits.find_first_not_of(kHexDigits) != std::string_view::npos)
        return {};
    for (const auto& record : store.images())
        append_if_matching(store, digits, record.name, record.manifest, found);
    for (const auto& descriptor : store.unnamed())
        append_if_matching(store, digits, std::nullopt, descriptor, found);
    std::vector<StoredImage> images;
    for (auto& match : found) {
        if (match.by != found.front().by)
            fail(ErrorKind::Invalid,
                 "image ID " + std::string(text) + " is ambiguous; give more digits");
        images.push_back(std::move(match.image));
    }
    return images;
}

std::optional<StoredImage> find_image(store::Store& store, std::string_view text,
                                      const PlatformChoice& platform) {
    const auto name = parse_reference(text);
    if (name)
        if (const auto descriptor = store.resolve(*name))
            return load_image(store, *name, *descriptor, platform);
    auto found = images_with_id(store, text);
    if (!found.empty()) {
        auto& first = found.front();
        // The digest of the index leaves the choice open.
        const auto digits = text.substr(text.starts_with("sha256:") ? 7 : 0);
        if (first.index && first.index->digest.hex().starts_with(digits))
            return load_image(store, first.name, *first.index, platform);
        require_platform(first, platform);
        first.platforms.clear();  // its own ID has chosen
        return std::move(first);
    }
    if (!name) oci::Reference::parse(text);  // throws what is wrong with it
    return std::nullopt;
}

StoredImage require_image(store::Store& store, std::string_view text,
                          const PlatformChoice& platform) {
    auto image = find_image(store, text, platform);
    if (!image)
        fail(ErrorKind::NotFound, "no image \"" + std::string(text) +
                                      "\" in the store; `shale pull " + std::string(text) +
                                      "` fetches it from its registry");
    return std::move(*image);
}

StoredImage obtain_image(Workspace& workspace, const std::string& text,
                         const PlatformChoice& platform) {
    if (build::is_image_place(text)) return imported_image(workspace, text, platform);
    if (text.starts_with(kRegistryPrefix))  // pulled here like a name without it
        return obtain_image(workspace, text.substr(kRegistryPrefix.size()), platform);
    auto& store = workspace.store();
    if (auto image = find_image(store, text, platform)) {
        if (has_all_layers(store, image->manifest)) return std::move(*image);
        const auto by_name = parse_reference(text);
        if (!by_name || !store.resolve(*by_name))
            fail(ErrorKind::NotFound,
                 "image " + text + " lacks layers; " +
                     (image->name ? "`shale pull " + image->name->familiar() + "` fetches them"
                                  : "it has no name to pull it by, build it again"));
    }
    print_note(text + " is not in the store, pulling it" +
               (text.starts_with("build:")
                    ? "; a build is called last, ^N, or by its ID in `shale builds`"
                    : ""));
    const auto name = oci::Reference::parse(text);
    const auto display = make_display(ProgressMode::Auto, "Pulling");
    build::Tracker tracker(*display);
    workspace.images().pull(name, platform.value_or(oci::Platform::host()), tracker);
    display->close();
    return require_image(store, text, platform);
}

StoredImage described_image(Workspace& workspace, const std::string& text,
                            const PlatformChoice& platform) {
    if (build::is_image_place(text)) return imported_image(workspace, text, platform);
    if (!text.starts_with(kRegistryPrefix)) return require_image(workspace.store(), text, platform);
    const auto name = oci::Reference::parse(text.substr(kRegistryPrefix.size()));
    auto found = workspace.images().resolve(name, platform.value_or(oci::Platform::host()), true);
    return {name, found.descriptor, std::move(found.manifest), std::move(found.config)};
}

void announce_platform(const StoredImage& image, const PlatformChoice& platform) {
    if (!platform && image.platforms.size() > 1)
        print_note(shown_name(image) + " is for " + listed(image.platforms) + "; taking " +
                   image.config.platform.normalized().str() + " (--platform chooses)");
}

void add_platform_flag(CLI::App& app, std::string& into) {
    add_value(app, "--platform", into, "PLATFORM",
              "Of an index, take the image for this platform (default: this machine's)");
}

PlatformChoice chosen_platform(const std::string& flag) {
    if (flag.empty()) return std::nullopt;
    return oci::Platform::parse(flag);
}

bool has_all_layers(store::Store& store, const oci::Manifest& manifest) {
    return std::all_of(manifest.layers.begin(), manifest.layers.end(),
                       [&](const oci::Descriptor& layer) { return store.has_blob(layer.digest); });
}

std::uint64_t compressed_bytes(const oci::Manifest& manifest) {
    std::uint64_t total = 0;
    for (const auto& layer : manifest.layers)
        total += layer.size;
    return total;
}

std::optional<std::uint64_t> unpacked_bytes(store::Store& store, const StoredImage& image) {
    const auto noted =
        image.descriptor.annotations.find(std::string(build::kAnnotationUnpackedBytes));
    if (noted != image.descriptor.annotations.end()) {
        std::uint64_t bytes = 0;
        const auto& text = noted->second;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bytes);
        if (error == std::errc() && end == text.data() + text.size()) return bytes;
    }
    const auto tree = store.known_tree(image.config);
    if (!tree) return std::nullopt;
    std::uint64_t total = 0;
    std::set<std::uint64_t> groups_seen;
    for (snapshot::NodeId node = 0; node < tree->size(); ++node) {
        const auto entry = tree->entry(node);
        if (entry.type != FileType::Regular) continue;
        if (entry.link_group == 0 || groups_seen.insert(entry.link_group).second)
            total += entry.size;
    }
    return total;
}

}  // namespace shale::cli
