// What the tests of this room share: parsing with the expectation that it works or fails, and a
// fixed environment to expand with.
#pragma once

#include <shale/base.hpp>
#include <shale/dockerfile.hpp>

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shale::dockerfile {

// `Run` alone would name a member of testing::Test inside a test.
using RunCommand = Run;

inline std::string first_message(const ParseResult& result) {
    return result.diagnostics.empty() ? std::string() : message(result.diagnostics[0]);
}

inline std::vector<std::string> error_messages(const ParseResult& result) {
    std::vector<std::string> all;
    for (const Diagnostic& diagnostic : result.diagnostics)
        if (diagnostic.severity == Severity::Error) all.push_back(message(diagnostic));
    return all;
}

// A file that is expected to be right.
inline File parse_good(std::string_view text) {
    ParseResult result = parse(text);
    EXPECT_TRUE(result.ok()) << "in:\n" << text << "\ngot: " << first_message(result);
    return std::move(result.file);
}

// The first instruction behind "FROM a".
inline Instruction parse_instruction(std::string_view text) {
    File file = parse_good("FROM a\n" + std::string(text));
    if (file.stages.empty() || file.stages[0].instructions.empty()) {
        ADD_FAILURE() << "no instruction in: " << text;
        return {};
    }
    return std::move(file.stages[0].instructions[0]);
}

template <typename T>
T parse_as(std::string_view text) {
    Instruction instruction = parse_instruction(text);
    T* value = std::get_if<T>(&instruction.value);
    EXPECT_TRUE(value) << "another type: " << text;
    return value ? std::move(*value) : T{};
}

// The message of the only error in "FROM a" and one instruction.
inline std::string parse_error(std::string_view text) {
    const auto messages = error_messages(parse("FROM a\n" + std::string(text)));
    EXPECT_EQ(messages.size(), 1u) << text;
    return messages.empty() ? std::string() : messages[0];
}

// A=alpha, E set and empty, P=/home/x; nothing else is set.
inline std::optional<std::string> lookup_fixed(std::string_view name) {
    if (name == "A") return "alpha";
    if (name == "E") return "";
    if (name == "P") return "/home/x";
    return std::nullopt;
}

// The text of the Invalid error that `body` throws.
template <typename Body>
std::string invalid_text(Body body) {
    try {
        body();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::Invalid);
        return error.what();
    }
    return "no error";
}

}  // namespace shale::dockerfile
