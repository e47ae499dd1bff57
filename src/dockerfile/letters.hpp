// Table look-ups behind is_letter and is_digit, for characters beyond ASCII.
#pragma once

namespace shale::dockerfile {

bool is_wide_letter(char32_t rune);
bool is_wide_digit(char32_t rune);

}  // namespace shale::dockerfile
