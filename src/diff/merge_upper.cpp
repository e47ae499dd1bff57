// merge_upper: what overlayfs shows with `upper` over `parent`, without mounting anything.
//
// The upper directory is scanned like any other and comes as a tree, marks and all; the rest is an
// edit of the parent. For every upper directory we know its *lower*: the parent's directory that
// shows through it, which is the one of the same name below the parent directory's lower unless a
// redirect names another, and none if the directory is opaque or a whiteout stands in between.
//
//   char 0/0, or an empty file marked whiteout      remove
//   directory, no lower                             put, nothing shows through
//   directory, lower of the same path               put over it, children stay
//   directory, redirected lower                     take the lower's subtree along, put over it
//   file with metacopy                              metadata from the upper, content from the lower
//   other file, equal to the lower one              nothing: the parent's entry, link group
//   socket                                          remove: trees hold none, but it hides the lower
//   anything else                                   put
//
// The marks are xattrs named trusted.overlay.* (mounts by root) or user.overlay.* (mounts with
// userxattr); they are dropped from the result. Symbolic links of the parent are never followed: a
// redirect is a path of real directories, as in the kernel.
#include <shale/diff.hpp>

#include <algorithm>
#include <optional>
#include <unordered_map>

namespace shale::diff {

namespace {

using snapshot::Entry;
using snapshot::EntrySpec;
using snapshot::kNoNode;
using snapshot::kRoot;
using snapshot::NodeId;
using snapshot::Tree;
using snapshot::TreeBuilder;

constexpr std::string_view kTrusted = "trusted.overlay.", kUser = "user.overlay.";

// The part of an xattr's name after overlay's prefix; nullopt for an ordinary xattr.
std::optional<std::string_view> overlay_mark(std::string_view name, Marks marks) {
    if (marks != Marks::User && name.starts_with(kTrusted)) return name.substr(kTrusted.size());
    if (marks != Marks::Trusted && name.starts_with(kUser)) return name.substr(kUser.size());
    return std::nullopt;
}

// What overlayfs noted on one upper entry.
struct Noted {
    bool is_opaque = false;
    bool has_xattr_whiteouts = false;  // files below may be whiteouts by xattr
    bool is_whiteout = false;
    bool is_metacopy = false;
    bool is_indexed_link = false;
    std::string_view redirect;
};

template <typename Xattrs>
Noted noted_on(const Xattrs& xattrs, Marks kind) {
    Noted marks;
    for (const Xattr& xattr : xattrs) {
        const auto mark = overlay_mark(xattr.name, kind);
        if (!mark) continue;
        if (*mark == "opaque") {
            marks.is_opaque = xattr.value == "y";
            marks.has_xattr_whiteouts = xattr.value == "x";
        } else if (*mark == "whiteout") {
            marks.is_whiteout = true;
        } else if (*mark == "metacopy") {
            marks.is_metacopy = true;
        } else if (*mark == "nlink") {
            marks.is_indexed_link = true;
        } else if (*mark == "redirect") {
            marks.redirect = xattr.value;
        }
    }
    return marks;
}

class Merge {
  public:
    // Entries are compared as they are, whatever `times` says: a parent from elsewhere may have
    // times with fractions.
    Merge(const Tree& parent, const Tree& upper, Times times, Marks kind)
        : parent_(parent), upper_(upper), kind_(kind), builder_(parent) {
        if (times == Times::WholeSeconds) builder_.use_whole_seconds();
    }

    Tree run() {
        const Entry root = upper_.entry(kRoot);
        const Noted marks = noted_on(root.xattrs, kind_);
        if (marks.is_opaque) builder_.clear_children("");
        put_directory(unmarked(root), kRoot);
        merge_children(kRoot, marks.is_opaque ? kNoNode : kRoot, marks.has_xattr_whiteouts);
        return builder_.finish();
    }

  private:
    void merge_children(NodeId directory, NodeId lower, bool has_xattr_whiteouts) {
        for (NodeId node = upper_.first_child(directory); node != kNoNode;
             node = upper_.next_sibling(node)) {
            const std::size_t length = path_.size();
            path_ = join_path(path_, upper_.name(node));
            merge_entry(node, lower, has_xattr_whiteouts);
            path_.resize(length);
        }
    }

    // `lower` is the lower directory of the entry's directory.
    void merge_entry(NodeId node, NodeId lower, bool has_xattr_whiteouts) {
        const Entry entry = upper_.entry(node);
        const Noted marks = noted_on(entry.xattrs, kind_);
        if (is_whiteout(entry, marks, has_xattr_whiteouts)) return builder_.remove(path_);
        if (marks.is_indexed_link)
            fail(ErrorKind::Unsupported,
                 "'" + path_ + "': the overlay was mounted with index=on; use index=off");
        if (entry.type == FileType::Socket)
            return builder_.remove(path_);  // but it hides the lower
        if (entry.type == FileType::Directory) return merge_directory(node, entry, marks, lower);
        merge_file(node, entry, marks, lower);
    }

    static bool is_whiteout(const Entry& entry, const Noted& marks, bool has_xattr_whiteouts) {
        if (entry.type == FileType::CharDevice)
            return entry.device_major == 0 && entry.device_minor == 0;
        return entry.type == FileType::Regular && entry.size == 0 && has_xattr_whiteouts &&
               marks.is_whiteout;
    }

    void merge_directory(NodeId node, const Entry& entry, const Noted& marks, NodeId lower_parent) {
        const NodeId lower =
            marks.is_opaque ? kNoNode : lower_directory(lower_parent, upper_.name(node), marks);
        // What shows at this path so far is what the parent directory's lower has by this name.
        const NodeId showing =
            lower_parent == kNoNode ? kNoNode : parent_.child(lower_parent, upper_.name(node));
        if (lower != kNoNode && lower != showing) builder_.put_subtree(path_, parent_, lower);
        put_directory(unmarked(entry), lower);
        if (lower == kNoNode) builder_.clear_children(path_);
        merge_children(node, lower, marks.has_xattr_whiteouts);
    }

    // Over the directory `lower` of the parent, if any, which shows at path_.
    void put_directory(EntrySpec spec, NodeId lower) {
        if (lower != kNoNode && kind_ == Marks::User) keep_unseen(spec, parent_.entry(lower));
        if (lower == kNoNode || parent_.entry(lower).spec() != spec)
            builder_.put(path_, std::move(spec));
    }

    // Who may not set trusted.overlay.* does not see any trusted.*, nor can it have removed one.
    static void keep_unseen(EntrySpec& spec, const Entry& lower) {
        for (const Xattr& xattr : lower.xattrs)
            if (xattr.name.starts_with("trusted.")) spec.xattrs.push_back(xattr);
        std::ranges::sort(spec.xattrs, {}, &Xattr::name);
    }

    void merge_file(NodeId node, const Entry& entry, const Noted& marks, NodeId lower_parent) {
        EntrySpec spec = unmarked(entry);
        if (marks.is_metacopy && entry.type == FileType::Regular) {
            const NodeId source = follow(lower_parent, upper_.name(node), marks.redirect);
            const bool found = source != kNoNode && parent_.entry(source).type == FileType::Regular;
            if (!found)
                fail(ErrorKind::Corrupt, "'" + path_ +
                                             "': the file below it that a metacopy "
                                             "needs is missing");
            spec.size = parent_.entry(source).size;
            spec.content = parent_.entry(source).content;
        }
        if (entry.link_group != 0)
            spec.link_group = group_for(entry.link_group);
        else if (is_unchanged(node, spec, lower_parent))
            return;
        builder_.put(path_, std::move(spec));
    }

    // Copied up, but equal to what it was copied from.
    bool is_unchanged(NodeId node, const EntrySpec& spec, NodeId lower_parent) const {
        if (lower_parent == kNoNode) return false;
        const NodeId below = parent_.child(lower_parent, upper_.name(node));
        if (below == kNoNode) return false;
        EntrySpec old = parent_.entry(below).spec();
        old.link_group = 0;
        return old == spec;
    }

    NodeId lower_directory(NodeId lower_parent, std::string_view name, const Noted& marks) const {
        const NodeId lower = follow(lower_parent, name, marks.redirect);
        if (!marks.redirect.empty() &&
            (lower == kNoNode || parent_.entry(lower).type != FileType::Directory))
            fail(ErrorKind::Corrupt, "'" + path_ + "': redirected to '" +
                                         std::string(marks.redirect) +
                                         "', which is no directory below");
        if (lower == kNoNode || parent_.entry(lower).type != FileType::Directory) return kNoNode;
        return lower;
    }

    // An absolute redirect counts from the root, a relative one renames within the directory.
    NodeId follow(NodeId lower_parent, std::string_view name, std::string_view redirect) const {
        if (redirect.starts_with('/')) return parent_.find(redirect);
        if (lower_parent == kNoNode) return kNoNode;
        return parent_.child(lower_parent, redirect.empty() ? name : redirect);
    }

    // Neither kind may enter a tree, so that no image can speak to somebody else's overlay.
    static EntrySpec unmarked(const Entry& entry) {
        EntrySpec spec = entry.spec();
        std::erase_if(spec.xattrs, [](const Xattr& xattr) {
            return overlay_mark(xattr.name, Marks::Either).has_value();
        });
        spec.link_group = 0;
        return spec;
    }

    std::uint64_t group_for(std::uint64_t upper_group) {
        auto& group = groups_[upper_group];
        if (group == 0) group = builder_.new_link_group();
        return group;
    }

    const Tree& parent_;
    const Tree& upper_;
    const Marks kind_;
    TreeBuilder builder_;
    std::string path_;
    std::unordered_map<std::uint64_t, std::uint64_t> groups_;  // upper's -> builder's
};

// What the host's security modules (SELinux, IMA) write on every file says nothing about the tree.
bool is_host_label(std::string_view name) {
    return name.starts_with("security.") && name != "security.capability";
}

}  // namespace

Tree merge_upper_tree(const Tree& parent, const Tree& upper) {
    return Merge(parent, upper, Times::Exact, Marks::Either).run();
}

Tree merge_upper(const Tree& parent, const std::string& upper, Times times, Marks marks,
                 snapshot::ScanStats* stats) {
    snapshot::ScanOptions options;
    options.walk.read_xattrs = true;
    options.walk.keep_xattr = [](std::string_view name) { return !is_host_label(name); };
    options.keep_sockets = true;
    options.skip_content = [marks](const walk::Entry& entry) {
        return entry.xattrs && noted_on(*entry.xattrs, marks).is_metacopy;
    };
    const auto merge = [&] {
        return Merge(parent, snapshot::scan(upper, options, stats), times, marks).run();
    };
    return in_context([&] { return "reading overlay upper directory " + upper; }, merge);
}

}  // namespace shale::diff
