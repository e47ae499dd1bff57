// One instruction after the first phase: cut into word, flags and arguments, but not yet judged.
#pragma once

#include "flags.hpp"

#include <shale/dockerfile.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace shale::dockerfile {

struct Statement {
    std::string word;     // as written
    std::string keyword;  // upper-cased
    std::vector<FlagWord> flags;
    std::vector<std::string> args;
    std::vector<KeyValue> pairs;         // ENV and LABEL, in place of args
    bool json = false;                   // the arguments were a JSON array
    bool legacy_pair = false;            // ENV k v
    std::unique_ptr<Statement> trigger;  // ONBUILD
    std::vector<Heredoc> heredocs;
    std::string original;  // the logical line; blanks at its end belong to an ONBUILD trigger
    LineRange lines;
    // Pieces of the line that was cut, which outlives the statement: the instruction word, and the
    // operands (the elements of a JSON array are one).
    std::string_view written_word;
    std::vector<std::string_view> operands;
};

// Rejects only what makes the line impossible to cut; an unknown instruction passes.
Statement split_statement(std::string_view line, char escape);

bool is_instruction(std::string_view keyword);
const std::vector<std::string>& instruction_names();

// RUN, COPY and ADD in list or shell form, also behind ONBUILD.
bool can_have_heredocs(const Statement& statement);

}  // namespace shale::dockerfile
