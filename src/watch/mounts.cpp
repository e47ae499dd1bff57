#include "mounts.hpp"

#include <shale/base.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>

namespace shale::watch {

namespace {

// proc(5): space, tab, newline and backslash appear as three octal digits.
std::string unescaped(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] != '\\' || text.size() - at < 4) {
            out.push_back(text[at]);
            continue;
        }
        out.push_back(static_cast<char>((text[at + 1] - '0') << 6 | (text[at + 2] - '0') << 3 |
                                        (text[at + 3] - '0')));
        at += 3;
    }
    return out;
}

bool is_at_or_below(std::string_view path, std::string_view directory) {
    if (directory == "/" || path == directory) return true;
    return path.starts_with(directory) && path[directory.size()] == '/';
}

// Files in /proc tell no size.
std::string read_proc(const char* path) {
    const UniqueFd file = open_file(path, O_RDONLY);
    std::string text;
    char buffer[16 << 10];
    for (;;) {
        const ssize_t count = ::read(file.get(), buffer, sizeof buffer);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw_errno("read", path);
        if (count == 0) return text;
        text.append(buffer, static_cast<std::size_t>(count));
    }
}

}  // namespace

Mounts mounts_around(const std::string& directory) {
    Mounts mounts;
    std::istringstream lines(read_proc("/proc/self/mountinfo"));
    for (std::string line; std::getline(lines, line);) {
        std::istringstream fields(line);
        std::string id, parent, device, root, point;
        fields >> id >> parent >> device >> root >> point;
        point = unescaped(point);
        const bool below = point != directory && is_at_or_below(point, directory);
        if (!below && !is_at_or_below(directory, point)) continue;
        mounts.any_below |= below;
        mounts.around += id + " " + device + " " + root + " " + point + "\n";
    }
    return mounts;
}

}  // namespace shale::watch
