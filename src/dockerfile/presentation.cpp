// What is shown to people: diagnostics, source excerpts, and the short form of heredocs.
#include "characters.hpp"
#include "heredoc.hpp"

#include <shale/base.hpp>
#include <shale/dockerfile.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace shale::dockerfile {

std::string message(const Diagnostic& diagnostic) {
    return diagnostic.hint.empty() ? diagnostic.text
                                   : diagnostic.text + " (" + diagnostic.hint + ")";
}

// Two lines of context on each side of a single line, one around several.
std::string excerpt(const File& file, LineRange lines) {
    const auto total = static_cast<std::uint32_t>(file.source.size());
    if (lines.first < 1 || lines.first > total) return {};
    const std::uint32_t last = std::clamp(lines.last, lines.first, total);
    const std::uint32_t context = lines.first == last ? 2 : 1;
    const std::uint32_t from = lines.first > context ? lines.first - context : 1;
    const std::uint32_t to = std::min(last + context, total);
    constexpr std::string_view kRule = "--------------------\n";
    std::string out = fmt::format("{}:{}\n{}", file.name, lines.first, kRule);
    for (std::uint32_t line = from; line <= to; ++line) {
        const bool marked = line >= lines.first && line <= last;
        out.append(
            fmt::format(" {:3} | {} {}\n", line, marked ? ">>>" : "   ", file.source[line - 1]));
    }
    return out.append(kRule);
}

HeredocRun heredoc_run(const Command& command) {
    SHALE_ENSURE(!command.heredocs.empty() && !command.argv.empty());
    const Heredoc& first = command.heredocs[0];
    if (read_heredoc_word(command.argv[0])) {
        if (first.body.starts_with("#!")) return {{}, first};
        return {first.body, std::nullopt};
    }
    HeredocRun run{command.argv[0], std::nullopt};
    for (const Heredoc& heredoc : command.heredocs)
        run.script.append("\n").append(heredoc.raw_body).append(heredoc.name);
    return run;
}

std::string heredoc_summary(const Heredoc& heredoc) {
    const std::string_view body = trim(heredoc.body);
    const auto end = body.find('\n');
    std::string_view line = body.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    return end == std::string_view::npos ? std::string(line) : std::string(line) + "...";
}

}  // namespace shale::dockerfile
