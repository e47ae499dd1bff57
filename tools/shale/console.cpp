#include "console.hpp"

#include "terminal_text.hpp"

#include <shale/base.hpp>

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace shale::cli {

void print_result(std::string_view text) {
    write_all(STDOUT_FILENO, as_bytes(text), "standard output");
}

namespace {

// Failure to write a message has nowhere to be reported.
void print_message(const std::string& line) {
    std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace

void print_note(std::string_view text) {
    print_message("shale: " + printable_message(text) + "\n");
}

void print_error(std::string_view text) {
    print_message("shale: error: " + printable_message(text) + "\n");
}

bool is_terminal(int fd) {
    return ::isatty(fd) == 1;
}

TerminalSize terminal_size(int fd) {
    TerminalSize size;
    winsize window{};
    if (::ioctl(fd, TIOCGWINSZ, &window) == 0 && window.ws_col > 0 && window.ws_row > 0)
        size = {window.ws_col, window.ws_row};
    return size;
}

bool wants_colour(int fd) {
    const char* no_colour = std::getenv("NO_COLOR");
    const char* terminal = std::getenv("TERM");
    if (no_colour != nullptr && *no_colour != '\0') return false;
    if (terminal == nullptr || std::string_view(terminal) == "dumb") return false;
    return is_terminal(fd);
}

}  // namespace shale::cli
