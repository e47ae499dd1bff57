// TreeBuilder: edits laid over a base tree.
//
// An edit touches only the directories on its path. Each touched directory is a BuildNode that
// holds its changed children by name and, for the rest, the base directory that shows through; a
// removed child is a null entry. finish() walks touched directories merging the two sorted lists
// and copies whole untouched subtrees, so k edits cost O(k log n) plus one copy of the arrays.
#include "assembler.hpp"

#include <algorithm>
#include <limits>
#include <map>

namespace shale::snapshot {

namespace {

struct BuildNode {
    NodeId origin = kNoNode;  // base node whose metadata counts while `spec` is null
    NodeId below = kNoNode;   // base directory whose children show through `edits`
    std::unique_ptr<EntrySpec> spec;
    std::map<std::string, std::unique_ptr<BuildNode>, std::less<>> edits;  // null: removed
};

// Where a path leads: a touched node, else an untouched base node, else nowhere.
struct Place {
    BuildNode* touched = nullptr;
    NodeId base = kNoNode;
    explicit operator bool() const { return touched || base != kNoNode; }
};

std::vector<std::string_view> split(std::string_view path) {
    std::vector<std::string_view> parts;
    const std::string_view whole = path;
    while (!path.empty()) {
        const auto slash = path.find('/');
        const auto part = path.substr(0, slash);
        path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
        if (part.empty()) continue;
        if (!is_valid_name(part))
            fail(ErrorKind::Invalid, "'" + std::string(whole) + "' has an impossible component");
        parts.push_back(part);
    }
    if (parts.size() > kMaxDepth)
        fail(ErrorKind::Invalid,
             "a path deeper than " + std::to_string(kMaxDepth) + " directories");
    return parts;
}

void tidy_xattrs(std::string_view path, std::vector<Xattr>& xattrs) {
    std::sort(xattrs.begin(), xattrs.end());
    for (std::size_t at = 0; at < xattrs.size(); ++at) {
        const std::string& name = xattrs[at].name;
        if (name.empty() || name.size() > 255 || name.find('\0') != std::string::npos)
            fail(ErrorKind::Invalid, "'" + std::string(path) + "': impossible xattr name");
        if (at > 0 && xattrs[at - 1].name == name)
            fail(ErrorKind::Invalid, "'" + std::string(path) + "': xattr " + name + " twice");
    }
}

void check_target(std::string_view path, const EntrySpec& spec) {
    if (spec.type != FileType::Symlink) return;
    if (spec.link_target.empty() || spec.link_target.find('\0') != std::string::npos)
        fail(ErrorKind::Invalid, "'" + std::string(path) + "': impossible symbolic link target");
}

std::unique_ptr<EntrySpec> plain_directory() {
    return std::make_unique<EntrySpec>();
}

}  // namespace

struct TreeBuilder::State {
    const Tree* base = nullptr;
    BuildNode root;
    std::uint64_t last_group = 0;

    FileType type_of(const Place& place) const {
        if (!place.touched) return base->entry(place.base).type;
        const BuildNode& node = *place.touched;
        return node.spec ? node.spec->type : base->entry(node.origin).type;
    }

    Place child(const Place& parent, std::string_view name) const {
        NodeId below = parent.base;
        if (parent.touched) {
            const auto edit = parent.touched->edits.find(name);
            if (edit != parent.touched->edits.end()) return {edit->second.get(), kNoNode};
            below = parent.touched->below;
        }
        return {nullptr, below == kNoNode ? kNoNode : base->child(below, name)};
    }

    Place find(std::string_view path) {
        Place at{&root, kNoNode};
        for (const auto part : split(path)) {
            at = child(at, part);
            if (!at) break;
        }
        return at;
    }

    BuildNode& parent_of(const std::vector<std::string_view>& parts, std::string_view path) {
        BuildNode* parent = &root;
        for (std::size_t at = 0; at + 1 < parts.size(); ++at)
            parent = &enter(*parent, parts[at], path);
        return *parent;
    }

    // The touched form of the child `name` of `parent`, which must exist in the base.
    BuildNode& touch(BuildNode& parent, std::string_view name, NodeId from) {
        auto node = std::make_unique<BuildNode>();
        node->origin = node->below = from;
        return *(parent.edits[std::string(name)] = std::move(node));
    }

    BuildNode& enter(BuildNode& parent, std::string_view name, std::string_view path) {
        const Place place = child({&parent, kNoNode}, name);
        if (place && type_of(place) != FileType::Directory)
            fail(ErrorKind::Invalid, "'" + std::string(path) + "': '" + std::string(name) +
                                         "' on the way is not a directory");
        if (place.touched) return *place.touched;
        if (place) return touch(parent, name, place.base);
        auto& slot = parent.edits[std::string(name)];
        slot = std::make_unique<BuildNode>();
        slot->spec = plain_directory();
        return *slot;
    }

    void put_child(BuildNode& parent, std::string_view name, EntrySpec spec) {
        const Place old = child({&parent, kNoNode}, name);
        const bool keeps_children =
            old && spec.type == FileType::Directory && type_of(old) == FileType::Directory;
        BuildNode* node = nullptr;
        if (keeps_children)
            node = old.touched ? old.touched : &touch(parent, name, old.base);
        else
            node = (parent.edits[std::string(name)] = std::make_unique<BuildNode>()).get();
        node->spec = std::make_unique<EntrySpec>(std::move(spec));
    }

    EntrySpec spec_of(const Place& place) const {
        if (!place.touched) return base->entry(place.base).spec();
        const BuildNode& node = *place.touched;
        return node.spec ? *node.spec : base->entry(node.origin).spec();
    }

    NodeId append_self(Assembler& out, const BuildNode& node, NodeId parent,
                       std::string_view name) {
        return out.append(parent, name, node.spec ? view_of(*node.spec) : base->entry(node.origin));
    }

    // Calls `visit(name, edit, base child)` for every child in name order; exactly one is set.
    template <typename Visit>
    void for_each_child(const BuildNode& node, Visit&& visit) const {
        NodeId from = node.below == kNoNode ? kNoNode : base->first_child(node.below);
        auto edit = node.edits.begin();
        while (from != kNoNode || edit != node.edits.end()) {
            const int order = edit == node.edits.end()
                                  ? -1
                                  : (from == kNoNode ? 1 : base->name(from).compare(edit->first));
            if (order < 0) {
                visit(base->name(from), static_cast<const BuildNode*>(nullptr), from);
            } else {
                if (edit->second) visit(std::string_view(edit->first), edit->second.get(), kNoNode);
                ++edit;
            }
            if (order <= 0) from = base->next_sibling(from);
        }
    }

    void append_children(Assembler& out, const BuildNode& node, NodeId self) {
        for_each_child(node, [&](std::string_view name, const BuildNode* edit, NodeId from) {
            if (edit)
                append_children(out, *edit, append_self(out, *edit, self, name));
            else
                out.append_base_subtree(self, from);
        });
    }
};

TreeBuilder::TreeBuilder() : state_(std::make_unique<State>()) {
    state_->root.spec = plain_directory();
}

TreeBuilder::TreeBuilder(const Tree& base) : state_(std::make_unique<State>()) {
    state_->base = &base;
    state_->root.origin = state_->root.below = kRoot;
    state_->last_group = base.data().group_digests.size() - 1;
}

TreeBuilder::TreeBuilder(TreeBuilder&&) noexcept = default;
TreeBuilder::~TreeBuilder() = default;

void TreeBuilder::put(std::string_view path, EntrySpec spec) {
    const auto parts = split(path);
    tidy_xattrs(path, spec.xattrs);
    check_target(path, spec);
    state_->last_group = std::max(state_->last_group, spec.link_group);
    if (parts.empty()) {
        if (spec.type != FileType::Directory)
            fail(ErrorKind::Invalid, "the root of a tree must be a directory");
        state_->root.spec = std::make_unique<EntrySpec>(std::move(spec));
        return;
    }
    state_->put_child(state_->parent_of(parts, path), parts.back(), std::move(spec));
}

void TreeBuilder::put_base_directory(std::string_view path, NodeId node) {
    const auto parts = split(path);
    SHALE_ENSURE(state_->base && !parts.empty() && state_->base->data().is_directory(node));
    state_->touch(state_->parent_of(parts, path), parts.back(), node);
}

void TreeBuilder::remove(std::string_view path) {
    const auto parts = split(path);
    if (parts.empty()) fail(ErrorKind::Invalid, "the root of a tree cannot be removed");
    if (!state_->find(path)) return;
    BuildNode* parent = &state_->root;
    for (std::size_t at = 0; at + 1 < parts.size(); ++at)
        parent = &state_->enter(*parent, parts[at], path);
    const bool in_base =
        parent->below != kNoNode && state_->base->child(parent->below, parts.back()) != kNoNode;
    if (in_base)
        parent->edits[std::string(parts.back())] = nullptr;
    else
        parent->edits.erase(parent->edits.find(parts.back()));
}

void TreeBuilder::clear_children(std::string_view path) {
    const Place place = state_->find(path);
    if (!place || state_->type_of(place) != FileType::Directory) return;
    BuildNode* node = &state_->root;
    for (const auto part : split(path))
        node = &state_->enter(*node, part, path);
    node->below = kNoNode;
    node->edits.clear();
}

std::optional<EntrySpec> TreeBuilder::get(std::string_view path) const {
    const Place place = state_->find(path);
    if (!place) return std::nullopt;
    return state_->spec_of(place);
}

std::vector<std::string> TreeBuilder::children(std::string_view path) const {
    std::vector<std::string> names;
    const Place place = state_->find(path);
    if (!place) return names;
    BuildNode untouched;
    untouched.below = place.base;
    state_->for_each_child(
        place.touched ? *place.touched : untouched,
        [&](std::string_view name, const BuildNode*, NodeId) { names.emplace_back(name); });
    return names;
}

std::uint64_t TreeBuilder::new_link_group() {
    return ++state_->last_group;
}

Tree TreeBuilder::finish() {
    Assembler out(state_->base ? &state_->base->data() : nullptr);
    const NodeId root = state_->append_self(out, state_->root, kNoNode, "");
    state_->append_children(out, state_->root, root);
    return out.finish();
}

}  // namespace shale::snapshot
