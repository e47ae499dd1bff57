// Builder flags: the "--name=value" words between the instruction word and its arguments.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace shale::dockerfile {

// Removes the flags from the front of `text` and returns them, unquoted. A bare "--" ends them and
// is dropped.
struct FlagWord {
    std::string text;          // quotes and escapes removed
    std::string_view written;  // the piece of the line
};
std::vector<FlagWord> take_flags(std::string_view& text, char escape);

// The flags one instruction knows, each bound to where its value goes.
class FlagSet {
  public:
    FlagSet& text(std::string name, std::string& out) { return add(std::move(name), &out); }
    FlagSet& list(std::string name, std::vector<std::string>& out) {
        return add(std::move(name), &out);
    }
    FlagSet& boolean(std::string name, bool& out) { return add(std::move(name), &out); }
    FlagSet& boolean(std::string name, std::optional<bool>& out) {
        return add(std::move(name), &out);
    }

    // Rejects unknown and repeated flags and wrong values.
    void parse(const std::vector<FlagWord>& flags);
    bool used(std::string_view name) { return find(name).used; }

  private:
    using Target =
        std::variant<std::string*, std::vector<std::string>*, bool*, std::optional<bool>*>;
    struct Flag {
        std::string name;
        Target target;
        bool used = false;
    };
    FlagSet& add(std::string name, Target target) {
        flags_.push_back({std::move(name), target});
        return *this;
    }
    Flag& find(std::string_view name);
    void read(const std::string& text);

    std::vector<Flag> flags_;
};

}  // namespace shale::dockerfile
