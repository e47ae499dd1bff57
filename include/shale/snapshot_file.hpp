// snapshot_file: trees in files. The other door of `snapshot`, for the few who open and write
// snapshot files; everybody else only needs trees. docs/formats/snapshot.md has the bytes.
#pragma once

#include <shale/base.hpp>
#include <shale/snapshot.hpp>

#include <functional>
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

// Whether it begins as a snapshot: enough to tell one from an archive. False for what cannot be
// opened.
bool is_snapshot_file(const std::string& path);

}  // namespace shale::snapshot
