// RFC 3629, in one place for all that shows names of strangers.
#include <shale/utf8.hpp>

#include <cstdint>

namespace shale {

std::string_view first_character(std::string_view text, char32_t& value) {
    const auto byte = [&](std::size_t at) { return static_cast<std::uint8_t>(text[at]); };
    const std::uint8_t lead = byte(0);
    value = lead;
    if (lead < 0x80) return text.substr(0, 1);
    const std::size_t length = lead >= 0xc2 && lead <= 0xdf   ? 2
                               : lead >= 0xe0 && lead <= 0xef ? 3
                               : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                              : 0;
    if (length == 0 || text.size() < length) return {};
    value = lead & (0x7fu >> length);
    for (std::size_t at = 1; at < length; ++at) {
        if ((byte(at) & 0xc0) != 0x80) return {};
        value = value << 6 | (byte(at) & 0x3fu);
    }
    constexpr char32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
    const bool is_surrogate = value >= 0xd800 && value <= 0xdfff;
    return value < kLeast[length] || is_surrogate || value > 0x10ffff ? std::string_view()
                                                                      : text.substr(0, length);
}

}  // namespace shale
