// What two images tell a runtime differently: no file shows it, and a container notices it at once.
#pragma once

#include <shale/oci.hpp>

#include <optional>
#include <string>
#include <vector>

namespace shale::cli {

struct ConfigChange {
    std::string field;                         // "User", "Env.PATH", "Labels.version"
    std::optional<std::string> before, after;  // lists as JSON; absent where it is not set
};

// In a fixed order. What every build makes anew (created, history, DiffIDs) is left out: files and
// instructions show what of that matters.
std::vector<ConfigChange> compare_configs(const oci::ImageConfig& before,
                                          const oci::ImageConfig& after);

std::string to_text(const std::vector<ConfigChange>& changes);   // "Env.A  1 -> 2", printable
std::string to_lines(const std::vector<ConfigChange>& changes);  // "C Env.A"

}  // namespace shale::cli
