#include "help.hpp"
#include "manual.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <sstream>

namespace shale::cli {
namespace {

using testing::HasSubstr;

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);)
        lines.push_back(line);
    return lines;
}

TEST(Help, EveryCommandSaysWhatItAndItsFlagsAreFor) {
    for (const auto* command : commands()) {
        const Parser parser(*command);
        EXPECT_FALSE(command->summary.empty()) << command->name;
        EXPECT_FALSE(command->summary.ends_with('.')) << command->name;
        EXPECT_FALSE(command->examples.empty()) << command->name;
        for (const auto& flag : flag_rows(parser.app))
            EXPECT_FALSE(flag.meaning.empty()) << command->name << " " << flag.names.front();
        const auto text = command_help(*command, parser.app);
        for (const auto& flag : flag_rows(parser.app))
            EXPECT_THAT(text, HasSubstr(flag.names.back())) << command->name;
    }
}

TEST(Help, OverviewListsEveryCommand) {
    const auto text = overview();
    for (const auto* command : commands())
        EXPECT_THAT(text, HasSubstr("  " + std::string(command->name) + " "));
}

TEST(Help, FitsATerminal) {
    for (const auto* command : commands()) {
        const Parser parser(*command);
        for (const auto& line : lines_of(command_help(*command, parser.app))) {
            if (line == "Examples:") break;  // those are for copying whole
            EXPECT_LE(line.size(), 80u) << command->name << ": " << line;
        }
    }
}

// Words that begin a line with a dot are requests to troff; only those we mean may occur.
void expect_clean(const std::string& page) {
    for (const auto& line : lines_of(page)) {
        if (!line.starts_with('.')) {
            EXPECT_FALSE(line.starts_with('\'')) << line;
            continue;
        }
        const auto request = line.substr(0, line.find(' '));
        const std::vector<std::string> known = {".TH", ".SH", ".SS", ".TP", ".PP", ".B", ".BR"};
        EXPECT_NE(std::find(known.begin(), known.end(), request), known.end()) << line;
    }
}

TEST(Manual, EveryPageIsCleanTroff) {
    expect_clean(manual_overview());
    for (const auto* command : commands()) {
        const auto page = manual_page(*command);
        expect_clean(page);
        std::string name;  // as troff wants it
        for (const char c : command->name)
            name += c == '-' ? "\\-" : std::string(1, c);
        EXPECT_THAT(page, HasSubstr(".SH NAME\nshale\\-" + name + " "));
        EXPECT_THAT(page, HasSubstr(".SH EXIT STATUS\n"));
    }
}

TEST(Manual, StatusOfTheCommandsThatHaveTheirOwn) {
    EXPECT_THAT(manual_page(*find_command("diff")), HasSubstr(".B 2\n"));
    EXPECT_THAT(manual_page(*find_command("shell")), HasSubstr(".B 127\n"));
}

}  // namespace
}  // namespace shale::cli
