#include "run_title.hpp"

#include <cctype>

namespace shale::build {
namespace {

bool is_name_start(char c) {
    return std::isalpha(static_cast<unsigned char>(c)) || c == '_';
}
bool is_name(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_';
}

// At a '$': the length of "$NAME" or "${NAME}" and the name, or 0.
std::size_t variable_at(std::string_view text, std::string_view& name) {
    const bool braced = text.size() > 1 && text[1] == '{';
    std::size_t at = braced ? 2 : 1;
    const auto start = at;
    if (at >= text.size() || !is_name_start(text[at])) return 0;
    while (at < text.size() && is_name(text[at]))
        ++at;
    name = text.substr(start, at - start);
    if (!braced) return at;
    return at < text.size() && text[at] == '}' ? at + 1 : 0;
}

std::string with_values(std::string_view text, const dockerfile::Lookup& lookup, char escape) {
    std::string out;
    char quote = '\0';
    for (std::size_t at = 0; at < text.size();) {
        const char c = text[at];
        if (c == escape && quote != '\'' && at + 1 < text.size()) {
            out.append(text.substr(at, 2));
            at += 2;
            continue;
        }
        if (c == '\'' || c == '"') {
            if (quote == '\0')
                quote = c;
            else if (quote == c)
                quote = '\0';
        }
        std::string_view name;
        const auto length = c == '$' && quote != '\'' ? variable_at(text.substr(at), name) : 0;
        const auto value = length > 0 ? lookup(name) : std::nullopt;
        out.append(value ? std::string_view(*value)
                         : text.substr(at, std::max<std::size_t>(length, 1)));
        at += std::max<std::size_t>(length, 1);
    }
    return out;
}

}  // namespace

std::string step_title(std::string_view line, const dockerfile::Lookup& lookup, char escape) {
    std::string title = with_values(line, lookup, escape);
    for (std::size_t i = 0; i < title.size() && std::isalpha(static_cast<unsigned char>(title[i]));
         ++i)
        title[i] = static_cast<char>(std::toupper(static_cast<unsigned char>(title[i])));
    return title;
}

std::string run_title(std::string_view line, const dockerfile::Run& run,
                      const dockerfile::Lookup& lookup, char escape) {
    std::string title = step_title(line, lookup, escape);
    if (run.command.heredocs.empty()) return title;
    // Whether the whole command is the here-document shows in what is left for a shell to read.
    const auto made = dockerfile::heredoc_run(run.command);
    if (made.file || made.script == run.command.heredocs.front().body)
        title += " (" + dockerfile::heredoc_summary(run.command.heredocs.front()) + ")";
    return title;
}

}  // namespace shale::build
