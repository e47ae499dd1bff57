// Texts as Go prints them: histories of images hold them, because other builders are written in it.
#pragma once

#include <string>
#include <string_view>

namespace shale::build {

// %q of a string: in double quotes, with quotes, backslashes and control characters escaped.
std::string go_quoted(std::string_view text);

}  // namespace shale::build
