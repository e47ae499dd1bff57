// An ordered list of variables as image configs and processes have it: setting an existing name
// keeps its place, a new name goes to the end. Order is part of a reproducible config.
#pragma once

#include <shale/build.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shale::build {

class Environment {
  public:
    Environment() = default;
    static Environment from_list(const std::vector<std::string>& entries);  // "K=V"

    void set(std::string_view key, std::string_view value);
    void unset(std::string_view key);
    std::optional<std::string> get(std::string_view key) const;
    std::vector<std::string> list() const;  // "K=V"
    const std::vector<KeyValue>& pairs() const { return pairs_; }

  private:
    std::vector<KeyValue> pairs_;
};

}  // namespace shale::build
