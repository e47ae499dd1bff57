// A layer of an overlay that takes some files of a tree from plain files of the store.
#pragma once

#include <shale/base.hpp>
#include <shale/snapshot.hpp>

#include <string>
#include <vector>

namespace shale::build {

// Gives a file or directory of ours the owner, mode, attributes and time of an entry.
void dress(const std::string& path, const snapshot::Entry& entry);

struct NotedFile {
    snapshot::NodeId node;  // regular, without other names
    std::string data;       // the file's name in the data-only layer
};

// Fills `directory`, which is empty, with what overlayfs looks for in a lower layer that has these
// files of `tree`, and no bytes: their metadata, and where in a data-only layer the bytes are. The
// directories above them are there as in the tree. overlayfs looks for that name in all layers
// behind this one before the data-only ones, so it must be one that nobody could have given a file.
// For root only: the notes are trusted.overlay.*.
void write_file_layer(const snapshot::Tree& tree, const std::vector<NotedFile>& files,
                      const std::string& directory);

}  // namespace shale::build
