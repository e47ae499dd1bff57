#include "tree_argument.hpp"

#include "tar_argument.hpp"

#include <shale/base.hpp>
#include <shale/snapshot_file.hpp>

#include <sys/stat.h>

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
    out.view = [tree, path] {
        return std::make_shared<mount::View>(
            tree, [path](snapshot::NodeId, std::uint64_t, MutableBytes) -> std::size_t {
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

TreeArgument image_root(Workspace& workspace, StoredImage image) {
    auto& store = workspace.store();
    auto merged = store.image_tree(image.manifest, image.config);
    auto out = stored_tree(store, std::move(merged.tree), std::move(merged.sources));
    out.image = std::move(image);
    return out;
}

TreeArgument named_image(Workspace& workspace, const std::string& text,
                         const PlatformChoice& platform) {
    auto image = find_image(workspace.store(), text, platform);
    if (!image)
        fail(ErrorKind::NotFound, "\"" + text +
                                      "\" is neither a directory, a snapshot file nor an "
                                      "image in the store");
    announce_platform(*image, platform);
    return image_root(workspace, std::move(*image));
}

TreeArgument obtained_image(Workspace& workspace, const std::string& text,
                            const PlatformChoice& platform) {
    auto image = obtain_image(workspace, text, platform);
    announce_platform(image, platform);
    return image_root(workspace, std::move(image));
}

bool looks_like_path(const std::string& text) {
    return text.starts_with("/") || text.starts_with(".");
}

}  // namespace

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
    out.view = [&store, tree, sources] {
        return std::make_shared<mount::View>(tree, store.content_index(sources), store.framed());
    };
    out.sources = std::move(sources);
    return out;
}

TreeArgument open_tree_argument(Workspace& workspace, const std::string& text,
                                const PlatformChoice& platform) {
    if (text == "scratch" || text == "empty") return empty_tree();
    if (build::is_image_place(text)) return obtained_image(workspace, text, platform);
    struct stat status {};
    if (::stat(text.c_str(), &status) != 0) {
        if (looks_like_path(text) || errno != ENOENT) throw_errno("stat", text);
        return named_image(workspace, text, platform);
    }
    return S_ISDIR(status.st_mode) ? scan_directory(text) : read_file_argument(text);
}

TreeArgument obtain_tree(Workspace& workspace, const std::string& text,
                         const PlatformChoice& platform) {
    if (build::is_image_place(text)) return obtained_image(workspace, text, platform);
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

}  // namespace shale::cli
