// Runs one of Docker's credential helper programs.
#pragma once

#include <optional>
#include <string>

namespace shale::registry {

// Output of `docker-credential-<name> get` for `server`; nullopt if the helper knows nothing of it
// or is not installed (which is logged: a configuration copied from another machine must not make
// public images unreachable). Invalid for a name that is no plain word, Denied if the helper fails.
std::optional<std::string> run_credential_helper(const std::string& name,
                                                 const std::string& server);

}  // namespace shale::registry
