// Keeps secrets out of what a command prints.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace shale::build {

// One stream of output. A secret is recognised as it is, also when it arrives in pieces; not when
// it was encoded or broken into lines of another length.
class Redactor {
  public:
    // Values shorter than six bytes are let pass: they would hide too much else. A value of several
    // lines is hidden as a whole and, if they are long enough to be telling, line by line.
    explicit Redactor(const std::vector<std::string>& secrets);
    // What can be shown now, stars instead of secrets. The end of `text` is held back if a secret
    // could begin there.
    std::string add(std::string_view text);
    std::string finish();

  private:
    void hide(std::string_view secret, std::size_t shortest);

    std::vector<std::string> secrets_;  // longest first
    std::array<bool, 256> starts_{};    // bytes that a secret starts with
    std::string held_;
};

}  // namespace shale::build
