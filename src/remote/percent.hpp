// Percent-decoding of URL parts. A '%' without two digits stands for itself.
#pragma once

#include <string>
#include <string_view>

namespace shale::remote {

std::string decode_percent(std::string_view text);
std::string decode_query(std::string_view text);  // '+' is a blank, too

}  // namespace shale::remote
