#include "writable_mount.hpp"

#include "mount_table.hpp"

#include <shale/build.hpp>
#include <shale/diff.hpp>

#include <algorithm>
#include <filesystem>

namespace shale::cli {

std::optional<WritableMount> find_writable_mount(Workspace& workspace,
                                                 const std::string& directory) {
    if (!path_exists(directory)) return std::nullopt;
    const auto target = mount_path(directory);
    const auto root = std::filesystem::absolute(workspace.root()).lexically_normal().string();
    const auto mounts = shale_mounts(root);
    const auto topmost = std::find_if(mounts.rbegin(), mounts.rend(),
                                      [&](const MountRow& row) { return row.target == target; });
    if (topmost == mounts.rend()) return std::nullopt;
    // Whether its process lives makes no difference: image and upper are there.
    const auto& record = topmost->record;
    if (!record || record->upper.empty() || record->root != root) return std::nullopt;
    oci::Descriptor manifest;
    manifest.digest = Digest::parse(record->manifest);
    return in_context(
        [&] { return "the image of " + target; },
        [&]() -> std::optional<WritableMount> {
            // Of docker:// neither documents nor layers need be here.
            const auto refuse = [&] {
                const auto scheme = record->reference.find("://");
                fail(ErrorKind::NotFound,
                     "it is not in the store, all of it; `shale pull " +
                         record->reference.substr(scheme == std::string::npos ? 0 : scheme + 3) +
                         "` brings it there");
            };
            if (!workspace.store().has_blob(manifest.digest)) refuse();
            auto image = load_image(workspace.store(), std::nullopt, manifest, std::nullopt);
            if (!has_all_layers(workspace.store(), image.manifest)) refuse();
            return WritableMount{*record, image_argument(workspace, std::move(image))};
        });
}

TreeArgument tree_in(const WritableMount& mount) {
    const auto base = mount.base.tree;
    TreeArgument out;
    out.tree = std::make_shared<const snapshot::Tree>(diff::merge_upper(
        *base, mount.record.upper, diff::Times::WholeSeconds, build::WritableRoot::marks()));
    out.open = [base, of_base = mount.base.open,
                of_upper = layer::content_from_directory(mount.record.upper)](
                   std::string_view path, const snapshot::Entry& entry) {
        const auto node = base->find(path);
        const bool is_unchanged =
            node != snapshot::kNoNode && base->entry(node).content == entry.content;
        return is_unchanged ? of_base(path, entry) : of_upper(path, entry);
    };
    return out;
}

}  // namespace shale::cli
