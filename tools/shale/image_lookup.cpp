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

StoredImage load(store::Store& store, std::optional<oci::Reference> name,
                 const oci::Descriptor& descriptor) {
    StoredImage image{std::move(name), descriptor, store.manifest(descriptor), {}};
    image.config = store.config(image.manifest);
    return image;
}

// Appends the image if its ID begins with `digits`.
void append_if_matching(store::Store& store, std::string_view digits,
                        const std::optional<oci::Reference>& name,
                        const oci::Descriptor& descriptor, std::vector<StoredImage>& found) {
    try {
        const auto manifest = store.manifest(descriptor);
        if (manifest.config.digest.hex().starts_with(digits))
            found.push_back(load(store, name, descriptor));
    } catch (const Error& error) {  // a broken image must not hide the others
        log(LogLevel::Debug,
            (name ? name->familiar() : descriptor.digest.str()) + ": " + error.what());
    }
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

std::vector<StoredImage> images_with_id(store::Store& store, std::string_view text) {
    auto digits = text;
    if (digits.starts_with("sha256:")) digits.remove_prefix(7);
    std::vector<StoredImage> found;
    if (digits.size() < kFewestIdDigits ||
        digits.find_first_not_of(kHexDigits) != std::string_view::npos)
        return found;
    for (const auto& record : store.images())
        append_if_matching(store, digits, record.name, record.manifest, found);
    for (const auto& descriptor : store.unnamed())
        append_if_matching(store, digits, std::nullopt, descriptor, found);
    for (const auto& image : found)
        if (image.manifest.config.digest != found.front().manifest.config.digest)
            fail(ErrorKind::Invalid,
                 "image ID " + std::string(text) + " is ambiguous; give more digits");
    return found;
}

std::optional<StoredImage> find_image(store::Store& store, std::string_view text) {
    const auto name = parse_reference(text);
    if (name)
        if (const auto descriptor = store.resolve(*name)) return load(store, *name, *descriptor);
    auto found = images_with_id(store, text);
    if (!found.empty()) return std::move(found.front());
    if (!name) oci::Reference::parse(text);  // throws what is wrong with it
    return std::nullopt;
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
    if (auto image = find_image(store, text)) {
        if (has_all_layers(store, image->manifest)) return std::move(*image);
        const auto by_name = parse_reference(text);
        if (!by_name || !store.resolve(*by_name))
            fail(ErrorKind::NotFound,
                 "image " + std::string(text) + " lacks layers; " +
                     (image->name ? "`shale pull " + image->name->familiar() + "` fetches them"
                                  : "it has no name to pull it by, build it again"));
    }
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
