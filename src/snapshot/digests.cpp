// Node, key, xattr-set and link-group digests.
//
// Every hashed message starts with a byte that says which kind it is, and every variable part is
// preceded by its length, so no two different inputs give the same message. Leaves far outnumber
// directories; their messages fit in a small scratch string that is reused.
#include "digests.hpp"

#include <shale/codec.hpp>

#include <atomic>
#include <thread>

namespace shale::snapshot {

const Digest kEmptyContent =
    *Digest::from_hex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");

namespace {

enum class Message : std::uint8_t { Node = 1, Key = 2, Xattrs = 3, Group = 4 };
constexpr std::uint8_t kHasXattrs = 1, kHasGroup = 2;

// Below this many leaves starting a thread costs more than it saves.
constexpr std::size_t kParallelLeaves = 16384;

void put_digest(std::string& out, const Digest& digest) {
    out.append(reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size());
}

void begin(std::string& out, Message kind) {
    out.clear();
    put_little(out, static_cast<std::uint8_t>(kind));
}

// What a node is by type: content, target, device numbers or children, whose digests
// `digest_of` knows.
template <typename DigestOf>
void put_substance(std::string& out, const Tree::Data& data, NodeId id, DigestOf&& digest_of) {
    const Node& node = data.node(id);
    switch (node.type) {
    case FileType::Regular:
        put_little(out, node.value);
        put_digest(out, data.content(id));
        return;
    case FileType::Symlink: {
        const auto target = data.target(id);
        put_little(out, static_cast<std::uint32_t>(target.size()));
        out.append(target);
        return;
    }
    case FileType::CharDevice:
    case FileType::BlockDevice:
        put_little(out, node.value);
        return;
    case FileType::Fifo:
    case FileType::Socket:
        return;
    case FileType::Directory:
        put_little(out, data.child_count(id));
        for (NodeId child = data.first_child(id); child != kNoNode;
             child = data.next_sibling(child)) {
            put_little(out, data.node(child).name_bytes);
            out.append(data.name(child));
            put_digest(out, digest_of(child));
        }
        return;
    }
}

Digest node_digest(const Tree::Data& data, NodeId id, std::string& scratch) {
    const Node& node = data.node(id);
    begin(scratch, Message::Node);
    put_little(scratch, static_cast<std::uint8_t>(node.type));
    put_little(scratch, static_cast<std::uint8_t>((node.xattr_set ? kHasXattrs : 0) |
                                                  (node.link_group ? kHasGroup : 0)));
    put_little(scratch, node.mode);
    put_little(scratch, node.uid);
    put_little(scratch, node.gid);
    put_little(scratch, node.mtime_ns);
    if (node.xattr_set) put_digest(scratch, data.xattr_digests[node.xattr_set]);
    if (node.link_group) put_digest(scratch, data.group_digest(node.link_group));
    put_substance(scratch, data, id, [&](NodeId child) { return data.digest(child); });
    return codec::sha256(scratch);
}

Digest node_key(const Tree::Data& data, NodeId id, const KeyPolicy& policy,
                const std::vector<Digest>& keys, std::string& scratch) {
    const Node& node = data.node(id);
    begin(scratch, Message::Key);
    put_little(scratch, static_cast<std::uint8_t>((policy.owner ? 1 : 0) | (policy.mode ? 2 : 0)));
    put_little(scratch, static_cast<std::uint8_t>(node.type));
    put_little(scratch, static_cast<std::uint8_t>(node.xattr_set ? kHasXattrs : 0));
    if (policy.mode) put_little(scratch, node.mode);
    if (policy.owner) {
        put_little(scratch, node.uid);
        put_little(scratch, node.gid);
    }
    if (node.xattr_set) put_digest(scratch, data.xattr_digests[node.xattr_set]);
    put_substance(scratch, data, id, [&](NodeId child) { return keys[child]; });
    return codec::sha256(scratch);
}

void digest_leaves(Tree::Data& data, std::span<const NodeId> leaves) {
    std::string scratch;
    for (const NodeId leaf : leaves)
        data.digests[leaf] = node_digest(data, leaf, scratch);
}

// Leaves depend on nothing but themselves, so two threads may take halves.
void digest_leaves_in_parallel(Tree::Data& data, std::span<const NodeId> leaves) {
    if (leaves.size() < kParallelLeaves || std::thread::hardware_concurrency() < 2)
        return digest_leaves(data, leaves);
    const auto half = leaves.size() / 2;
    std::exception_ptr failure;
    {
        std::jthread other([&] {
            try {
                digest_leaves(data, leaves.subspan(half));
            } catch (...) {  // carried to the calling thread
                failure = std::current_exception();
            }
        });
        digest_leaves(data, leaves.first(half));
    }
    if (failure) std::rethrow_exception(failure);
}

}  // namespace

void update_digests(Tree::Data& data, std::vector<std::uint8_t> dirty) {
    std::vector<NodeId> leaves;
    const auto count = static_cast<NodeId>(data.nodes.size());
    for (NodeId node = 0; node < count; ++node)
        if (dirty[node] && !data.is_directory(node)) leaves.push_back(node);
    digest_leaves_in_parallel(data, leaves);

    // Children have higher numbers than their directory: descending order sees them first.
    std::string scratch;
    for (NodeId node = count; node-- > 0;) {
        if (!dirty[node]) continue;
        if (data.is_directory(node)) data.digests[node] = node_digest(data, node, scratch);
        if (node != kRoot) dirty[data.nodes[node].parent] = 1;
    }
}

Digest compute_digest(const Tree::Data& data, NodeId node) {
    std::string scratch;
    return node_digest(data, node, scratch);
}

Digest compute_key_digest(const Tree::Data& data, NodeId node, const KeyPolicy& policy) {
    auto& table = data.keys[(policy.owner ? 1 : 0) | (policy.mode ? 2 : 0)];
    const std::lock_guard lock(table.mutex);
    if (table.digests.empty()) table.digests.resize(data.nodes.size());
    std::string scratch;
    if (table.digests[node].is_zero())
        for (NodeId below = data.node(node).end; below-- > node;)
            if (table.digests[below].is_zero())
                table.digests[below] = node_key(data, below, policy, table.digests, scratch);
    return table.digests[node];
}

Digest digest_of_xattrs(std::span<const Xattr> xattrs) {
    std::string message;
    begin(message, Message::Xattrs);
    for (const Xattr& xattr : xattrs) {
        put_little(message, static_cast<std::uint32_t>(xattr.name.size()));
        message.append(xattr.name);
        put_little(message, static_cast<std::uint32_t>(xattr.value.size()));
        message.append(xattr.value);
    }
    return codec::sha256(message);
}

Digest digest_of_group(const Tree::Data& data, std::span<const NodeId> members) {
    std::string message;
    begin(message, Message::Group);
    for (const NodeId member : members) {
        message.append(data.path(member));
        message.push_back('\0');
    }
    return codec::sha256(message);
}

}  // namespace shale::snapshot
