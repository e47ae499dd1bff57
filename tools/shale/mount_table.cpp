#include "mount_table.hpp"

#include <shale/base.hpp>

#include <sstream>

namespace shale::cli {

namespace {

constexpr std::string_view kFileSystem = "fuse.shale";

// mountinfo writes blank, tab, newline and backslash as three octal digits.
std::string unescaped(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool octal =
            text[i] == '\\' && i + 4 <= text.size() &&
            text.substr(i + 1, 3).find_first_not_of("01234567") == std::string_view::npos;
        if (!octal) {
            out += text[i];
            continue;
        }
        int value = 0;
        for (int digit = 1; digit <= 3; ++digit)
            value = value * 8 + (text[i + digit] - '0');
        out += static_cast<char>(value);
        i += 3;
    }
    return out;
}

}  // namespace

// Fields (proc(5)): id parent major:minor root TARGET options [optional...] - TYPE SOURCE super.
std::vector<MountRow> parse_mountinfo(std::string_view text) {
    std::vector<MountRow> rows;
    std::istringstream lines{std::string(text)};
    for (std::string line; std::getline(lines, line);) {
        std::istringstream fields(line);
        std::string skipped, target, type, source;
        fields >> skipped >> skipped >> skipped >> skipped >> target;
        while (fields >> skipped && skipped != "-") {
        }
        if (fields >> type >> source && type == kFileSystem)
            rows.push_back({unescaped(source), unescaped(target)});
    }
    return rows;
}

std::vector<MountRow> shale_mounts() {
    return parse_mountinfo(read_file("/proc/self/mountinfo"));
}

}  // namespace shale::cli
