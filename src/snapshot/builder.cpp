// TreeBuilder: edits laid over a base tree.
//
// An edit touches only the directories on its path. Each touched directory is a BuildNode that
// holds its changed children by name and, for the rest, the directory of the base, or of another
// tree, that shows through; a removed child is a null entry. finish() walks touched directories
// merging the two sorted lists. Untouched subtrees of a large base are shared (patch.hpp), so that
// k edits cost O(k log n) and the entries of the touched directories; so is what is equal in a past
// tree that the caller names (likeness.hpp). Where that cannot be, they are copied as they are.
#include "assembler.hpp"
#include "likeness.hpp"
#include "patch.hpp"

#include <algorithm>
#include <limits>
#include <map>

namespace shale::snapshot {

namespace {

// A node of the base or of a tree that was laid in.
struct Origin {
    const Tree* tree = nullptr;
    NodeId node = kNoNode;
    explicit operator bool() const { return node != kNoNode; }
};

struct BuildNode {
    Origin origin;  // whose metadata counts while `spec` is null
    Origin below;   // the directory whose children show through `edits`
    std::unique_ptr<EntrySpec> spec;
    std::map<std::string, std::unique_ptr<BuildNode>, std::less<>> edits;  // null: removed
};

// Where a path leads: a touched node, else an untouched one of a tree, else nowhere.
struct Place {
    BuildNode* touched = nullptr;
    Origin origin;
    explicit operator bool() const { return touched || origin; }
};

Origin child_of(const Origin& directory, std::string_view name) {
    if (!directory) return {};
    return {directory.tree, directory.tree->child(directory.node, name)};
}

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
    bool whole_seconds = false;
    bool moves_base = false;  // a directory of the base shows in another place
    std::shared_ptr<const Tree::Data> past;
    // What the numbers of link groups of laid-in trees are raised by.
    std::map<const Tree*, std::uint64_t> first_groups;

    std::uint64_t first_group(const Tree* tree) const {
        const auto known = first_groups.find(tree);
        return known == first_groups.end() ? 0 : known->second;
    }
    Entry entry_of(const Origin& origin) const {
        Entry entry = origin.tree->entry(origin.node);
        if (origin.tree == base) return entry;
        if (entry.link_group != 0) entry.link_group += first_group(origin.tree);
        if (whole_seconds) entry.mtime_ns = shale::whole_seconds(entry.mtime_ns);
        return entry;
    }

    FileType type_of(const Place& place) const {
        if (!place.touched) return entry_of(place.origin).type;
        const BuildNode& node = *place.touched;
        return node.spec ? node.spec->type : entry_of(node.origin).type;
    }

    Place child(const Place& parent, std::string_view name) const {
        if (!parent.touched) return {nullptr, child_of(parent.origin, name)};
        const auto edit = parent.touched->edits.find(name);
        if (edit != parent.touched->edits.end()) return {edit->second.get(), {}};
        return {nullptr, child_of(parent.touched->below, name)};
    }

    Place find(std::string_view path) {
        Place at{&root, {}};
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

    // The touched form of the child `name` of `parent`, which is what `from` is.
    BuildNode& touch(BuildNode& parent, std::string_view name, const Origin& from) {
        auto node = std::make_unique<BuildNode>();
        node->origin = node->below = from;
        return *(parent.edits[std::string(name)] = std::move(node));
    }

    BuildNode& enter(BuildNode& parent, std::string_view name, std::string_view path) {
        const Place place = child({&parent, {}}, name);
        if (place && type_of(place) != FileType::Directory)
            fail(ErrorKind::Invalid, "'" + std::string(path) + "': '" + std::string(name) +
                                         "' on the way is not a directory");
        if (place.touched) return *place.touched;
        if (place) return touch(parent, name, place.origin);
        auto& slot = parent.edits[std::string(name)];
        slot = std::make_unique<BuildNode>();
        slot->spec = plain_directory();
        return *slot;
    }

    void put_child(BuildNode& parent, std::string_view name, EntrySpec spec) {
        const Place old = child({&parent, {}}, name);
        const bool keeps_children =
            old && spec.type == FileType::Directory && type_of(old) == FileType::Directory;
        BuildNode* node = nullptr;
        if (keeps_children)
            node = old.touched ? old.touched : &touch(parent, name, old.origin);
        else
            node = (parent.edits[std::string(name)] = std::make_unique<BuildNode>()).get();
        node->spec = std::make_unique<EntrySpec>(std::move(spec));
    }

    EntrySpec spec_of(const Place& place) const {
        if (!place.touched) return entry_of(place.origin).spec();
        const BuildNode& node = *place.touched;
        return node.spec ? *node.spec : entry_of(node.origin).spec();
    }

    template <typename Out>
    NodeId append_self(Out& out, const BuildNode& node, NodeId parent, std::string_view name) {
        return out.append(parent, name, node.spec ? view_of(*node.spec) : entry_of(node.origin));
    }

    // Calls `visit(name, edit, origin)` for every child in name order; exactly one is set.
    template <typename Visit>
    void for_each_child(const BuildNode& node, Visit&& visit) const {
        const Tree* const tree = node.below.tree;
        NodeId from = node.below ? tree->first_child(node.below.node) : kNoNode;
        auto edit = node.edits.begin();
        while (from != kNoNode || edit != node.edits.end()) {
            const int order = edit == node.edits.end()
                                  ? -1
                                  : (from == kNoNode ? 1 : tree->name(from).compare(edit->first));
            if (order < 0) {
                visit(tree->name(from), static_cast<const BuildNode*>(nullptr), Origin{tree, from});
            } else {
                if (edit->second)
                    visit(std::string_view(edit->first), edit->second.get(), Origin{});
                ++edit;
            }
            if (order <= 0) from = tree->next_sibling(from);
        }
    }

    template <typename Out>
    void append_children(Out& out, const BuildNode& node, NodeId self) {
        for_each_child(node, [&](std::string_view name, const BuildNode* edit, const Origin& from) {
            if (edit)
                append_children(out, *edit, append_self(out, *edit, self, name));
            else
                append_untouched(out, self, from);
        });
    }

    void append_untouched(Assembler& out, NodeId parent, const Origin& from) {
        out.append_subtree(parent, from.tree->data(), from.node,
                           {first_group(from.tree), whole_seconds && from.tree != base});
    }

    void append_untouched(PatchAssembler& out, NodeId parent, const Origin& from) {
        if (from.tree == base) return out.append_subtree(parent, from.node);
        append_one_by_one(out, parent, from, [](NodeId, NodeId) { return false; });
    }

    // What shows of the base where it was there may be equal as a whole.
    void append_untouched(LikenessAssembler& out, NodeId parent, const Origin& from) {
        const Tree& tree = *from.tree;
        const bool is_kept = from.tree == base && !moves_base;
        append_one_by_one(out, parent, from, [&](NodeId above, NodeId node) {
            return is_kept && tree.data().is_directory(node) &&
                   out.append_equal(above, tree.name(node), tree.digest(node));
        });
    }

    // `skip(parent, node)` may append a node with all below it, and says whether it did.
    template <typename Out, typename Skip>
    void append_one_by_one(Out& out, NodeId parent, const Origin& from, const Skip& skip) {
        const Tree& tree = *from.tree;
        tree.data().require_subtree(from.node);
        const NodeId end = tree.end(from.node);
        const std::size_t top_depth = tree.data().node(from.node).depth;
        std::vector<NodeId> open;  // by depth below `from`: what it is here
        for (NodeId node = from.node; node < end && out.is_possible();) {
            const std::size_t depth = tree.data().node(node).depth - top_depth;
            open.resize(depth);
            const NodeId above = depth == 0 ? parent : open.back();
            if (skip(above, node)) {
                node = tree.end(node);
                continue;
            }
            open.push_back(out.append(above, tree.name(node), entry_of({from.tree, node})));
            ++node;
        }
    }

    template <typename Out>
    void append_all(Out& out) {
        append_children(out, root, append_self(out, root, kNoNode, ""));
    }
};

TreeBuilder::TreeBuilder() : state_(std::make_unique<State>()) {
    state_->root.spec = plain_directory();
}

TreeBuilder::TreeBuilder(const Tree& base) : state_(std::make_unique<State>()) {
    state_->base = &base;
    state_->root.origin = state_->root.below = {&base, kRoot};
    state_->last_group = base.data().group_count();
}

TreeBuilder::TreeBuilder(TreeBuilder&&) noexcept = default;
TreeBuilder::~TreeBuilder() = default;

void TreeBuilder::put(std::string_view path, EntrySpec spec) {
    const auto parts = split(path);
    tidy_xattrs(path, spec.xattrs);
    check_target(path, spec);
    state_->last_group = std::max(state_->last_group, spec.link_group);
    if (state_->whole_seconds) spec.mtime_ns = whole_seconds(spec.mtime_ns);
    if (parts.empty()) {
        if (spec.type != FileType::Directory)
            fail(ErrorKind::Invalid, "the root of a tree must be a directory");
        state_->root.spec = std::make_unique<EntrySpec>(std::move(spec));
        return;
    }
    state_->put_child(state_->parent_of(parts, path), parts.back(), std::move(spec));
}

void TreeBuilder::put_subtree(std::string_view path, const Tree& tree, NodeId directory) {
    const auto parts = split(path);
    SHALE_ENSURE(!parts.empty() && tree.data().is_directory(directory));
    if (&tree == state_->base) {
        state_->moves_base = true;
    } else {
        const auto [at, is_new] = state_->first_groups.try_emplace(&tree, state_->last_group);
        if (is_new) state_->last_group += tree.data().group_count();
    }
    state_->touch(state_->parent_of(parts, path), parts.back(), {&tree, directory});
}

void TreeBuilder::remove(std::string_view path) {
    const auto parts = split(path);
    if (parts.empty()) fail(ErrorKind::Invalid, "the root of a tree cannot be removed");
    if (!state_->find(path)) return;
    BuildNode* parent = &state_->root;
    for (std::size_t at = 0; at + 1 < parts.size(); ++at)
        parent = &state_->enter(*parent, parts[at], path);
    if (child_of(parent->below, parts.back()))
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
    node->below = {};
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
    untouched.below = place.origin;
    state_->for_each_child(
        place.touched ? *place.touched : untouched,
        [&](std::string_view name, const BuildNode*, const Origin&) { names.emplace_back(name); });
    return names;
}

void TreeBuilder::expect_like(const Tree& past) {
    state_->past = past.shared_data();
}

void TreeBuilder::use_whole_seconds() {
    state_->whole_seconds = true;
}

bool TreeBuilder::is_over(const Tree& tree) const {
    return state_->base == &tree;
}

std::uint64_t TreeBuilder::new_link_group() {
    return ++state_->last_group;
}

Tree TreeBuilder::finish() {
    if (state_->base && !state_->moves_base && state_->base->size() >= least_shared()) {
        PatchAssembler patch(state_->base->shared_data());
        state_->append_all(patch);
        if (auto tree = patch.finish()) return Tree(std::move(tree));
    }
    if (state_->past && state_->past->size() >= least_shared()) {
        LikenessAssembler like(state_->past);
        state_->append_all(like);
        if (auto tree = like.finish()) return Tree(std::move(tree));
    }
    Assembler out(state_->base ? &state_->base->data() : nullptr);
    state_->append_all(out);
    return out.finish();
}

}  // namespace shale::snapshot
