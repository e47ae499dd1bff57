// Choosing a display, and the one that shows nothing.
#include "progress.hpp"

#include "console.hpp"

#include <shale/base.hpp>

#include <unistd.h>

#include <cstdlib>

namespace shale::cli {

namespace {

class QuietDisplay final : public Display {
  public:
    void started(build::VertexId, const std::string&) override {}
    void output(build::VertexId, sandbox::OutputStream, std::string_view) override {}
    void status(build::VertexId, const std::string&, std::uint64_t, std::uint64_t) override {}
    void finished(build::VertexId, build::Outcome, const std::string&) override {}
    void warning(const std::string& text) override { print_note("warning: " + text); }
    void close() override {}
};

bool is_capable_terminal(int fd) {
    const char* terminal = std::getenv("TERM");
    return is_terminal(fd) && terminal != nullptr && std::string_view(terminal) != "dumb";
}

}  // namespace

std::unique_ptr<Display> quiet_display() {
    return std::make_unique<QuietDisplay>();
}

ProgressMode parse_progress(std::string_view word) {
    if (word.empty() || word == "auto") return ProgressMode::Auto;
    if (word == "plain") return ProgressMode::Plain;
    if (word == "tty") return ProgressMode::Tty;
    if (word == "quiet" || word == "none") return ProgressMode::Quiet;
    if (word == "rawjson") return ProgressMode::RawJson;
    fail(ErrorKind::Invalid,
         "invalid progress mode \"" + std::string(word) + "\"; one of " + kProgressChoices);
}

ProgressMode resolve_progress(ProgressMode mode, int fd) {
    if (mode != ProgressMode::Auto) return mode;
    return is_capable_terminal(fd) ? ProgressMode::Tty : ProgressMode::Plain;
}

std::unique_ptr<Display> make_display(ProgressMode mode, const std::string& activity) {
    DisplayOptions options;
    options.fd = STDERR_FILENO;
    options.colour = wants_colour(STDERR_FILENO);
    options.activity = activity;
    switch (resolve_progress(mode, STDERR_FILENO)) {
    case ProgressMode::Tty:
        if (!is_terminal(STDERR_FILENO))
            fail(ErrorKind::Invalid, "--progress tty needs a terminal on standard error");
        return tty_display(options);
    case ProgressMode::Quiet:
        return quiet_display();
    case ProgressMode::RawJson:
        return rawjson_display(options);
    case ProgressMode::Auto:
    case ProgressMode::Plain:
        break;
    }
    return plain_display(options);
}

}  // namespace shale::cli
