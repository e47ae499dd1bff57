#include "tree_argument.hpp"

#include "build_reference.hpp"
#include "layer_views.hpp"
#include "lazy_image.hpp"
#include "tar_argument.hpp"
#include "writable_mount.hpp"

#include <shale/base.hpp>
#include <shale/snapshot_file.hpp>

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <mutex>

namespace shale::cli {

namespace {

TreeArgument empty_tree() {
    auto tree = std::make_shared<const snapshot::Tree>(snapshot::TreeBuilder().finish());
    return {std::move(tree), [](std::string_view path, const snapshot::Entry&) -> codec::Source {
                fail(ErrorKind::NotFound, "the empty tree has no file " + std::string(path));
            }};
}

TreeArgument scan_directory(const std::string& path) {
    auto tree = std::make_shared<const snapshot::Tree>(snapshot::scan(path));
    return {std::move(tree), layer::content_from_directory(path)};
}

// Names, sizes and digests without the bytes: all that a snapshot file has.
TreeArgument open_snapshot(const std::string& path) {
    auto tree = in_context(
        [&] { return path + ": not a readable snapshot, and no tar file"; },
        [&] { return std::make_shared<const snapshot::Tree>(snapshot::open_tree(path)); });
    TreeArgument out{tree, nullptr};
    out.view = [path](std::shared_ptr<const snapshot::Tree> shown) {
        return std::make_shared<mount::View>(
            std::move(shown), [path](snapshot::NodeId, std::uint64_t, MutableBytes) -> std::size_t {
                fail(ErrorKind::Unsupported, "the snapshot " + path + " holds no file contents");
            });
    };
    return out;
}

TreeArgument read_file_argument(const std::string& path) {
    if (!snapshot::is_snapshot_file(path))
        if (auto archive = read_tar_argument(path)) return std::move(*archive);
    return open_snapshot(path);
}

TreeArgument obtained_image(Workspace& workspace, const std::string& text,
                            const PlatformChoice& platform) {
    auto image = obtain_image(workspace, text, platform);
    announce_platform(image, platform);
    return image_argument(workspace, std::move(image));
}

TreeArgument named_image(Workspace& workspace, const std::string& text,
                         const PlatformChoice& platform) {
    auto image = find_image(workspace.store(), text, platform);
    // A word alone is more often a directory that was misspelled.
    if (!image && text.find_first_of(":@") != std::string::npos)
        return obtained_image(workspace, text, platform);
    if (!image)
        fail(ErrorKind::NotFound, "\"" + text +
                                      "\" is neither a directory, a snapshot file nor an image in "
                                      "the store; `shale pull " +
                                      text + "` fetches one");
    announce_platform(*image, platform);
    return image_argument(workspace, std::move(*image));
}

bool is_on_overlay(const std::string& path) {
    struct statfs status {};
    return ::statfs(path.c_str(), &status) == 0 && status.f_type == OVERLAYFS_SUPER_MAGIC;
}

bool is_registry_reference(const std::string& text) {
    return text.starts_with(kRegistryPrefix);
}

TreeArgument registry_image(Workspace& workspace, const std::string& text,
                            const PlatformChoice& platform) {
    return open_lazy_image(workspace, std::string_view(text).substr(kRegistryPrefix.size()),
                           platform);
}

TreeArgument build_root(Workspace& workspace, const std::string& text) {
    auto root = open_build_reference(workspace, text);
    return stored_tree(workspace.store(), std::move(root.tree), std::move(root.sources));
}

bool looks_like_path(const std::string& text) {
    return text.starts_with("/") || text.starts_with(".");
}

}  // namespace

PathArgument split_path(const std::string& text) {
    const auto at = text.rfind(":/");
    const bool is_scheme = at != std::string::npos && text.compare(at, 3, "://") == 0;
    if (is_scheme || at == std::string::npos || at == 0)
        fail(ErrorKind::Invalid, "\"" + text + "\" is not of the form REF:/PATH");
    return {text.substr(0, at), text.substr(at + 1)};
}

TreeArgument image_argument(Workspace& workspace, StoredImage image) {
    auto& store = workspace.store();
    auto merged = store.image_tree(image.manifest, image.config);
    auto out = stored_tree(store, std::move(merged.tree), std::move(merged.sources));
    out.tables = [&store, layers = image.manifest.layers, ids = image.config.diff_ids] {
        Tables tables;
        for (std::size_t i = 0; i < layers.size(); ++i)
            tables.push_back(store.toc(layers[i], ids[i]));
        return tables;
    };
    out.image = std::move(image);
    return out;
}

TreeArgument stored_tree(store::Store& store, std::shared_ptr<const snapshot::Tree> tree,
                         std::vector<Digest> sources) {
    TreeArgument out{tree, nullptr};
    // Made when the first file is opened: to compare or to mount trees takes none. Shared because
    // OpenContent is copied around; the last copy owns the reader.
    struct Reader {
        std::once_flag once;
        std::optional<layer::ContentReader> contents;
    };
    auto reader = std::make_shared<Reader>();
    out.open = [reader, &store, sources](std::string_view,
                                         const snapshot::Entry& entry) -> codec::Source {
        std::call_once(reader->once, [&] {
            reader->contents.emplace(store.content_index(sources), store.framed());
        });
        return [reader, source = reader->contents->open(entry.content)](MutableBytes into) {
            return source(into);
        };
    };
    out.view = [&store, sources](std::shared_ptr<const snapshot::Tree> shown) {
        return std::make_shared<mount::View>(std::move(shown), store.content_index(sources),
                                             store.framed());
    };
    out.sources = std::move(sources);
    return out;
}

namespace {

TreeArgument open_whole(Workspace& workspace, const std::string& text,
                        const PlatformChoice& platform) {
    if (text == "scratch" || text == "empty") return empty_tree();
    if (is_registry_reference(text)) return registry_image(workspace, text, platform);
    if (build::is_image_place(text)) return obtained_image(workspace, text, platform);
    struct stat status {};
    if (::stat(text.c_str(), &status) != 0) {
        if (looks_like_path(text) || errno != ENOENT) throw_errno("stat", text);
        if (is_build_reference(text)) return build_root(workspace, text);
        return named_image(workspace, text, platform);
    }
    if (!S_ISDIR(status.st_mode)) return read_file_argument(text);
    // Nobody needs a store to compare directories.
    if (is_on_overlay(text))
        if (const auto mount = find_writable_mount(workspace, text)) return tree_in(*mount);
    return scan_directory(text);
}

TreeArgument obtain_whole(Workspace& workspace, const std::string& text,
                          const PlatformChoice& platform) {
    if (is_registry_reference(text)) return registry_image(workspace, text, platform);
    if (build::is_image_place(text)) return obtained_image(workspace, text, platform);
    if (is_build_reference(text)) return build_root(workspace, text);
    struct stat status {};
    const bool exists = ::stat(text.c_str(), &status) == 0;
    if (!exists && looks_like_path(text)) throw_errno("stat", text);
    if (exists && looks_like_path(text) && S_ISDIR(status.st_mode))
        fail(ErrorKind::Invalid, text + " is a directory already");
    const auto name = parse_reference(text);
    const bool is_image = name && workspace.store().resolve(*name);
    const bool is_file = exists && !S_ISDIR(status.st_mode);
    if (looks_like_path(text) || (is_file && !is_image)) return read_file_argument(text);
    return obtained_image(workspace, text, platform);
}

}  // namespace

// A path that exists is one, with a '#' in it or without.
TreeArgument open_tree_argument(Workspace& workspace, const std::string& text,
                                const PlatformChoice& platform) {
    if (path_exists(text)) return open_whole(workspace, text, platform);
    const auto [reference, part] = split_part(text);
    return part_of(open_whole(workspace, reference, platform), part);
}

TreeArgument obtain_tree(Workspace& workspace, const std::string& text,
                         const PlatformChoice& platform) {
    if (path_exists(text)) return obtain_whole(workspace, text, platform);
    const auto [reference, part] = split_part(text);
    return part_of(obtain_whole(workspace, reference, platform), part);
}

}  // namespace shale::cli
