// How a build, a pull or a push looks while it happens. Everything goes to standard error.
//
//   plain    one line per event, steps numbered in order of first print; for logs and pipes
//   tty      a block redrawn in place: header, steps, the last lines of what is running
//   quiet    nothing but warnings
//   rawjson  one JSON object per line, the events as BuildKit's clients name them
//
// Formats of plain and rawjson are those of docker buildx, because people grep them.
#pragma once

#include <shale/build.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace shale::cli {

class Display : public build::Progress {
  public:
    // Ends drawing: what is shown stays, later events are ignored. The caller may then print.
    virtual void close() = 0;
};

enum class ProgressMode { Auto, Plain, Tty, Quiet, RawJson };

// The words --progress takes, and the mode of one of them; Invalid for another word.
inline constexpr const char* kProgressChoices = "auto|plain|tty|quiet|none|rawjson";
ProgressMode parse_progress(std::string_view word);
// Auto becomes Tty on a capable terminal, else Plain; other modes stay.
ProgressMode resolve_progress(ProgressMode mode, int fd);

struct DisplayOptions {
    int fd = 2;
    bool colour = false;
    std::string activity = "Building";  // in the header of the terminal display
    const Clock& clock = system_clock();
};
std::unique_ptr<Display> make_display(ProgressMode mode, const std::string& activity);
std::unique_ptr<Display> plain_display(const DisplayOptions& options);
std::unique_ptr<Display> tty_display(const DisplayOptions& options);
std::unique_ptr<Display> quiet_display();
std::unique_ptr<Display> rawjson_display(const DisplayOptions& options);

}  // namespace shale::cli
