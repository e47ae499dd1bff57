// WWW-Authenticate: what a registry wants before it answers (RFC 9110, 11.6.1).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace shale::registry {

struct Challenge {
    std::string scheme;                             // lower case: bearer, basic
    std::map<std::string, std::string> parameters;  // lower-case names; the first of equals counts
};

// All challenges of a header, in order. What cannot be read is skipped: an unreadable challenge is
// one that we cannot meet, and the registry's refusal is then what the user sees.
std::vector<Challenge> parse_challenges(std::string_view header);

// Scopes "repository:library/node:pull,push" of both lists, one per resource, with the actions of
// all: registries ask for what one request needs, we ask for what the whole transfer will.
std::vector<std::string> merge_scopes(const std::vector<std::string>& ours,
                                      std::string_view challenged);

}  // namespace shale::registry
