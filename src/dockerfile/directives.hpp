// Parser directives: the "# name = value" lines at the very top of a file.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace shale::dockerfile {

struct Directive {
    std::string name;  // lower-cased: syntax, escape or check
    std::string value;
};

// Feed it the lines of a file in order. The first line that is not a known directive ends directive
// parsing for good; what looks like one later is a comment.
class DirectiveReader {
  public:
    explicit DirectiveReader(std::string_view comment = "#") : comment_(comment) {}

    bool done() const { return done_; }
    void stop() { done_ = true; }
    // `line` without line end and leading blanks. Rejects a directive that was given before.
    std::optional<Directive> read(std::string_view line);

  private:
    std::string comment_;
    std::set<std::string> seen_;
    bool done_ = false;
};

// The value of the syntax directive. Beyond "# syntax=" this one alone is also recognised behind a
// first line "#!...", as "// syntax=..." and as member of a file that is one JSON object.
std::string detect_syntax(std::string_view text);

}  // namespace shale::dockerfile
