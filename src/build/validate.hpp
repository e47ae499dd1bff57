// What an instruction refuses whatever images and files hold: the part of carrying it out that a
// check can do without a build.
#pragma once

#include <shale/dockerfile.hpp>

namespace shale::build {

// Throws what the build would throw: a variable that must be set and is not, a port that is none, a
// mount without a target. `lookup`: variables from before the instruction. ARG, whose values come
// from outside, is not looked at.
void validate(const dockerfile::Instruction& instruction, const dockerfile::Lookup& lookup,
              char escape);

}  // namespace shale::build
