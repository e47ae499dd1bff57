// --chmod: an octal mode or chmod(1)'s symbolic form, applied with umask 0.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace shale::build {

class ModeChange {
  public:
    // Invalid: `invalid chmod parameter: '64a'. it should be octal string and between 0 and 07777`.
    static ModeChange parse(std::string_view text);
    std::uint32_t apply(std::uint32_t mode, bool is_directory) const;
    // Set for the octal form; created parent directories take it.
    std::optional<std::uint32_t> octal() const { return octal_; }

  private:
    struct Clause {
        std::uint32_t who = 0;   // 0700, 0070, 0007 groups and their set-id/sticky bits
        char operation = '+';    // + - =
        std::uint32_t bits = 0;  // rwx and s/t bits, already spread over all classes
        bool conditional_x = false;
        char copy_from = 0;  // u, g, o
    };
    std::optional<std::uint32_t> octal_;
    std::vector<Clause> clauses_;
};

}  // namespace shale::build
