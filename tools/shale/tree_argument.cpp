#include "tree_argument.hpp"

#include "image_lookup.hpp"
#include "tar_argument.hpp"

#include <shale/base.hpp>
#include <shale/snapshot_file.hpp>

#include <sys/stat.h>

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

TreeArgument read_file_argument(const std::string& path) {
    if (!snapshot::is_snapshot_file(path))
        if (auto archive = read_tar_argument(path)) return std::move(*archive);
    auto tree = in_context(
        [&] { return path + ": not a readable snapshot, and no tar file"; },
        [&] { return std::make_shared<const snapshot::Tree>(snapshot::open_tree(path)); });
    return {std::move(tree), nullptr};
}

TreeArgument image_root(Workspace& workspace, const std::string& text) {
    auto& store = workspace.store();
    const auto image = find_image(store, text);
    if (!image)
        fail(ErrorKind::NotFound, "\"" + text +
                                      "\" is neither a directory, a snapshot file nor an "
                                      "image in the store");
    auto merged = store.image_tree(image->manifest, image->config);
    // Shared because OpenContent is copied around; the last copy owns the reader.
    auto reader =
        std::make_shared<layer::ContentReader>(store.content_index(merged.sources), store.framed());
    return {std::move(merged.tree),
            [reader](std::string_view, const snapshot::Entry& entry) -> codec::Source {
                return reader->open(entry.content);
            }};
}

}  // namespace

TreeArgument open_tree_argument(Workspace& workspace, const std::string& text) {
    if (text == "scratch" || text == "empty") return empty_tree();
    struct stat status {};
    if (::stat(text.c_str(), &status) != 0) {
        const bool looks_like_path = text.starts_with("/") || text.starts_with(".");
        if (looks_like_path || errno != ENOENT) throw_errno("stat", text);
        return image_root(workspace, text);
    }
    return S_ISDIR(status.st_mode) ? scan_directory(text) : read_file_argument(text);
}

}  // namespace shale::cli
