// Runs one of Docker's credential helper programs.
#pragma once

#include <optional>
#include <string>

namespace shale::registry {

// Output of `docker-credential-<name> <verb>`, which reads `input`: a server's name for "get" and
// "erase", a document for "store". nullopt if the helper knows nothing of it or is not installed
// (which is logged: a configuration copied from another machine must not make public images
// unreachable). Invalid for a name that is no plain word, Denied if the helper fails.
std::optional<std::string> run_credential_helper(const std::string& name, const std::string& verb,
                                                 const std::string& input);

}  // namespace shale::registry
