// Reading parser directives.
#include "directives.hpp"

#include "characters.hpp"
#include "json_array.hpp"
#include "mistake.hpp"

#include <algorithm>

namespace shale::dockerfile {
namespace {

bool is_name_char(char c) {
    const auto rune = static_cast<unsigned char>(c);
    return rune < 0x80 && (is_letter(rune) || is_digit(rune));
}

// "name = value"; nullopt if the text has another shape.
std::optional<Directive> split_directive(std::string_view text) {
    const auto name_end = std::find_if_not(text.begin(), text.end(), is_name_char);
    const std::string_view name(text.begin(), name_end);
    if (name.empty() || is_digit(static_cast<unsigned char>(name[0]))) return std::nullopt;
    std::string_view rest = trim_left(text.substr(name.size()));
    if (!rest.starts_with('=')) return std::nullopt;
    rest = trim(rest.substr(1));
    if (rest.empty()) return std::nullopt;
    return Directive{lower(name), std::string(rest)};
}

bool is_known(std::string_view name) {
    return name == "syntax" || name == "escape" || name == "check";
}

std::string syntax_in_comments(std::string_view text, std::string_view comment) {
    DirectiveReader reader(comment);
    while (!text.empty() && !reader.done()) {
        const auto end = std::min(text.find('\n'), text.size());
        std::optional<Directive> directive;
        try {
            directive = reader.read(trim_left(text.substr(0, end)));
        } catch (const Mistake&) {
            return {};  // parse() reports it; here it only ends the search
        }
        if (directive && directive->name == "syntax") return directive->value;
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return {};
}

}  // namespace

std::optional<Directive> DirectiveReader::read(std::string_view line) {
    if (done_) return std::nullopt;
    std::optional<Directive> directive;
    if (line.starts_with(comment_))
        directive = split_directive(trim_left(line.substr(comment_.size())));
    if (!directive || !is_known(directive->name)) {
        done_ = true;
        return std::nullopt;
    }
    if (!seen_.insert(directive->name).second)
        reject("only one " + directive->name + " parser directive can be used");
    return directive;
}

std::string detect_syntax(std::string_view text) {
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    if (text.starts_with("#!")) text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
    std::string syntax = syntax_in_comments(text, "#");
    if (syntax.empty()) syntax = syntax_in_comments(text, "//");
    return syntax.empty() ? read_json_member(text, "syntax").value_or("") : syntax;
}

}  // namespace shale::dockerfile
