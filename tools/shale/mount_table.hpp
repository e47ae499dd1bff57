// The mounts of shale that this mount namespace shows.
#pragma once

#include "mount_record.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shale::cli {

struct MountRow {
    std::string source;  // the image's name
    std::string target;
    std::string device;                   // "0:44"
    std::optional<MountRecord> record{};  // absent if it was made before records were, or by others
};

// Those that shale serves itself, and overlays that it made; rows in order of mounting. `root` is
// that of the store in use, where records may lie.
std::vector<MountRow> shale_mounts(const std::string& root);
// What mountinfo says of mounts that may be ours: fuse.shale and, for records to tell, overlays.
struct FoundMount {
    MountRow row;
    bool is_ours = false;  // by its type alone
};
std::vector<FoundMount> parse_mountinfo(std::string_view text);

// The name that mountinfo has for what is mounted at a directory, be it dead.
std::string mount_path(std::string directory);

// An ordinary user's mounts were made by fusermount3, and only it may end them. False if it did
// not.
bool unmount_through_fusermount(const std::string& target, bool lazy);

}  // namespace shale::cli
