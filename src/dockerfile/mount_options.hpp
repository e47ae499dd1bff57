// The option text of RUN --mount, and the CSV it and --device are written in.
#pragma once

#include <shale/dockerfile.hpp>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shale::dockerfile {

// Comma-separated fields with RFC 4180 quotes. Rejects misplaced quotes; `what` is "mounts" or the
// like.
std::vector<std::string> split_csv(std::string_view text, std::string_view what);

// 1, t, true, 0, f, false in the spellings the reference accepts.
std::optional<bool> read_truth(std::string_view text);

// Gives the value to check, or nullopt when it is not known yet.
using MountValue = std::function<std::optional<std::string>(std::string_view written)>;

// Reads and checks one --mount. What depends on an unknown value is not checked.
Mount read_mount(std::string_view spec, const MountValue& value);

// The same before variables are known: a value with a variable, quote or escape is left alone.
Mount read_written_mount(std::string_view spec, char escape);

}  // namespace shale::dockerfile
