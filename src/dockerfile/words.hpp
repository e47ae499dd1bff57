// The two ways arguments are cut into words at parse time. Words are pieces of the text given.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace shale::dockerfile {

// COPY, EXPOSE, FROM, ...: cut at blanks and nothing else; quotes protect nothing.
std::vector<std::string_view> split_list(std::string_view text);

// ENV, LABEL, ARG: cut at blanks outside quotes. Quotes and escapes stay in the words; expansion
// removes them later. A dangling escape at the end is dropped, an open quote runs to the end.
std::vector<std::string_view> split_quoted(std::string_view text, char escape);

}  // namespace shale::dockerfile
