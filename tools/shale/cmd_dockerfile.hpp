// The command `dockerfile`, for the table of commands.
#pragma once

#include "command.hpp"

namespace shale::cli {

const Command& dockerfile_command();

}  // namespace shale::cli
