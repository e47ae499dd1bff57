// Making a patched tree of an edit.
//
// Nodes are appended in order, as to an Assembler: what the edit touched as own nodes, what it left
// as runs. An edit of a patch is a patch on the same base, so the old one's runs are taken apart.
// What can only be told from the whole tree stands in the way: numbers and digests of hard links.
// So does whatever moved, whose path would no longer be the base's. Then finish() gives nothing and
// the caller copies.
#include "assembler.hpp"
#include "digests.hpp"
#include "patch.hpp"

#include <shale/snapshot_file.hpp>

#include <algorithm>
#include <atomic>

namespace shale::snapshot {

namespace {

std::atomic<std::size_t> least{kLeastShared};

// The position among the own nodes of one that is own.
NodeId own_index(const Patch& patch, NodeId id) {
    const Run& run = patch.run_of(id);
    SHALE_ENSURE(run.is_own);
    return run.from + (id - run.first);
}

// Calls `visit(directory, child)` for every child of an own directory, in order: the position of
// the directory among the own nodes, and the number of the child.
template <typename Visit>
void for_each_child(const Tree::Data& own, const Patch& patch, const Visit& visit) {
    for (const Run& run : patch.runs) {
        if (run.is_own) {
            for (NodeId at = run.from; at < run.from + run.count; ++at)
                if (own.nodes[at].parent != kNoNode)
                    visit(own_index(patch, own.nodes[at].parent), run.first + (at - run.from));
            continue;
        }
        const NodeId directory = own_index(patch, run.parent);
        for (NodeId at = run.from; at < run.from + run.count; at = patch.base->node(at).end)
            visit(directory, run.first + (at - run.from));
    }
}

void close_directories(Tree::Data& own, const Patch& patch) {
    const auto reach = [&](NodeId directory, NodeId end) {
        Node& node = own.nodes[own_index(patch, directory)];
        node.end = std::max(node.end, end);
    };
    for (auto run = patch.runs.rbegin(); run != patch.runs.rend(); ++run) {
        if (!run->is_own) {
            reach(run->parent, run->first + run->count);
            continue;
        }
        for (NodeId at = run->from + run->count; at-- > run->from;) {
            Node& node = own.nodes[at];
            node.end = std::max(node.end, run->first + (at - run->from) + 1);
            if (node.parent != kNoNode) reach(node.parent, node.end);
        }
    }
}

}  // namespace

std::size_t least_shared() {
    return least;
}
void set_least_shared(std::size_t nodes) {
    least = nodes;
}

void complete_patch(Tree::Data& own, Patch& patch) {
    for (NodeId at = 0; at < own.nodes.size(); ++at)
        own.nodes[at].end = 0;
    close_directories(own, patch);
    for (NodeId at = 1; at < own.nodes.size(); ++at) {
        const Node& parent = own.nodes[own_index(patch, own.nodes[at].parent)];
        own.nodes[at].depth = static_cast<std::uint16_t>(parent.depth + 1);
    }
    std::vector<std::uint32_t> next(own.nodes.size() + 1);  // slot, by directory
    for_each_child(own, patch, [&](NodeId directory, NodeId) { ++next[directory + 1]; });
    for (NodeId at = 0; at < own.nodes.size(); ++at) {
        next[at + 1] += next[at];
        own.nodes[at].first_slot = next[at];
    }
    own.child_slots.clear();
    own.child_slots.resize(next.back());
    for_each_child(own, patch, [&](NodeId directory, NodeId child) {
        own.child_slots[next[directory]++] = child;
    });
}

PatchAssembler::PatchAssembler(std::shared_ptr<const Tree::Data> base)
    : tree_(std::move(base)), data_(std::make_unique<Tree::Data>()),
      patch_(std::make_unique<Patch>()), own_(std::make_unique<Tree::Data>()) {
    patch_->base = tree_->patch ? tree_->patch->base : tree_;
    data_->xattr_sets = tree_->xattr_sets;
    data_->xattr_digests = tree_->xattr_digests;
    for (std::uint32_t set = 1; set < data_->xattr_digests.size(); ++set)
        sets_.emplace(data_->xattr_digests[set], set);
}

PatchAssembler::~PatchAssembler() = default;

void PatchAssembler::append_own(Node node, std::string_view name, const Digest& content,
                                const Digest& digest) {
    const auto at = static_cast<NodeId>(own_->nodes.size());
    if (patch_->size >= kNoNode - 1 || own_->names.size() + name.size() > kPoolLimit ||
        at >= tree_->size() / (kOwnShare - 1)) {
        is_possible_ = false;
        return;
    }
    node.name_offset = static_cast<std::uint32_t>(own_->names.size());
    node.name_bytes = static_cast<std::uint8_t>(name.size());
    own_->names.append(name.data(), name.size());
    own_->nodes.push_back(node);
    own_->contents.push_back(content);
    own_->digests.push_back(digest);
    if (patch_->runs.empty() || !patch_->runs.back().is_own)
        patch_->runs.push_back({patch_->size, at, 0, kNoNode, true});
    ++patch_->runs.back().count;
    ++patch_->size;
}

NodeId PatchAssembler::append(NodeId parent, std::string_view name, const Entry& entry) {
    const NodeId id = patch_->size;
    if (!is_possible_) return id;
    Node node = node_of(entry);
    node.parent = parent;
    if (entry.link_group != 0 && can_link(entry.type)) is_possible_ = false;
    if (entry.type == FileType::Symlink) node.value = own_->append_target(entry.link_target);
    if (!entry.xattrs.empty()) node.xattr_set = data_->intern(entry.xattrs, sets_);
    append_own(node, name, content_of(entry), {});
    return id;
}

void PatchAssembler::append_run(NodeId parent, NodeId from, NodeId count) {
    if (count > kNoNode - 1 - patch_->size) {
        is_possible_ = false;
        return;
    }
    if (Run& last = patch_->runs.back();
        !last.is_own && last.parent == parent && last.from + last.count == from)
        last.count += count;
    else
        patch_->runs.push_back({patch_->size, from, count, parent, false});
    patch_->size += count;
}

void PatchAssembler::append_subtree(NodeId parent, NodeId top) {
    const NodeId end = tree_->node(top).end;
    const NodeId at = patch_->size;
    if (!tree_->patch) {
        if (is_possible_) append_run(parent, top, end - top);
        return;
    }
    const auto moved = [&](NodeId directory) { return directory - top + at; };
    for (NodeId id = top; id < end && is_possible_;) {
        const Spot spot = tree_->spot(id);
        if (spot.run->is_own) {
            Node node = spot.columns->nodes[spot.at];
            node.parent = id == top ? parent : moved(node.parent);
            if (node.type == FileType::Symlink)
                node.value = own_->append_target(spot.columns->target(spot.at));
            append_own(node, spot.columns->name(spot.at), spot.columns->contents[spot.at],
                       spot.columns->digests[spot.at]);
            ++id;
            continue;
        }
        const NodeId count = std::min(spot.run->first + spot.run->count, end) - id;
        append_run(id == top ? parent : moved(spot.run->parent), spot.at, count);
        id += count;
    }
}

PatchAssembler::Mark PatchAssembler::mark() const {
    Mark mark;
    mark.size = patch_->size;
    mark.own = static_cast<NodeId>(own_->nodes.size());
    mark.name_bytes = own_->names.size();
    mark.target_bytes = own_->targets.size();
    mark.runs = patch_->runs.size();
    if (mark.runs > 0) mark.last = patch_->runs.back();
    return mark;
}

void PatchAssembler::back_to(const Mark& mark) {
    patch_->size = mark.size;
    own_->nodes.resize(mark.own);
    own_->contents.resize(mark.own);
    own_->digests.resize(mark.own);
    own_->names.resize(mark.name_bytes);
    own_->targets.resize(mark.target_bytes);
    patch_->runs.resize(mark.runs);
    if (mark.runs > 0) patch_->runs.back() = mark.last;
}

// Digests of hard links cover the names of all of them, so none may be missing.
bool drops_links(const Tree::Data& base, const std::vector<Run>& runs) {
    if (base.group_count() == 0) return false;
    NodeId next = 0;
    const auto has_links = [&](NodeId until) {
        for (; next < until; ++next)
            if (base.node(next).link_group != 0) return true;
        return false;
    };
    for (const Run& run : runs) {
        if (run.is_own) continue;
        if (has_links(run.from)) return true;
        next = run.from + run.count;
    }
    return has_links(base.size());
}

std::shared_ptr<const Tree::Data> PatchAssembler::finish() {
    const auto own_count = static_cast<NodeId>(own_->nodes.size());
    if (!is_possible_ || own_count > patch_->size / kOwnShare ||
        drops_links(*patch_->base, patch_->runs))
        return nullptr;
    complete_patch(*own_, *patch_);
    Tree::Data& own = *own_;
    const Patch& patch = *patch_;
    patch_->own = std::move(own_);
    data_->patch = std::move(patch_);
    for (auto run = patch.runs.rbegin(); run != patch.runs.rend(); ++run) {
        if (!run->is_own) continue;
        for (NodeId at = run->from + run->count; at-- > run->from;) {
            if (!own.digests[at].is_zero()) continue;
            own.digests[at] = compute_digest(*data_, run->first + (at - run->from));
            if (const NodeId parent = own.nodes[at].parent; parent != kNoNode)
                own.digests[own_index(patch, parent)] = {};
        }
    }
    return std::move(data_);
}

}  // namespace shale::snapshot
