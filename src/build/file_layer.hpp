// A layer of an overlay that takes some files of a tree from plain files of the store.
#pragma once

#include <shale/base.hpp>
#include <shale/snapshot.hpp>

#include <string>
#include <vector>

namespace shale::build {

// Gives a file or directory of ours the owner, mode, attributes and time of an entry.
void dress(const std::string& path, const snapshot::Entry& entry);

// Fills `directory`, which is empty, with what overlayfs looks for in a lower layer that has these
// files, regular ones of `tree` without other names, and no bytes: their metadata, and that the
// bytes are in a data-only layer in a file named by the content in hex. The directories above them
// are there as in the tree. For root only: the notes are trusted.overlay.*.
void write_file_layer(const snapshot::Tree& tree, const std::vector<snapshot::NodeId>& files,
                      const std::string& directory);

}  // namespace shale::build
