// Where processes that outlive their command leave a note of themselves: in a directory that is
// empty after a reboot, if there is one.
#pragma once

#include <string>
#include <vector>

namespace shale::cli {

// First choice first: /run/shale/WHAT for root, $XDG_RUNTIME_DIR/shale/WHAT for others, then WHAT
// in the store `root`. Readers look into all of them.
std::vector<std::string> runtime_directories(const std::string& what, const std::string& root);

// Writes a file of this name into the first that can be written to, and returns its path. Throws
// what the last one failed with.
std::string leave_note(const std::vector<std::string>& directories, const std::string& name,
                       const std::string& text);

// Of this system since it was started. A note in the store may be older.
std::string boot_id();

}  // namespace shale::cli
