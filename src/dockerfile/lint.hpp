// Filing lint findings, and the rules that look at a whole file.
#pragma once

#include <shale/dockerfile.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace shale::dockerfile {

// Files what the check options and the comments above an instruction let through.
class Linter {
  public:
    Linter(CheckOptions options, std::vector<Diagnostic>& out)
        : options_(std::move(options)), out_(out) {}

    void report(std::string_view rule, LineRange lines, const std::vector<std::string>& comments,
                std::string text, const SourceSpan& place = {});
    // A rule that is off unless it is asked for.
    void report_experimental(std::string_view rule, LineRange lines,
                             const std::vector<std::string>& comments, std::string text);

  private:
    CheckOptions options_for(const std::vector<std::string>& comments) const;
    void file(std::string_view rule, LineRange lines, std::string text, const SourceSpan& place);

    CheckOptions options_;
    std::vector<Diagnostic>& out_;
};

void lint_file(const File& file, Linter& linter);

}  // namespace shale::dockerfile
