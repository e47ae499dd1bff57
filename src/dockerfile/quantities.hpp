// Numbers with units as the Go libraries behind the reference builder read them.
#pragma once

#include <cstdint>
#include <string_view>

namespace shale::dockerfile {

// "1m30s", "1.5h", "100us", "0" in nanoseconds, possibly negative. Rejects anything else.
std::int64_t read_duration(std::string_view text);

}  // namespace shale::dockerfile
