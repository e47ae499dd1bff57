// The one instruction whose flags are numbers.
#pragma once

#include "statement.hpp"

#include <shale/dockerfile.hpp>

namespace shale::dockerfile {

Healthcheck build_healthcheck(const Statement& statement);  // has at least the type word

}  // namespace shale::dockerfile
