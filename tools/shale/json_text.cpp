#include "json_text.hpp"

#include <fmt/format.h>

#include <iterator>

namespace shale::cli {

// They stand in strings alone: what is around those is ASCII.
std::string escape_controls(std::string json) {
    if (json.find_first_of("\x7f\xc2") == std::string::npos) return json;
    std::string out;
    for (std::size_t i = 0; i < json.size(); ++i) {
        const auto byte = static_cast<unsigned char>(json[i]);
        const auto next = static_cast<unsigned char>(i + 1 < json.size() ? json[i + 1] : 0);
        if (byte == 0x7f) {
            out.append("\\u007f");
        } else if (byte == 0xc2 && next >= 0x80 && next <= 0x9f) {
            fmt::format_to(std::back_inserter(out), "\\u{:04x}", next);
            ++i;
        } else {
            out.push_back(json[i]);
        }
    }
    return out;
}

}  // namespace shale::cli
