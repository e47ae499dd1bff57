// snapshot_file: trees in files. The other door of `snapshot`, for the few who open and write
// snapshot files; everybody else only needs trees. docs/formats/snapshot.md has the bytes.
#pragma once

#include <shale/base.hpp>
#include <shale/snapshot.hpp>

#include <functional>
#include <optional>
#include <string>

namespace shale::snapshot {

// Maps the file. Costs the same for any size: each page is checked against its checksum, and each
// node against its neighbours, when something first looks at it. So any accessor of the tree, and
// whatever calls one, may throw Corrupt; what a damaged file never does is answer wrongly. A file
// of an older version is read as Tree::parse would.
Tree open_tree(const std::string& path);
// The same, but all checksums are compared at once, some 10 ms per million entries: for files that
// nobody but this program writes, which are then good for as long as they are open.
Tree open_whole_tree(const std::string& path);

// What Tree::serialise returns, in pieces, so that a large tree never lies in memory twice.
void write_tree(const Tree& tree, const std::function<void(Bytes)>& out);

// Whether the file is, byte for byte, what write_tree() would write: then there is no need to.
// False for what cannot be read.
bool is_file_of(const std::string& path, const Tree& tree);

// ---------------------------------------------------------------------------------------------
// A tree that an edit left mostly as it was shares the rest with another, its base, and can be
// stored as what differs (docs/formats/tree-patch.md). Whoever does keeps the base, too.

// Which tree that is, by Tree::digest(). nullopt for one that shares nothing.
std::optional<Digest> base_of(const Tree& tree);
// The base itself; nullopt likewise. It shares the memory of `tree`.
std::optional<Tree> base_tree_of(const Tree& tree);
std::string serialise_patch(const Tree& tree);  // of one that has a base
// Checks everything but digests before it returns: Corrupt, also if `base`, opened from a file of
// its own, is not the tree it was made of. The tree shares the memory of `base`.
Tree parse_patch(Bytes bytes, const Tree& base);
// The fewest nodes that an edited tree shares instead of copying them. Tests lower it; set it
// before threads start.
inline constexpr std::size_t kLeastShared = 4096;
void set_least_shared(std::size_t nodes);
// What base a file names, without checking it. nullopt if there is none, or it is no patch; System
// if it cannot be read.
std::optional<Digest> base_of_patch_file(const std::string& path);

// Whether it begins as a snapshot: enough to tell one from an archive. False for what cannot be
// opened.
bool is_snapshot_file(const std::string& path);

}  // namespace shale::snapshot
