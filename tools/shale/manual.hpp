// Manual pages in the man(7) language, made from the same Command and flag table as --help.
#pragma once

#include "command.hpp"

#include <string>

namespace shale::cli {

std::string manual_overview();                    // shale(1)
std::string manual_page(const Command& command);  // shale-build(1) and so on

}  // namespace shale::cli
