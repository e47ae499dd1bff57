// The mounts of shale that this mount namespace shows.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shale::cli {

struct MountRow {
    std::string source;  // the image's name
    std::string target;
};

// Parses /proc/self/mountinfo; rows in order of mounting.
std::vector<MountRow> shale_mounts();
std::vector<MountRow> parse_mountinfo(std::string_view text);

}  // namespace shale::cli
