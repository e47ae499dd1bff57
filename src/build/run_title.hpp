// How steps are called in progress and logs.
#pragma once

#include <shale/dockerfile.hpp>

#include <string>
#include <string_view>

namespace shale::build {

// The line as written, its keyword in upper case and its variables replaced where `lookup` knows
// them; a lookup that answers "****" hides a secret. What stands in single quotes, is escaped, or
// is unknown stays.
std::string step_title(std::string_view line, const dockerfile::Lookup& lookup, char escape);

// The same of a RUN; a command that is one here-document gains its first line in parentheses.
std::string run_title(std::string_view line, const dockerfile::Run& run,
                      const dockerfile::Lookup& lookup, char escape);

}  // namespace shale::build
