// The two ends of the program: results go to standard output, words for people to standard error.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace shale::cli {

// Writes all of it or throws. A reader that went away is an Error with errno EPIPE, which main()
// turns into a silent exit.
void print_result(std::string_view text);

// "shale: <text>" on standard error, made printable.
void print_note(std::string_view text);
void print_error(std::string_view text);  // "shale: error: <text>"

struct TerminalSize {
    std::size_t columns = 80;
    std::size_t rows = 24;
};
bool is_terminal(int fd);
TerminalSize terminal_size(int fd);
// False if NO_COLOR is set, the terminal is dumb, or fd is no terminal.
bool wants_colour(int fd);

}  // namespace shale::cli
