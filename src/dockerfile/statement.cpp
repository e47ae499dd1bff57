// Cutting a logical line into a statement.
//
// Instruction word, flags, rest: that much is common. Then each instruction has one of eight
// argument shapes, given in kForms. An unknown word has none; its arguments are ignored here and
// the word is refused later, so that the hint can name the line.
#include "statement.hpp"

#include "characters.hpp"
#include "json_array.hpp"
#include "mistake.hpp"
#include "words.hpp"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

namespace shale::dockerfile {
namespace {

enum class Shape { List, JsonOrList, Text, JsonOrText, Pairs, Quoted, Health, Trigger };

struct Form {
    std::string_view keyword;
    Shape shape;
};

// The more usual ones first: of two equally near spellings the hint names the earlier.
constexpr Form kForms[] = {
    {"FROM", Shape::List},          {"RUN", Shape::JsonOrText},
    {"COPY", Shape::JsonOrList},    {"ENV", Shape::Pairs},
    {"ADD", Shape::JsonOrList},     {"ARG", Shape::Quoted},
    {"CMD", Shape::JsonOrText},     {"ENTRYPOINT", Shape::JsonOrText},
    {"WORKDIR", Shape::Text},       {"USER", Shape::Text},
    {"LABEL", Shape::Pairs},        {"EXPOSE", Shape::List},
    {"VOLUME", Shape::JsonOrList},  {"SHELL", Shape::JsonOrText},
    {"HEALTHCHECK", Shape::Health}, {"STOPSIGNAL", Shape::Text},
    {"ONBUILD", Shape::Trigger},    {"MAINTAINER", Shape::Text},
};

const Form* find_form(std::string_view keyword) {
    const auto* found = std::find_if(std::begin(kForms), std::end(kForms),
                                     [&](const Form& form) { return form.keyword == keyword; });
    return found == std::end(kForms) ? nullptr : found;
}

// True if `text` was a JSON array and is now in `statement`.
bool take_json(std::string_view text, Statement& statement) {
    JsonArray array = read_json_array(text);
    if (array.outcome == JsonArray::Outcome::NotStrings)
        reject_at(text, "when using JSON array syntax, arrays must be comprised of strings only");
    if (array.outcome == JsonArray::Outcome::NotJson) return false;
    statement.json = true;
    std::move(array.values.begin(), array.values.end(), std::back_inserter(statement.args));
    return true;
}

// What stands on the line, whatever becomes of it.
void note_operand(std::string_view text, Statement& statement) {
    if (!text.empty()) statement.operands.push_back(text);
}

void take_json_or_text(std::string_view text, Statement& statement) {
    note_operand(text, statement);
    if (!text.empty() && !take_json(text, statement)) statement.args.emplace_back(text);
}

void take_words(const std::vector<std::string_view>& words, Statement& statement) {
    statement.operands = words;
    statement.args.assign(words.begin(), words.end());
}

void take_health(std::string_view text, Statement& statement) {
    std::size_t end = 0;
    while (end < text.size() && !is_space(decode_rune(text.substr(end)).value))
        end += decode_rune(text.substr(end)).bytes;
    if (end == 0) return;
    note_operand(text.substr(0, end), statement);
    statement.args.emplace_back(text.substr(0, end));
    take_json_or_text(trim_left(text.substr(end)), statement);
}

// "ENV key the whole rest": chosen when the first word has no '='.
void take_legacy_pair(std::string_view text, Statement& statement) {
    const auto gap = std::find_if(text.begin(), text.end(), is_list_gap);
    const auto value = std::find_if_not(gap, text.end(), is_list_gap);
    if (value == text.end()) reject(statement.keyword + " must have two arguments");
    note_operand({text.begin(), gap}, statement);
    note_operand({value, text.end()}, statement);
    statement.pairs.push_back({std::string(text.begin(), gap), std::string(value, text.end())});
    statement.legacy_pair = true;
}

void take_pairs(std::string_view text, char escape, Statement& statement) {
    const auto words = split_quoted(text, escape);
    if (words.empty()) return;
    if (words[0].find('=') == std::string_view::npos) return take_legacy_pair(text, statement);
    statement.operands = words;
    for (const std::string_view word : words) {
        const auto equals = word.find('=');
        if (equals == std::string_view::npos)
            reject_at(word, "Syntax error - can't find = in " + quoted(word) +
                                ". Must be of the form: name=value");
        statement.pairs.push_back(
            {std::string(word.substr(0, equals)), std::string(word.substr(equals + 1))});
    }
}

// The trigger is cut once, to report what can already be seen to be wrong. A trigger inside a
// trigger is refused later, so cutting deeper would only cost stack.
void take_trigger(std::string_view text, char escape, Statement& statement) {
    if (text.empty()) return;
    note_operand(text, statement);
    auto trigger = std::make_unique<Statement>();
    const auto word_end = std::find_if(text.begin(), text.end(), is_list_gap);
    if (upper(std::string_view(text.begin(), word_end)) == "ONBUILD")
        trigger->keyword = "ONBUILD";
    else
        *trigger = split_statement(text, escape);
    statement.trigger = std::move(trigger);
}

void take_arguments(Shape shape, std::string_view text, char escape, Statement& statement) {
    switch (shape) {
    case Shape::List:
        take_words(split_list(text), statement);
        break;
    case Shape::JsonOrList:
        if (take_json(text, statement))
            note_operand(text, statement);
        else
            take_words(split_list(text), statement);
        break;
    case Shape::Text:
        note_operand(text, statement);
        if (!text.empty()) statement.args.emplace_back(text);
        break;
    case Shape::JsonOrText:
        take_json_or_text(text, statement);
        break;
    case Shape::Pairs:
        take_pairs(text, escape, statement);
        break;
    case Shape::Quoted:
        take_words(split_quoted(text, escape), statement);
        break;
    case Shape::Health:
        take_health(text, statement);
        break;
    case Shape::Trigger:
        take_trigger(text, escape, statement);
        break;
    }
}

}  // namespace

Statement split_statement(std::string_view line, char escape) {
    Statement statement;
    statement.original = trim_left(line);
    line = trim(line);
    const auto word_end = std::find_if(line.begin(), line.end(), is_list_gap);
    statement.written_word = {line.begin(), word_end};
    statement.word = statement.written_word;
    statement.keyword = upper(statement.word);
    std::string_view rest(word_end, line.end());
    statement.flags = take_flags(rest, escape);
    if (const Form* form = find_form(statement.keyword))
        take_arguments(form->shape, rest, escape, statement);
    return statement;
}

bool is_instruction(std::string_view keyword) {
    return find_form(keyword) != nullptr;
}

const std::vector<std::string>& instruction_names() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> all;
        for (const Form& form : kForms)
            all.emplace_back(form.keyword);
        return all;
    }();
    return names;
}

bool can_have_heredocs(const Statement& statement) {
    if (statement.trigger) return can_have_heredocs(*statement.trigger);
    const std::string& keyword = statement.keyword;
    return !statement.json && (keyword == "RUN" || keyword == "COPY" || keyword == "ADD");
}

}  // namespace shale::dockerfile
