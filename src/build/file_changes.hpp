// Which files differ between what two steps read, as cache keys see it: contents, types, names, and
// as far as the instruction lets them matter modes and owners; never times.
#pragma once

#include <shale/build_record.hpp>
#include <shale/snapshot.hpp>

#include <string>
#include <vector>

namespace shale::build {

struct FileChange {
    enum class Kind { Added, Removed, Changed };
    Kind kind = Kind::Changed;
    std::string path;    // relative to the directory or root that is read
    std::string detail;  // "content", "mode 0644 -> 0755", "owner 0:0 -> 1:1": what is different
    bool only_mode = false;
};

// The part of `tree` that the selection reads, its paths kept. Operands that match nothing are
// skipped.
snapshot::Tree selected_part(const snapshot::Tree& tree, const FileSelection& selection);

// In path order; a directory that is new or gone is one change.
std::vector<FileChange> file_changes(const snapshot::Tree& before, const snapshot::Tree& after,
                                     const snapshot::KeyPolicy& policy);

// What would keep a change of such a file from mattering, or an empty text.
std::string hint_for(const FileChange& change);

}  // namespace shale::build
