// The application of a copy: walks the selected subtrees in tree order. Input trees are immutable,
// so a failed copy leaves nothing behind.
#include "copy.hpp"

#include <unordered_map>

namespace shale::build {
namespace {

using snapshot::EntrySpec;
using snapshot::kNoNode;
using snapshot::NodeId;
using snapshot::Tree;
using snapshot::TreeBuilder;

constexpr int kMaxSymlinks = 255;

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
        Place top_place;
        top_place.target = target;
        copy_children(node, top_place);
    }

    // Merges what `kept` says of the directory `node` into the directory `target`.
    void copy_kept(NodeId node, const std::string& target, const Kept& kept) {
        kept_ = &kept;
        copy_directory(node, target);
        kept_ = nullptr;
    }

  private:
    // The patterns' view of a directory that is being copied.
    struct Place {
        std::string target, relative;
        dockerfile::IgnoreMatcher::State includes, excludes;
        std::size_t depth = 0;
    };
    // A directory that appears only if something below it does.
    struct Pending {
        NodeId node;
        std::string target;
    };

    EntrySpec spec_of(NodeId node) const {
        EntrySpec spec = source_.entry(node).spec();
        if (spec.link_group) spec.link_group |= group_base_ << 32;
        if (spec.type == FileType::Socket) spec.type = FileType::Regular;  // an empty file
        return with_options(std::move(spec), options_);
    }

    // True if the copy of a directory and of all below it is like the original: no sockets, which
    // become files, and no links, which may lead to other directories. What is laid in from the
    // builder's own base would keep the fractions of its times.
    bool is_copied_whole(NodeId directory) const {
        if (kept_ || !options_.excludes.empty() || options_.owner || options_.mode ||
            out_.is_over(source_))
            return false;
        for (NodeId node = directory; node < source_.end(directory); ++node) {
            const auto entry = source_.entry(node);
            if (entry.type == FileType::Socket || entry.link_group != 0) return false;
        }
        return true;
    }

    // Decides a child; `below` gets the state for its own children. What is not taken may still
    // have something below it that is.
    bool takes(NodeId child, const Place& place, Place& below, bool& may_hold_more) const {
        const bool is_directory = source_.entry(child).type == FileType::Directory;
        bool taken = true;
        may_hold_more = is_directory;
        if (kept_ && !kept_->matcher.empty())
            taken = kept_->matcher
                        .decide(below.relative, place.includes,
                                is_directory ? &below.includes : nullptr)
                        .excluded;
        if (options_.excludes.empty()) return taken;
        const auto verdict = options_.excludes.decide(below.relative, place.excludes,
                                                      is_directory ? &below.excludes : nullptr);
        if (!verdict.excluded) return taken;
        may_hold_more = is_directory && !verdict.may_prune;
        return false;
    }

    void copy_children(NodeId node, const Place& place) {
        if (kept_ && place.depth < kept_->fixed.size()) {  // only one can match
            const NodeId child = source_.child(node, kept_->fixed[place.depth]);
            if (child != kNoNode) copy_child(child, place);
            return;
        }
        for (NodeId child = source_.first_child(node); child != kNoNode;
             child = source_.next_sibling(child))
            copy_child(child, place);
    }

    void copy_child(NodeId child, const Place& place) {
        const std::string name(source_.name(child));
        Place below;
        below.relative = place.relative.empty() ? name : place.relative + "/" + name;
        below.target = place.target.empty() ? name : place.target + "/" + name;
        below.depth = place.depth + 1;
        bool may_hold_more = false;
        const bool taken = takes(child, place, below, may_hold_more);
        const bool is_directory = source_.entry(child).type == FileType::Directory;
        if (is_directory && !out_.get(below.target) && is_copied_whole(child)) {
            out_.put_subtree(below.target, source_, child);
        } else if (taken) {
            put_pending();
            is_directory ? put_directory(child, below.target) : copy_file(child, below.target);
            if (is_directory) copy_children(child, below);
        } else if (may_hold_more) {
            const auto before = pending_.size();
            pending_.push_back({child, below.target});
            copy_children(child, below);
            if (pending_.size() > before) pending_.resize(before);
        }
    }

    void put_pending() {
        for (const auto& directory : pending_)
            put_directory(directory.node, directory.target);
        pending_.clear();
    }

    void put_directory(NodeId node, const std::string& target) {
        const auto existing = out_.get(target);
        if (existing && existing->type != FileType::Directory)
            fail(ErrorKind::Invalid, "cannot copy to non-directory: /" + target);
        out_.put(target, spec_of(node));
    }

    TreeBuilder& out_;
    const Tree& source_;
    const CopyOptions& options_;
    std::uint64_t group_base_;
    const Kept* kept_ = nullptr;
    std::vector<Pending> pending_;
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

std::string resolve_destination(const TreeBuilder& tree, std::string_view path) {
    auto todo = path_components(path);
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
        auto replacement = path_components(spec->link_target);
        replacement.insert(replacement.end(), todo.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                           todo.end());
        todo = std::move(replacement);
        i = static_cast<std::size_t>(-1);
    }
    return text();
}

void make_parents(TreeBuilder& out, std::string_view path, const CopyOptions& options) {
    std::string prefix;
    for (const auto& part : path_components(path)) {
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
            if (selected.kept)
                copier.copy_kept(selected.node, target, *selected.kept);
            else
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
        const bool whole = !selected.kept && options.excludes.empty();
        if (whole || source.entry(selected.node).type != FileType::Directory) {
            key.add("content", source.key_digest(selected.node, policy));
            continue;
        }
        // The subtree's own digest says too much: digest what would be copied.
        TreeBuilder filtered;
        CopyOptions only_excludes;
        only_excludes.destination = "/";
        only_excludes.excludes = options.excludes;
        copy_into(filtered, source, {selected}, only_excludes, 1);
        key.add("content", filtered.finish().key_digest(snapshot::kRoot, policy));
    }
}

void lay_over(TreeBuilder& out, const Tree& upper) {
    std::unordered_map<std::uint64_t, std::uint64_t> groups;
    for (NodeId node = snapshot::kRoot + 1; node < upper.size(); ++node) {
        EntrySpec spec = upper.entry(node).spec();
        if (spec.link_group) {
            const auto [known, is_new] = groups.try_emplace(spec.link_group, 0);
            if (is_new) known->second = out.new_link_group();
            spec.link_group = known->second;
        }
        out.put(upper.path(node), std::move(spec));
    }
}

}  // namespace shale::build
