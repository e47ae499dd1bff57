#include "mount_table.hpp"

#include <shale/base.hpp>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
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
std::vector<FoundMount> parse_mountinfo(std::string_view text) {
    std::vector<FoundMount> found;
    std::istringstream lines{std::string(text)};
    for (std::string line; std::getline(lines, line);) {
        std::istringstream fields(line);
        std::string skipped, device, target, type, source;
        fields >> skipped >> skipped >> device >> skipped >> target;
        while (fields >> skipped && skipped != "-") {
        }
        if (fields >> type >> source && (type == kFileSystem || type == "overlay"))
            found.push_back({{unescaped(source), unescaped(target), device}, type == kFileSystem});
    }
    return found;
}

std::vector<MountRow> shale_mounts(const std::string& root) {
    std::vector<MountRow> rows;
    for (auto& mount : parse_mountinfo(read_file("/proc/self/mountinfo"))) {
        mount.row.record = find_record(mount.row.device, mount.row.target, root);
        if (!mount.is_ours && !mount.row.record) continue;
        if (mount.row.record) mount.row.source = mount.row.record->reference;
        rows.push_back(std::move(mount.row));
    }
    return rows;
}

// The kernel names mounts by their real path. A dead mount cannot be resolved (ENOTCONN), the
// directory that holds it can.
std::string mount_path(std::string text) {
    char resolved[PATH_MAX];
    if (::realpath(text.c_str(), resolved)) return resolved;
    while (text.size() > 1 && text.ends_with('/'))
        text.pop_back();
    const auto slash = text.rfind('/');
    const auto parent = slash == std::string::npos ? "." : text.substr(0, slash + 1);
    if (!::realpath(parent.c_str(), resolved)) throw_errno("resolve", text);
    return join_path(resolved, text.substr(slash + 1));  // npos + 1 is 0
}

bool unmount_through_fusermount(const std::string& target, bool lazy) {
    std::vector<const char*> argv = {"fusermount3", "-u", "-q"};
    if (lazy) argv.push_back("-z");
    argv.push_back("--");
    argv.push_back(target.c_str());
    argv.push_back(nullptr);
    pid_t child = -1;
    if (::posix_spawnp(&child, argv.front(), nullptr, nullptr,
                       const_cast<char* const*>(argv.data()), environ) != 0)
        return false;
    int status = 0;
    while (::waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return false;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace shale::cli
