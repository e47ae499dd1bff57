// report: changes between trees, told to people. What counts as a change is diff's business; here
// changes are narrowed, explained and drawn. Pure.
#pragma once

#include <shale/base.hpp>
#include <shale/diff.hpp>
#include <shale/snapshot.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace shale::report {

// Only changes at `path` or below it; "" keeps all.
std::vector<diff::Change> only_below(std::vector<diff::Change> changes, const snapshot::Tree& after,
                                     std::string_view path);

// What a Modified change need not be told for.
struct Ignored {
    bool mtime = false, mode = false, owner = false;
    // Fractions of a second of a time whose counterpart has none: layers and most archives say
    // whole seconds only.
    bool fractions = false;
};
// Without the Modified changes that differ in nothing but what is ignored.
std::vector<diff::Change> without(std::vector<diff::Change> changes, const snapshot::Tree& before,
                                  const snapshot::Tree& after, const Ignored& ignored);

// What exactly differs between the two entries of a Modified change.
struct Reasons {
    bool type = false, content = false, mode = false, owner = false, mtime = false, xattrs = false;
    bool any() const { return type || content || mode || owner || mtime || xattrs; }
};
Reasons reasons_of(const diff::Change& change, const snapshot::Tree& before,
                   const snapshot::Tree& after, const Ignored& ignored = {});

struct Style {
    bool colour = false;
    bool fold = true;  // of an added directory, print only a summary
};
// An indented tree with sizes and reasons.
std::string to_tree_text(const std::vector<diff::Change>& changes, const snapshot::Tree& before,
                         const snapshot::Tree& after, const Ignored& ignored = {},
                         const Style& style = {});

// For programs: a list of objects with kind, path, and the entry before and after; of a Modified
// one also the reasons. What is ignored is no reason. Text that is not UTF-8 is shown with U+FFFD
// in place of what is broken, and its exact bytes follow under the key with "_hex" behind it; a
// name of an xattr is then "hex:" and its bytes. Values of xattrs are in hexadecimal.
std::string to_json(const std::vector<diff::Change>& changes, const snapshot::Tree& before,
                    const snapshot::Tree& after, const Ignored& ignored = {});

// Two texts as a unified diff with three lines of context; "" if they are equal. Lines are compared
// as bytes; labels go into the "---" and "+++" lines as they are.
std::string unified_text(std::string_view before, std::string_view after, std::string_view label_a,
                         std::string_view label_b);

}  // namespace shale::report
