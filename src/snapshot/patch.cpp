// Reading a patched tree. Look-up is a binary search over its runs, of which there are about two
// per edited entry; within a run, everything is the base's with its numbers moved.
//
// What a mapped base has not proved yet, it proves when it is asked: here it is only checked that
// a subtree does not reach beyond its run.
#include "patch.hpp"

#include "assembler.hpp"
#include "mapped_file.hpp"

#include <algorithm>

namespace shale::snapshot {

const Run& Patch::run_of(NodeId id) const {
    SHALE_ENSURE(id < size);
    const auto after = std::upper_bound(runs.begin(), runs.end(), id,
                                        [](NodeId at, const Run& run) { return at < run.first; });
    return *(after - 1);
}

NodeId moved_by(const Run& run, NodeId below) {
    if (below < run.from || below > run.from + run.count)
        fail(ErrorKind::Corrupt, "snapshot: a subtree reaches beyond its directory");
    return below - run.from + run.first;
}

Node moved_by(const Run& run, Node node) {
    node.parent = node.parent < run.from ? run.parent : moved_by(run, node.parent);
    node.end = moved_by(run, node.end);
    return node;
}

Spot Tree::Data::spot(NodeId id) const {
    const Run& run = patch->run_of(id);
    return {&run, run.is_own ? patch->own.get() : patch->base.get(), run.from + (id - run.first)};
}

NodeId Tree::Data::patched_size() const {
    return patch->size;
}

Node Tree::Data::patched_node(NodeId id) const {
    const Spot at = spot(id);
    const Node node = at.columns->node(at.at);
    return at.run->is_own ? node : moved_by(*at.run, node);
}

std::string_view Tree::Data::patched_name(NodeId id) const {
    const Spot at = spot(id);
    return at.columns->name(at.at);
}

const Digest& Tree::Data::patched_content(NodeId id) const {
    const Spot at = spot(id);
    return at.columns->content(at.at);
}

const Digest& Tree::Data::patched_digest(NodeId id) const {
    const Spot at = spot(id);
    return at.columns->digest(at.at);
}

void Tree::Data::require_patched_subtree(NodeId top) const {
    if (!patch->base->file) return;
    const NodeId end = node(top).end;
    for (NodeId id = top; id < end;) {
        const Spot at = spot(id);
        const NodeId left = std::min(at.run->first + at.run->count, end) - id;
        if (!at.run->is_own)
            for (NodeId from = at.at; from < at.at + left; from = patch->base->nodes[from].end)
                patch->base->require_subtree(from);
        id += left;
    }
}

// What is not at the top of a run has its elder and younger siblings in it.
NodeId Tree::Data::patched_next_sibling(NodeId id) const {
    const Spot at = spot(id);
    if (!at.run->is_own && at.columns->node(at.at).parent >= at.run->from) {
        const NodeId next = at.columns->next_sibling(at.at);
        return next == kNoNode ? kNoNode : moved_by(*at.run, next);
    }
    const Node node = patched_node(id);
    return node.end < patched_node(node.parent).end ? node.end : kNoNode;
}

Tree flatten(const Tree::Data& tree) {
    Assembler out(&tree);
    const Tree view(std::shared_ptr<const Tree::Data>(std::shared_ptr<void>(), &tree));
    const NodeId root = out.append(kNoNode, "", view.entry(kRoot));
    for (NodeId child = tree.first_child(kRoot); child != kNoNode; child = tree.next_sibling(child))
        out.append_subtree(root, tree, child, {});
    return out.finish();
}

}  // namespace shale::snapshot
