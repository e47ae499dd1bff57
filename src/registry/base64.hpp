// Base64 (RFC 4648, 4), for Basic authentication and Docker's stored credentials.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace shale::registry {

std::string encode_base64(std::string_view bytes);
// nullopt if the text is not base64; missing padding is fine.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace shale::registry
