// Inode numbers are node numbers plus one, the first member's for a hardlink group: nothing needs
// to be allocated or looked up to go from one to the other.
#include <shale/mount.hpp>

#include <algorithm>
#include <atomic>
#include <unordered_map>
#include <vector>

namespace shale::mount {

using snapshot::kNoNode;
using snapshot::NodeId;

struct View::State {
    std::shared_ptr<const snapshot::Tree> tree;
    std::optional<layer::ContentReader> contents;
    ReadFile read;
    bool has_xattrs = false;
    // Hardlink groups: number of the first member, and how many there are.
    struct Group {
        NodeId first = kNoNode;
        std::uint32_t members = 0;
    };
    std::unordered_map<std::uint64_t, Group> groups;
    // Subdirectories per directory, for nlink.
    std::unordered_map<NodeId, std::uint32_t> subdirectories;
    // Of at least kLargeBytes, ascending, and how many bytes of each were fetched.
    std::vector<NodeId> large;
    std::unique_ptr<std::atomic<std::uint64_t>[]> large_read;

    explicit State(std::shared_ptr<const snapshot::Tree> shown) : tree(std::move(shown)) {
        for (NodeId node = 0; node < tree->size(); ++node) {
            const auto entry = tree->entry(node);
            has_xattrs = has_xattrs || !entry.xattrs.empty();
            if (entry.type == FileType::Directory && node != snapshot::kRoot)
                ++subdirectories[tree->parent(node)];
            if (entry.type == FileType::Regular && entry.size >= kLargeBytes) large.push_back(node);
            if (entry.link_group == 0) continue;
            auto& group = groups[entry.link_group];
            if (group.members++ == 0) group.first = node;
        }
        large_read = std::make_unique<std::atomic<std::uint64_t>[]>(large.size());
    }

    void note_read(NodeId node, std::size_t bytes) {
        const auto at = std::lower_bound(large.begin(), large.end(), node) - large.begin();
        large_read[static_cast<std::size_t>(at)].fetch_add(bytes, std::memory_order_relaxed);
    }

    // kNoNode for a number no entry has.
    NodeId node_of(InodeId inode) const {
        const auto number = static_cast<std::uint64_t>(inode);
        return number >= 1 && number <= tree->size() ? static_cast<NodeId>(number - 1) : kNoNode;
    }

    Attributes attributes(NodeId node) const {
        const auto entry = tree->entry(node);
        Attributes out;
        out.inode = InodeId{node + 1ull};
        out.type = entry.type;
        out.mode = entry.mode;
        out.uid = entry.uid;
        out.gid = entry.gid;
        out.size = entry.type == FileType::Symlink ? entry.link_target.size() : entry.size;
        out.mtime_ns = entry.mtime_ns;
        out.device_major = entry.device_major;
        out.device_minor = entry.device_minor;
        if (entry.type == FileType::Directory) {
            const auto found = subdirectories.find(node);
            out.nlink = 2 + (found == subdirectories.end() ? 0 : found->second);
        } else if (entry.link_group != 0) {
            const auto& group = groups.at(entry.link_group);
            out.inode = InodeId{group.first + 1ull};
            out.nlink = group.members;
        }
        return out;
    }
};

View::View(std::shared_ptr<const snapshot::Tree> tree, layer::ContentIndex contents,
           oci::BlobSource& blobs)
    : state_(std::make_unique<State>(std::move(tree))) {
    state_->contents.emplace(std::move(contents), blobs);
    state_->read = [state = state_.get()](NodeId node, std::uint64_t offset, MutableBytes out) {
        return state->contents->read(state->tree->entry(node).content, offset, out);
    };
}
View::View(std::shared_ptr<const snapshot::Tree> tree, ReadFile read)
    : state_(std::make_unique<State>(std::move(tree))) {
    state_->read = std::move(read);
}
View::~View() = default;

const snapshot::Tree& View::tree() const {
    return *state_->tree;
}
bool View::has_xattrs() const {
    return state_->has_xattrs;
}
layer::ContentReader& View::contents() {
    SHALE_ENSURE(state_->contents);
    return *state_->contents;
}

std::optional<Attributes> View::attributes(InodeId inode) const {
    const NodeId node = state_->node_of(inode);
    if (node == kNoNode) return std::nullopt;
    return state_->attributes(node);
}

std::optional<Attributes> View::lookup(InodeId directory, std::string_view name) const {
    const NodeId parent = state_->node_of(directory);
    if (parent == kNoNode || state_->tree->entry(parent).type != FileType::Directory)
        return std::nullopt;
    const NodeId node = state_->tree->child(parent, name);
    if (node == kNoNode) return std::nullopt;
    return state_->attributes(node);
}

std::string_view View::link_target(InodeId inode) const {
    const NodeId node = state_->node_of(inode);
    return node == kNoNode ? std::string_view{} : state_->tree->entry(node).link_target;
}

std::span<const Xattr> View::xattrs(InodeId inode) const {
    const NodeId node = state_->node_of(inode);
    return node == kNoNode ? std::span<const Xattr>{} : state_->tree->entry(node).xattrs;
}

NodeId View::first_child(InodeId directory) const {
    const NodeId node = state_->node_of(directory);
    return node == kNoNode ? kNoNode : state_->tree->first_child(node);
}

std::optional<View::DirectoryEntry> View::directory_entry(InodeId directory,
                                                          NodeId& position) const {
    const auto& tree = *state_->tree;
    const NodeId node = position;
    if (node >= tree.size() || node == snapshot::kRoot ||
        tree.parent(node) != state_->node_of(directory))
        return std::nullopt;
    position = tree.next_sibling(node);
    return DirectoryEntry{tree.name(node), state_->attributes(node)};
}

InodeId View::parent(InodeId directory) const {
    const NodeId node = state_->node_of(directory);
    if (node == kNoNode || node == snapshot::kRoot) return kRootInode;
    return InodeId{state_->tree->parent(node) + 1ull};
}

std::size_t View::fetch(InodeId inode, std::uint64_t offset, MutableBytes out) {
    const NodeId node = state_->node_of(inode);
    if (node == kNoNode) fail(ErrorKind::NotFound, "no such inode");
    const auto entry = state_->tree->entry(node);
    if (entry.type != FileType::Regular)
        fail(ErrorKind::Invalid, "/" + state_->tree->path(node) + " is not a regular file");
    const auto bytes = in_context([&] { return "reading /" + state_->tree->path(node); },
                                  [&] { return state_->read(node, offset, out); });
    if (entry.size >= kLargeBytes) state_->note_read(node, bytes);
    return bytes;
}

std::vector<View::LargeFile> View::large_files() const {
    std::vector<LargeFile> files;
    for (std::size_t at = 0; at < state_->large.size(); ++at)
        files.push_back({state_->large[at], state_->large_read[at].load()});
    return files;
}

codec::Source open_file(const snapshot::Tree& tree, layer::ContentReader& contents,
                        std::string_view path) {
    const NodeId node = tree.resolve(path);
    if (node == kNoNode) fail(ErrorKind::NotFound, std::string(path) + ": not found");
    const auto entry = tree.entry(node);
    if (entry.type != FileType::Regular)
        fail(ErrorKind::Invalid, std::string(path) + " is not a regular file");
    return contents.open(entry.content);
}

}  // namespace shale::mount
