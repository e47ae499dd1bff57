// The second phase: a statement becomes a typed instruction. Arity and flags are judged here.
#pragma once

#include "statement.hpp"

#include <shale/dockerfile.hpp>

namespace shale::dockerfile {

// Every instruction but FROM. Rejects an unknown word with a hint.
InstructionValue build_instruction(const Statement& statement, char escape);
From build_from(const Statement& statement);

}  // namespace shale::dockerfile
