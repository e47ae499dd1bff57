#include "file_mode.hpp"

#include <shale/base.hpp>

#include <string>

namespace shale::build {
namespace {

constexpr std::uint32_t kUser = 04700, kGroup = 02070, kOther = 01007, kAll = 07777;

[[noreturn]] void invalid(std::string_view text) {
    fail(ErrorKind::Invalid, "invalid chmod parameter: '" + std::string(text) +
                                 "'. it should be octal string and between 0 and 07777");
}

std::optional<std::uint32_t> parse_octal(std::string_view text) {
    std::uint32_t value = 0;
    if (text.empty()) return std::nullopt;
    for (const char c : text) {
        if (c < '0' || c > '7') return std::nullopt;
        value = value * 8 + static_cast<std::uint32_t>(c - '0');
        if (value > kAll) return std::nullopt;
    }
    return value;
}

bool is_operation(char c) {
    return c == '+' || c == '-' || c == '=';
}

// The rwx bits of one class, spread over all three.
std::uint32_t class_bits(std::uint32_t mode, char from) {
    const std::uint32_t shift = from == 'u' ? 6 : from == 'g' ? 3 : 0;
    return (mode >> shift & 7) * 0111;
}

}  // namespace

ModeChange ModeChange::parse(std::string_view text) {
    ModeChange change;
    if (!text.empty() && text[0] >= '0' && text[0] <= '9') {
        change.octal_ = parse_octal(text);
        if (!change.octal_) invalid(text);
        return change;
    }
    std::size_t at = 0;
    const auto peek = [&] { return at < text.size() ? text[at] : '\0'; };
    do {
        std::uint32_t who = 0;
        for (;; ++at) {
            if (peek() == 'u')
                who |= kUser;
            else if (peek() == 'g')
                who |= kGroup;
            else if (peek() == 'o')
                who |= kOther;
            else if (peek() == 'a')
                who |= kAll;
            else
                break;
        }
        if (who == 0) who = kAll;
        if (!is_operation(peek())) invalid(text);
        while (is_operation(peek())) {
            Clause clause;
            clause.who = who;
            clause.operation = text[at++];
            if (peek() == 'u' || peek() == 'g' || peek() == 'o')
                clause.copy_from = text[at++];
            else
                for (bool more = true; more;) {
                    switch (peek()) {
                    case 'r':
                        clause.bits |= 0444;
                        break;
                    case 'w':
                        clause.bits |= 0222;
                        break;
                    case 'x':
                        clause.bits |= 0111;
                        break;
                    case 'X':
                        clause.conditional_x = true;
                        break;
                    case 's':
                        clause.bits |= 06000;
                        break;
                    case 't':
                        clause.bits |= 01000;
                        break;
                    default:
                        more = false;
                    }
                    if (more) ++at;
                }
            change.clauses_.push_back(clause);
        }
        if (peek() != ',') break;
        ++at;
    } while (true);
    if (at != text.size()) invalid(text);
    return change;
}

std::uint32_t ModeChange::apply(std::uint32_t mode, bool is_directory) const {
    if (octal_) return *octal_;
    for (const auto& clause : clauses_) {
        std::uint32_t bits = clause.bits;
        if (clause.copy_from) bits = class_bits(mode, clause.copy_from);
        if (clause.conditional_x && (is_directory || (mode & 0111))) bits |= 0111;
        bits &= clause.who;
        if (clause.operation == '+') mode |= bits;
        if (clause.operation == '-') mode &= ~bits;
        // '=' leaves a directory's set-id bits alone unless they are named, as chmod(1) does.
        if (clause.operation == '=')
            mode = (mode & ~(clause.who & (is_directory ? 01777u : 07777u))) | bits;
    }
    return mode;
}

}  // namespace shale::build
