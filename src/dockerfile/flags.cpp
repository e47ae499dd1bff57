// Cutting builder flags off an instruction and checking them against what it knows.
#include "flags.hpp"

#include "characters.hpp"
#include "mistake.hpp"

#include <algorithm>

namespace shale::dockerfile {
namespace {

// Only ASCII blanks separate flags.
bool is_blank(char c) {
    return is_list_gap(c) || c == '\n';
}

void skip_blanks(std::string_view& text) {
    const auto end = std::find_if_not(text.begin(), text.end(), is_blank);
    text.remove_prefix(static_cast<std::size_t>(end - text.begin()));
}

// Consumes one word. Quotes group and vanish; the escape character makes the next one literal, in
// both kinds of quotes.
std::string take_flag_word(std::string_view& text, char escape) {
    std::string word;
    char quote = '\0';
    while (!text.empty()) {
        const char c = text[0];
        if (!quote && is_blank(c)) break;
        text.remove_prefix(1);
        if (c == quote) {
            quote = '\0';
        } else if (!quote && (c == '\'' || c == '"')) {
            quote = c;
        } else if (c != escape) {
            word.push_back(c);
        } else if (!text.empty()) {
            word.push_back(text[0]);
            text.remove_prefix(1);
        }
    }
    return word;
}

[[noreturn]] void reject_missing_value(std::string_view name) {
    reject("missing a value on flag: --" + std::string(name));
}

bool read_bool(std::string_view name, std::optional<std::string_view> value) {
    if (value && value->empty()) reject_missing_value(name);
    const std::string word = value ? lower(*value) : "true";
    if (word != "true" && word != "false")
        reject("expecting boolean value for flag --" + std::string(name) +
               ", not: " + std::string(*value));
    return word == "true";
}

}  // namespace

std::vector<FlagWord> take_flags(std::string_view& text, char escape) {
    std::vector<FlagWord> flags;
    for (skip_blanks(text); text.starts_with("--"); skip_blanks(text)) {
        const std::string_view start = text;
        std::string word = take_flag_word(text, escape);
        if (word == "--") break;
        flags.push_back({std::move(word), start.substr(0, start.size() - text.size())});
    }
    text = trim(text);
    return flags;
}

FlagSet::Flag& FlagSet::find(std::string_view name) {
    const auto found = std::find_if(flags_.begin(), flags_.end(),
                                    [&](const Flag& flag) { return flag.name == name; });
    if (found != flags_.end()) return *found;
    std::vector<std::string> names;
    for (const Flag& flag : flags_)
        names.push_back(flag.name);
    reject("unknown flag: --" + std::string(name), suggest(name, names));
}

void FlagSet::parse(const std::vector<FlagWord>& flags) {
    for (std::size_t i = 0; i < flags.size(); ++i)
        blame_flag(i, [&] { read(flags[i].text); });
}

void FlagSet::read(const std::string& text) {
    const auto equals = text.find('=');
    const std::string name = text.substr(0, equals).substr(2);
    std::optional<std::string_view> value;
    if (equals != std::string::npos) value = std::string_view(text).substr(equals + 1);

    Flag& flag = find(name);
    auto* const list = std::get_if<std::vector<std::string>*>(&flag.target);
    if (flag.used && !list) reject("duplicate flag specified: --" + name);
    flag.used = true;
    if (auto* const out = std::get_if<bool*>(&flag.target)) {
        **out = read_bool(name, value);
    } else if (auto* const maybe = std::get_if<std::optional<bool>*>(&flag.target)) {
        **maybe = read_bool(name, value);
    } else {
        if (!value) reject_missing_value(name);
        if (list)
            (*list)->emplace_back(*value);
        else
            *std::get<std::string*>(flag.target) = *value;
    }
}

}  // namespace shale::dockerfile
