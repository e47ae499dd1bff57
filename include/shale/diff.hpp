// diff: two trees in, an ordered list of changes out; or an overlayfs upper directory and the tree
// below it in, the resulting tree out. compare() is pure.
//
// Decides by content and metadata, never by mtime alone, and sees all xattrs, hardlink groups and
// device numbers. Equal subtrees are skipped by their Merkle digest.
#pragma once

#include <shale/base.hpp>
#include <shale/snapshot.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace shale::diff {

enum class ChangeKind {
    Added,
    Modified,  // type, metadata or content
    Removed,   // children of a removed directory are not listed
    Linked,  // unchanged itself, but its hardlink group gained or lost a member that changed, so a
             // layer must state it again
};

struct Change {
    ChangeKind kind = ChangeKind::Modified;
    snapshot::NodeId before = snapshot::kNoNode;  // kNoNode for Added
    snapshot::NodeId after = snapshot::kNoNode;   // kNoNode for Removed
    bool content_changed = false;
    bool metadata_changed = false;
    std::string removed_path;     // of Removed; others are where `after` has them
    bool with_all_below = false;  // see Options::whole_subtrees

    // From the root, without a leading slash, "" for the root itself. `after`: the tree it is in.
    std::string path(const snapshot::Tree& after) const;
};

struct Options {
    bool ignore_mtime = false;  // an entry that differs in mtime only is unchanged
    // An added directory stands for everything below it, which is not listed then. For who makes a
    // layer of the changes: one of a million files is one change.
    bool whole_subtrees = false;
};

// Changes in path order (depth-first, byte-sorted). A file that became a directory, or the reverse,
// is one Modified followed by the new children as Added. compare(x, x) is empty. Law: applying them
// to `before` gives `after`.
std::vector<Change> compare(const snapshot::Tree& before, const snapshot::Tree& after,
                            const Options& options = {});

// WholeSeconds: what is new loses the fractions of its times; what is as it was keeps them.
enum class Times { Exact, WholeSeconds };

// Whose attributes overlayfs obeyed as its own: trusted.overlay.*, or, mounted with userxattr,
// user.overlay.*. The other kind, which anybody may have set, is only left out of the result.
enum class Marks { Trusted, User, Either };

// The tree seen through overlayfs with `upper` over `parent`: whiteouts (char 0/0 and the xattr
// form), opaque directories, metacopy and redirect are honoured; overlay's
// private xattrs never enter the result; files copied up but unchanged keep the parent's identity.
// Contents of new files are hashed from `upper`; those of metacopy files are the parent's and are
// not read. Corrupt, naming the path, if a redirect or a metacopy leads to nothing. Unsupported if
// the overlay was mounted with index=on, whose hardlinks cannot be told from the upper alone.
snapshot::Tree merge_upper(const snapshot::Tree& parent, const std::string& upper,
                           Times times = Times::Exact, Marks marks = Marks::Either,
                           snapshot::ScanStats* stats = nullptr);

// The same from a tree of the upper directory as it lies on disk, overlay's marks included, of
// either kind. Pure.
snapshot::Tree merge_upper_tree(const snapshot::Tree& parent, const snapshot::Tree& upper);

// Lines for people: "A path", "M path", "D path", "L path".
std::string to_text(const std::vector<Change>& changes, const snapshot::Tree& after);
// A path, which is any bytes, as text on one line: control characters, backslashes and what is not
// UTF-8 as \xNN, so that a hostile name cannot move the terminal's cursor or fake a line. "." for
// the root.
std::string printable_path(std::string_view path);

}  // namespace shale::diff
