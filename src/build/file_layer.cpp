// See "Data-only lower layers" in the kernel's documentation of overlayfs.
#include "file_layer.hpp"

#include <shale/sandbox.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <set>

namespace shale::build {

namespace {

using snapshot::kNoNode;
using snapshot::kRoot;
using snapshot::NodeId;

void set_attribute(const std::string& path, const std::string& name, std::string_view value) {
    if (::lsetxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0) != 0)
        throw_errno("setxattr " + name, path);
}

void write_file(const std::string& path, const snapshot::Entry& entry, const std::string& data) {
    const UniqueFd file = open_file(path, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW);
    if (::ftruncate(file.get(), static_cast<off_t>(entry.size)) != 0)
        throw_errno("ftruncate", path);
    set_attribute(path, "trusted.overlay.metacopy", "");
    set_attribute(path, "trusted.overlay.redirect", "/" + data);
    dress(path, entry);
}

}  // namespace

// A change of the owner takes set-id bits and capabilities away, so it comes first.
void dress(const std::string& path, const snapshot::Entry& entry) {
    if (::chown(path.c_str(), entry.uid, entry.gid) != 0) throw_errno("chown", path);
    if (::chmod(path.c_str(), entry.mode) != 0) throw_errno("chmod", path);
    for (const auto& xattr : entry.xattrs) {
        // merge_upper() knows that these could not be seen, and keeps them.
        if (sandbox::overlays_mark_for_users() && xattr.name.starts_with("trusted.")) continue;
        set_attribute(path, xattr.name, xattr.value);
    }
    const timespec times[2] = {to_timespec(entry.mtime_ns), to_timespec(entry.mtime_ns)};
    if (::utimensat(AT_FDCWD, path.c_str(), times, 0) != 0) throw_errno("utimensat", path);
}

void write_file_layer(const snapshot::Tree& tree, const std::vector<NotedFile>& files,
                      const std::string& directory) {
    std::set<NodeId> parents;  // an outer one has the lower number
    for (const NotedFile& file : files)
        for (NodeId at = tree.parent(file.node); at != kNoNode && parents.insert(at).second;)
            at = tree.parent(at);
    const auto path_of = [&](NodeId node) { return join_path(directory, tree.path(node)); };
    for (const NodeId parent : parents)
        if (parent != kRoot && ::mkdir(path_of(parent).c_str(), 0700) != 0)
            throw_errno("mkdir", path_of(parent));
    for (const NotedFile& file : files)
        write_file(path_of(file.node), tree.entry(file.node), file.data);
    // Innermost first: whatever is made in a directory changes its time.
    for (auto parent = parents.rbegin(); parent != parents.rend(); ++parent)
        dress(*parent == kRoot ? directory : path_of(*parent), tree.entry(*parent));
}

}  // namespace shale::build
