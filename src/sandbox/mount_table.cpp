// Parsing of proc(5) mountinfo.
#include "mount_table.hpp"

#include <shale/base.hpp>

namespace shale::sandbox {

namespace {

std::string_view take_field(std::string_view& line) {
    const auto blank = line.find(' ');
    const auto field = line.substr(0, blank);
    line.remove_prefix(blank == std::string_view::npos ? line.size() : blank + 1);
    return field;
}

// Blank, tab, newline and backslash are written as three octal digits.
std::string unescape(std::string_view text) {
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '\\' || i + 3 >= text.size()) {
            plain.push_back(text[i]);
            continue;
        }
        plain.push_back(static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                          (text[i + 3] - '0')));
        i += 3;
    }
    return plain;
}

// True if `path` is `directory` or lies below it.
bool holds(std::string_view directory, std::string_view path) {
    if (directory == "/" || path == directory) return true;
    return path.size() > directory.size() && path.starts_with(directory) &&
           path[directory.size()] == '/';
}

}  // namespace

// 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
std::vector<MountEntry> parse_mounts(std::string_view mountinfo) {
    std::vector<MountEntry> mounts;
    while (!mountinfo.empty()) {
        const auto end = mountinfo.find('\n');
        std::string_view line = mountinfo.substr(0, end);
        mountinfo.remove_prefix(end == std::string_view::npos ? mountinfo.size() : end + 1);
        for (int skipped = 0; skipped < 4; ++skipped)
            take_field(line);
        MountEntry mount;
        mount.target = unescape(take_field(line));
        const auto separator = line.find(" - ");
        if (separator == std::string_view::npos) continue;
        line.remove_prefix(separator + 3);
        mount.type = std::string(take_field(line));
        take_field(line);
        mount.options = std::string(line);
        mounts.push_back(std::move(mount));
    }
    return mounts;
}

std::vector<MountEntry> read_mounts() {
    return parse_mounts(read_file("/proc/self/mountinfo"));
}

bool has_option(const MountEntry& mount, std::string_view option) {
    std::string_view rest = mount.options;
    while (!rest.empty()) {
        const auto comma = rest.find(',');
        if (rest.substr(0, comma) == option) return true;
        rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
    }
    return false;
}

std::vector<std::string> foreign_mounts(const std::vector<MountEntry>& mounts,
                                        const std::vector<std::string>& needed) {
    std::vector<std::string> targets;
    for (const MountEntry& mount : mounts) {
        const bool of_a_build = mount.type == "overlay" || mount.type.starts_with("fuse.");
        bool wanted = false;
        for (const auto& path : needed)
            wanted = wanted || holds(mount.target, path) || holds(path, mount.target);
        if (of_a_build && !wanted) targets.push_back(mount.target);
    }
    return targets;
}

}  // namespace shale::sandbox
