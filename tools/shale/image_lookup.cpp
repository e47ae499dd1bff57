#include "image_lookup.hpp"

#include "console.hpp"
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

StoredImage load(store::Store& store, const oci::Reference& name,
                 const oci::Descriptor& descriptor) {
    StoredImage image{name, descriptor, store.manifest(descriptor), {}};
    image.config = store.config(image.manifest);
    return image;
}

std::optional<StoredImage> find_by_id(store::Store& store, std::string_view text) {
    if (text.starts_with("sha256:")) text.remove_prefix(7);
    if (text.size() < kFewestIdDigits ||
        text.find_first_not_of(kHexDigits) != std::string_view::npos)
        return std::nullopt;
    std::optional<StoredImage> found;
    for (const auto& record : store.images()) {
        const auto manifest = store.manifest(record.manifest);
        if (!manifest.config.digest.hex().starts_with(text)) continue;
        if (found && found->manifest.config.digest != manifest.config.digest)
            fail(ErrorKind::Invalid,
                 "image ID " + std::string(text) + " is ambiguous; give more digits");
        if (!found) found = load(store, record.name, record.manifest);
    }
    return found;
}

std::optional<oci::Reference> parse_reference(std::string_view text) {
    try {
        return oci::Reference::parse(text);
    } catch (const Error& error) {
        // An image ID is an answer too, so a malformed name is not yet a failure.
        if (error.kind() != ErrorKind::Invalid && error.kind() != ErrorKind::Unsupported) throw;
        return std::nullopt;
    }
}

}  // namespace

std::optional<StoredImage> find_image(store::Store& store, std::string_view text) {
    const auto name = parse_reference(text);
    if (name)
        if (const auto descriptor = store.resolve(*name)) return load(store, *name, *descriptor);
    auto found = find_by_id(store, text);
    if (!found && !name) oci::Reference::parse(text);  // throws what is wrong with it
    return found;
}

StoredImage require_image(store::Store& store, std::string_view text) {
    auto image = find_image(store, text);
    if (!image)
        fail(ErrorKind::NotFound, "no image \"" + std::string(text) +
                                      "\" in the store; `shale pull " + std::string(text) +
                                      "` fetches it from its registry");
    return std::move(*image);
}

StoredImage obtain_image(Workspace& workspace, std::string_view text) {
    auto& store = workspace.store();
    if (auto image = find_image(store, text); image && has_all_layers(store, image->manifest))
        return std::move(*image);
    print_note(std::string(text) + " is not in the store, pulling it");
    const auto name = oci::Reference::parse(text);
    const auto display = make_display(ProgressMode::Auto, "Pulling");
    build::Tracker tracker(*display);
    workspace.images().pull(name, oci::Platform::host(), tracker);
    display->close();
    return require_image(store, text);
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
    if (!has_all_layers(store, image.manifest)) return std::nullopt;
    const auto merged = store.image_tree(image.manifest, image.config);
    std::uint64_t total = 0;
    std::set<std::uint64_t> groups_seen;
    for (snapshot::NodeId node = 0; node < merged.tree->size(); ++node) {
        const auto entry = merged.tree->entry(node);
        if (entry.type != FileType::Regular) continue;
        if (entry.link_group == 0 || groups_seen.insert(entry.link_group).second)
            total += entry.size;
    }
    return total;
}

}  // namespace shale::cli
