// The last full snapshot of a directory, and the moment from which changes to it count.
#pragma once

#include <shale/snapshot.hpp>
#include <shale/watch.hpp>

#include <optional>
#include <string>
#include <vector>

namespace shale::watch {

struct BaseSnapshot {
    Token token;  // taken before its walk began
    // Files with more names than one: a change through another name has another path, or lies
    // outside of the directory, so these are always looked at.
    std::vector<std::string> linked;
    snapshot::Tree tree;
};

// `directory` is an absolute path; `variant` tells one kind of snapshot of it from another.
// nullopt if there is none, or none that can be read.
std::optional<BaseSnapshot> load_base(const std::string& state_directory,
                                      const std::string& directory, std::string_view variant);
void save_base(const std::string& state_directory, const std::string& directory,
               std::string_view variant, const BaseSnapshot& base);

}  // namespace shale::watch
