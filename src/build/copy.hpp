// The copy engine of COPY and ADD: an edit of trees. It selects nodes of a source tree and puts
// them into a destination under construction. No file is created and no content is read; contents
// keep their digests, and where their bytes lie is the caller's business.
//
// The rules are those of the Dockerfile reference; each is restated at the function that keeps it.
#pragma once

#include "file_mode.hpp"
#include "key.hpp"
#include "users.hpp"

#include <shale/dockerfile.hpp>
#include <shale/snapshot.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shale::build {

// COPY --parents: the part of a directory that is copied, its paths kept. Nothing else of it is.
struct Kept {
    // Matches what is wanted, directories with all below them; empty wants everything.
    dockerfile::IgnoreMatcher matcher;
    std::vector<std::string> fixed;  // the first components, as far as they hold no wildcard
};

// One source operand's match.
struct Selected {
    snapshot::NodeId node = snapshot::kNoNode;  // after following the operand's own symlinks
    std::string name;  // last component as written or matched, not the link target's
    std::string path;  // as matched, for messages and excludes
    bool by_wildcard = false;
    std::optional<Kept> kept;
};

// Resolves one operand against `source`: leading '/' and ".." are clamped to the root, fixed prefix
// and match are dereferenced inside the tree. A literal that is absent is NotFound `"/x": not
// found`; a wildcard that matches nothing gives an empty list. Matches are in name order.
std::vector<Selected> select(const snapshot::Tree& source, std::string_view operand);

// The same for COPY --parents. The operand's first "/./" parts the directory to start from, which
// is resolved as above, from the path that is kept, which is matched as .dockerignore patterns are:
// links on the way are not followed and "**" is any number of directories. Without "/./", all of it
// is kept.
std::vector<Selected> select_with_parents(const snapshot::Tree& source, std::string_view operand);

// The names in a path, "." and ".." included, empty ones not.
std::vector<std::string> path_components(std::string_view path);

struct CopyOptions {
    std::string destination;  // absolute, variables expanded, joined to WORKDIR; not cleaned
    std::optional<Owner> owner;
    std::optional<ModeChange> mode;
    dockerfile::IgnoreMatcher excludes;
    std::int64_t now_ns = 0;  // mtime of created parent directories
};

// A wildcard's matches are tested by their own name too (COPY --exclude=*.txt hom*). The functions
// below leave such operands out; whoever looks at a selection by itself has to ask.
bool is_excluded_operand(const Selected& selected, const CopyOptions& options);

// Whether the destination as written names a directory: ends in '/' or "/.", or is empty or ".".
bool names_directory(std::string_view destination);

// Puts what was selected of one operand into `out`. `group_base` must differ between calls on one
// builder; it keeps hardlink groups of different operands apart (they use group_base << 32 |
// group).
void copy_into(snapshot::TreeBuilder& out, const snapshot::Tree& source,
               const std::vector<Selected>& selection, const CopyOptions& options,
               std::uint64_t group_base);

// Adds what a copy would bring to a cache key: names, metadata without mtime, contents. `options`
// decides which parts of the source's metadata can matter at all: with --chown the source's owner
// cannot, with an octal --chmod its mode cannot.
void add_to_key(Key& key, const snapshot::Tree& source, const std::vector<Selected>& selection,
                const CopyOptions& options);

// Resolves `path` inside the tree under construction, following every symlink including the last
// component; what does not exist is kept as it is. Returns a relative path without symlinks.
std::string resolve_destination(const snapshot::TreeBuilder& tree, std::string_view path);

// Puts everything in `upper` but its root over what is there, as a layer would be: directories
// merge and take the upper's metadata, anything else replaces. For COPY --link.
void lay_over(snapshot::TreeBuilder& out, const snapshot::Tree& upper);

// Creates the directory `path` (already resolved) and its missing parents.
void make_parents(snapshot::TreeBuilder& out, std::string_view path, const CopyOptions& options);

}  // namespace shale::build
