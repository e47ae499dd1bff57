// Node, key, xattr-set and link-group digests.
//
// Every hashed message starts with a byte that says which kind it is, and every variable part is
// preceded by its length, so no two different inputs give the same message. Leaves far outnumber
// directories; their messages fit in a small scratch string that is reused.
#include "digests.hpp"

#include "patch.hpp"

#include <shale/codec.hpp>

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>

namespace shale::snapshot {

const Digest kEmptyContent =
    *Digest::from_hex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");

namespace {

enum class Message : std::uint8_t { Node = 1, Key = 2, Xattrs = 3, Group = 4 };
constexpr std::uint8_t kHasXattrs = 1, kHasGroup = 2;

// For fewer, starting a thread costs more than it saves.
constexpr NodeId kNodesPerThread = 16384;
// A processor's worth of memory traffic is reached with few.
constexpr NodeId kMostThreads = 8;

NodeId thread_count() {
    return std::clamp<NodeId>(std::thread::hardware_concurrency(), 1, kMostThreads);
}

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
    const Node node = data.node(id);
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
    const Node node = data.node(id);
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

// `key_of` knows the keys of its children.
template <typename KeyOf>
Digest node_key(const Tree::Data& data, NodeId id, const KeyPolicy& policy, const KeyOf& key_of,
                std::string& scratch) {
    const Node node = data.node(id);
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
    put_substance(scratch, data, id, key_of);
    return codec::sha256(scratch);
}

// Visits the nodes in [from, to) in descending order, in which children come before their
// directory. Returns those that reach beyond `to`, which are left out.
template <typename Worker>
std::vector<NodeId> visit_part(const Tree::Data& data, NodeId from, NodeId to, Worker& worker) {
    std::vector<NodeId> left_out;
    for (NodeId node = to; node-- > from;)
        if (data.node(node).end <= to)
            worker.visit(node);
        else
            left_out.push_back(node);
    return left_out;
}

// Visits every node of a subtree, children before their directory; on several threads, with a
// worker each, if there are many. Each thread has a part of the numbers. What is not whole in one
// part, the directories around the first node of the next, is visited when all threads have ended
// and `merge` has seen their workers. Which these are is not taken from their parents: the tree may
// be a mapped file that somebody forged.
template <typename Worker, typename Merge>
void visit_bottom_up(const Tree::Data& data, NodeId top, const Worker& first, const Merge& merge) {
    const NodeId end = data.node(top).end;
    const NodeId parts = std::clamp<NodeId>((end - top) / kNodesPerThread, 1, thread_count());
    const auto begin_of = [&](NodeId part) {
        return top + static_cast<NodeId>(std::uint64_t{end - top} * part / parts);
    };
    std::vector<Worker> workers(parts, first);
    std::vector<std::vector<NodeId>> left_out(parts);
    std::vector<std::exception_ptr> failures(parts);
    const auto run = [&](NodeId part) {
        left_out[part] = visit_part(data, begin_of(part), begin_of(part + 1), workers[part]);
    };
    {
        std::vector<std::jthread> threads;
        for (NodeId part = 1; part < parts; ++part)
            threads.emplace_back([&, part] {
                try {
                    run(part);
                } catch (...) {  // carried to the calling thread
                    failures[part] = std::current_exception();
                }
            });
        run(0);
    }
    for (const auto& failure : failures)
        if (failure) std::rethrow_exception(failure);
    for (Worker& worker : workers)
        merge(worker);
    Worker last = first;
    for (NodeId part = parts; part-- > 0;)
        for (const NodeId node : left_out[part])
            last.visit(node);
    merge(last);
}

// Computes the digests of dirty nodes.
struct DigestWorker {
    Tree::Data& data;
    std::vector<std::uint8_t>& dirty;
    std::string scratch{};

    void visit(NodeId node) {
        if (!dirty[node]) return;
        data.digests[node] = node_digest(data, node, scratch);
        // A directory around two parts is told by two threads, and asked when they have ended.
        if (node != kRoot)
            std::atomic_ref(dirty[data.nodes[node].parent]).store(1, std::memory_order_relaxed);
    }
};

using KeyTable = Tree::Data::KeyTable;

// Computes the keys of directories that the table does not have. It is only read meanwhile.
struct KeyWorker {
    const Tree::Data& data;
    const KeyPolicy& policy;
    const KeyTable& table;
    std::unordered_map<NodeId, Digest> made{};
    std::string scratch{}, leaf_scratch{};

    void visit(NodeId node) {
        if (data.is_directory(node) && !table.directories.contains(node))
            made.emplace(node, node_key(data, node, policy, key_of(), scratch));
    }
    std::function<Digest(NodeId)> key_of() {
        return [this](NodeId child) {
            if (!data.is_directory(child))
                return node_key(data, child, policy, no_children, leaf_scratch);
            const auto known = made.find(child);
            return known != made.end() ? known->second : table.directories.at(child);
        };
    }
    static Digest no_children(NodeId) { return {}; }
};

}  // namespace

void update_digests(Tree::Data& data, std::vector<std::uint8_t> dirty) {
    visit_bottom_up(data, kRoot, DigestWorker{data, dirty}, [](const DigestWorker&) {});
}

Digest compute_digest(const Tree::Data& data, NodeId node) {
    std::string scratch;
    return node_digest(data, node, scratch);
}

namespace {

// Of a patch: keys of its own directories, children before parents; the base keeps those of its
// own. What is in the base has its key there, wherever it is. The base's table is locked while the
// patch's is, never the other way round: a base is no patch.
Digest patched_key(const Tree::Data& data, KeyTable& table, NodeId top, const KeyPolicy& policy) {
    std::string scratch, leaf_scratch;
    const auto key_of = [&](NodeId id) {
        const Spot at = data.spot(id);
        if (!at.run->is_own) return compute_key_digest(*at.columns, at.at, policy);
        if (data.is_directory(id)) return table.directories.at(id);
        return node_key(data, id, policy, KeyWorker::no_children, leaf_scratch);
    };
    // All at once takes several threads; one subtree after another, mostly one.
    if (data.node(top).end - top > data.size() / 2)
        compute_key_digest(*data.patch->base, kRoot, policy);
    for (NodeId id = data.node(top).end; id-- > top;) {
        const Spot at = data.spot(id);
        if (!at.run->is_own)
            id = std::max(at.run->first, top);
        else if (data.is_directory(id) && !table.directories.contains(id))
            table.directories.emplace(id, node_key(data, id, policy, key_of, scratch));
    }
    return key_of(top);
}

}  // namespace

Digest compute_key_digest(const Tree::Data& data, NodeId node, const KeyPolicy& policy) {
    if (!data.patch && !data.is_directory(node)) {
        std::string scratch;
        return node_key(data, node, policy, KeyWorker::no_children, scratch);
    }
    auto& table = data.keys[(policy.owner ? 1 : 0) | (policy.mode ? 2 : 0)];
    const std::lock_guard lock(table.mutex);
    if (data.patch) return patched_key(data, table, node, policy);
    if (!table.directories.contains(node))
        visit_bottom_up(data, node, KeyWorker{data, policy, table},
                        [&](KeyWorker& worker) { table.directories.merge(worker.made); });
    return table.directories.at(node);
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
