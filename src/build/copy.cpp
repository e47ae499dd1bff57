// Selection walks the source by names; application walks the selected subtrees in tree order. Both
// work on immutable input trees, so a failed copy leaves nothing behind.
#include "copy.hpp"

namespace shale::build {
namespace {

using snapshot::EntrySpec;
using snapshot::kNoNode;
using snapshot::NodeId;
using snapshot::Tree;
using snapshot::TreeBuilder;

constexpr int kMaxSymlinks = 255;

std::vector<std::string> components(std::string_view path) {
    std::vector<std::string> parts;
    while (!path.empty()) {
        const auto slash = path.find('/');
        if (slash != 0) parts.emplace_back(path.substr(0, slash));
        path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    }
    return parts;
}

// Every child of `directory` whose name matches `pattern`, in name order.
std::vector<NodeId> matching_children(const Tree& tree, NodeId directory,
                                      const std::string& pattern) {
    std::vector<NodeId> found;
    if (tree.entry(directory).type != FileType::Directory) return found;
    for (NodeId child = tree.first_child(directory); child != kNoNode;
         child = tree.next_sibling(child))
        if (dockerfile::match_glob(pattern, tree.name(child))) found.push_back(child);
    return found;
}

std::vector<Selected> select_wildcard(const Tree& source, const std::vector<std::string>& parts) {
    std::size_t fixed = 0;
    std::string prefix;
    while (!dockerfile::has_wildcard(parts[fixed]))
        prefix += "/" + parts[fixed++];
    const NodeId start = source.resolve(prefix);
    if (start == kNoNode) return {};
    // Later components are matched by name without following links in between, as the reference
    // walks; a match itself is dereferenced.
    std::vector<std::pair<NodeId, std::string>> level{{start, prefix}};
    for (std::size_t i = fixed; i < parts.size(); ++i) {
        std::vector<std::pair<NodeId, std::string>> next;
        for (const auto& [node, path] : level)
            for (const NodeId child : matching_children(source, node, parts[i]))
                next.emplace_back(child, path + "/" + std::string(source.name(child)));
        level = std::move(next);
    }
    std::vector<Selected> selection;
    for (const auto& [node, path] : level) {
        const NodeId target = source.resolve(source.path(node));
        if (target == kNoNode) fail(ErrorKind::NotFound, "\"" + path + "\": not found");
        selection.push_back({target, std::string(source.name(node)), path.substr(1), true});
    }
    return selection;
}

EntrySpec with_options(EntrySpec spec, const CopyOptions& options) {
    if (options.owner) {
        spec.uid = options.owner->uid;
        spec.gid = options.owner->gid;
    }
    if (options.mode && spec.type != FileType::Symlink)
        spec.mode = options.mode->apply(spec.mode, spec.type == FileType::Directory);
    return spec;
}

EntrySpec created_directory(const CopyOptions& options) {
    EntrySpec spec;
    spec.mtime_ns = options.now_ns;
    if (options.owner) {
        spec.uid = options.owner->uid;
        spec.gid = options.owner->gid;
    }
    if (options.mode && options.mode->octal()) spec.mode = *options.mode->octal();
    return spec;
}

class Copier {
  public:
    Copier(TreeBuilder& out, const Tree& source, const CopyOptions& options,
           std::uint64_t group_base)
        : out_(out), source_(source), options_(options), group_base_(group_base) {}

    void copy_file(NodeId node, const std::string& target) {
        const auto existing = out_.get(target);
        if (existing && existing->type == FileType::Directory)
            fail(ErrorKind::Invalid, "cannot replace to directory /" + target + " with file");
        out_.put(target, spec_of(node));
    }

    // Merges the children of `node` into the directory `target`.
    void copy_directory(NodeId node, const std::string& target) {
        const auto existing = out_.get(target);
        if (existing && existing->type != FileType::Directory)
            fail(ErrorKind::Invalid, "cannot copy to non-directory: /" + target);
        EntrySpec top = existing ? *existing : created_directory(options_);
        top.mtime_ns = source_.entry(node).mtime_ns;
        out_.put(target, top);
        copy_children(node, target, "", {});
    }

  private:
    EntrySpec spec_of(NodeId node) const {
        EntrySpec spec = source_.entry(node).spec();
        if (spec.link_group) spec.link_group |= group_base_ << 32;
        return with_options(std::move(spec), options_);
    }

    void copy_children(NodeId node, const std::string& target, const std::string& relative,
                       const dockerfile::IgnoreMatcher::State& state) {
        for (NodeId child = source_.first_child(node); child != kNoNode;
             child = source_.next_sibling(child)) {
            const std::string name(source_.name(child));
            const std::string child_relative = relative.empty() ? name : relative + "/" + name;
            const std::string child_target = target.empty() ? name : target + "/" + name;
            const bool is_directory = source_.entry(child).type == FileType::Directory;
            dockerfile::IgnoreMatcher::State child_state;
            if (!options_.excludes.empty()) {
                const auto verdict = options_.excludes.decide(
                    child_relative, state, is_directory ? &child_state : nullptr);
                if (verdict.excluded && (!is_directory || verdict.may_prune)) continue;
                if (verdict.excluded) {  // something below may be re-included
                    copy_below_excluded(child, child_target, child_relative, child_state);
                    continue;
                }
            }
            if (!is_directory) {
                copy_file(child, child_target);
                continue;
            }
            put_directory(child, child_target);
            copy_children(child, child_target, child_relative, child_state);
        }
    }

    void put_directory(NodeId node, const std::string& target) {
        const auto existing = out_.get(target);
        if (existing && existing->type != FileType::Directory)
            fail(ErrorKind::Invalid, "cannot copy to non-directory: /" + target);
        out_.put(target, spec_of(node));
    }

    // An excluded directory appears only if something below it is included.
    void copy_below_excluded(NodeId node, const std::string& target, const std::string& relative,
                             const dockerfile::IgnoreMatcher::State& state) {
        if (!has_included(node, relative, state)) return;
        put_directory(node, target);
        copy_children(node, target, relative, state);
    }

    bool has_included(NodeId node, const std::string& relative,
                      const dockerfile::IgnoreMatcher::State& state) const {
        for (NodeId child = source_.first_child(node); child != kNoNode;
             child = source_.next_sibling(child)) {
            const std::string path = relative + "/" + std::string(source_.name(child));
            const bool is_directory = source_.entry(child).type == FileType::Directory;
            dockerfile::IgnoreMatcher::State child_state;
            const auto verdict =
                options_.excludes.decide(path, state, is_directory ? &child_state : nullptr);
            if (!verdict.excluded) return true;
            if (is_directory && !verdict.may_prune && has_included(child, path, child_state))
                return true;
        }
        return false;
    }

    TreeBuilder& out_;
    const Tree& source_;
    const CopyOptions& options_;
    std::uint64_t group_base_;
};

}  // namespace

bool is_excluded_operand(const Selected& selected, const CopyOptions& options) {
    return selected.by_wildcard && !options.excludes.empty() &&
           options.excludes.is_excluded(selected.name);
}

bool names_directory(std::string_view destination) {
    return destination.empty() || destination == "." || destination.ends_with('/') ||
           destination.ends_with("/.");
}

std::vector<Selected> select(const Tree& source, std::string_view operand) {
    const std::string clean = clean_absolute_path(operand);
    const auto parts = components(clean);
    for (const auto& part : parts)
        if (dockerfile::has_wildcard(part)) return select_wildcard(source, parts);
    const NodeId node = source.resolve(clean);
    if (node == kNoNode) fail(ErrorKind::NotFound, "\"" + clean + "\": not found");
    return {{node, parts.empty() ? "" : parts.back(), clean.substr(1), false}};
}

std::string resolve_destination(const TreeBuilder& tree, std::string_view path) {
    auto todo = components(path);
    std::vector<std::string> done;
    int links = 0;
    const auto text = [&] {
        std::string joined;
        for (const auto& part : done)
            joined += (joined.empty() ? "" : "/") + part;
        return joined;
    };
    for (std::size_t i = 0; i < todo.size(); ++i) {
        const std::string part = todo[i];
        if (part == ".") continue;
        if (part == "..") {
            if (!done.empty()) done.pop_back();
            continue;
        }
        done.push_back(part);
        const auto spec = tree.get(text());
        if (!spec || spec->type != FileType::Symlink) continue;
        if (++links > kMaxSymlinks)
            fail(ErrorKind::Invalid, std::string(path) + ": too many links");
        done.pop_back();
        if (spec->link_target.starts_with('/')) done.clear();
        auto replacement = components(spec->link_target);
        replacement.insert(replacement.end(), todo.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                           todo.end());
        todo = std::move(replacement);
        i = static_cast<std::size_t>(-1);
    }
    return text();
}

void make_parents(TreeBuilder& out, std::string_view path, const CopyOptions& options) {
    std::string prefix;
    for (const auto& part : components(path)) {
        prefix += (prefix.empty() ? "" : "/") + part;
        const auto existing = out.get(prefix);
        if (!existing)
            out.put(prefix, created_directory(options));
        else if (existing->type != FileType::Directory)
            fail(ErrorKind::Invalid,
                 "cannot create directory /" + prefix + ": a file is in the way");
    }
}

void copy_into(TreeBuilder& out, const Tree& source, const std::vector<Selected>& selection,
               const CopyOptions& options, std::uint64_t group_base) {
    Copier copier(out, source, options, group_base);
    const bool wants_directory = names_directory(options.destination);
    for (const auto& selected : selection) {
        if (is_excluded_operand(selected, options)) continue;
        const bool is_directory = source.entry(selected.node).type == FileType::Directory;
        std::string target = resolve_destination(out, options.destination);
        const auto existing = out.get(target);
        if (is_directory) {
            const auto slash = target.rfind('/');
            if (slash != std::string::npos) make_parents(out, target.substr(0, slash), options);
            copier.copy_directory(selected.node, target);
            continue;
        }
        if (wants_directory || (existing && existing->type == FileType::Directory)) {
            make_parents(out, target, options);
            target += (target.empty() ? "" : "/") + selected.name;
        } else if (const auto slash = target.rfind('/'); slash != std::string::npos) {
            make_parents(out, target.substr(0, slash), options);
        }
        copier.copy_file(selected.node, target);
    }
}

void add_to_key(Key& key, const Tree& source, const std::vector<Selected>& selection,
                const CopyOptions& options) {
    const snapshot::KeyPolicy policy{.owner = !options.owner,
                                     .mode = !(options.mode && options.mode->octal())};
    for (const auto& selected : selection) {
        if (is_excluded_operand(selected, options)) continue;
        key.add("name", selected.name);
        if (options.excludes.empty() || source.entry(selected.node).type != FileType::Directory) {
            key.add("content", source.key_digest(selected.node, policy));
            continue;
        }
        // With excludes the subtree's own digest says too much: digest what would be copied.
        TreeBuilder filtered;
        CopyOptions only_excludes;
        only_excludes.destination = "/";
        only_excludes.excludes = options.excludes;
        copy_into(filtered, source, {selected}, only_excludes, 1);
        key.add("content", filtered.finish().key_digest(snapshot::kRoot, policy));
    }
}

}  // namespace shale::build
