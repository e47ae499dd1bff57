#include "input.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

namespace shale::cli {

namespace {

constexpr std::size_t kBufferBytes = 256 << 10;

std::string shown(const std::string& name) {
    return name == "-" ? "standard input" : name;
}

UniqueFd opened(const std::string& name) {
    if (name != "-") return open_file(name, O_RDONLY);
    UniqueFd fd(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
    if (!fd) throw_errno("open", shown(name));
    return fd;
}

std::size_t read_some(int fd, MutableBytes out, const std::string& name) {
    for (;;) {
        const auto count = ::read(fd, out.data(), out.size());
        if (count >= 0) return static_cast<std::size_t>(count);
        if (errno != EINTR) throw_errno("read", shown(name));
    }
}

}  // namespace

std::string read_input(const std::string& name, std::uint64_t limit) {
    const UniqueFd fd = opened(name);
    std::string text;
    std::vector<std::byte> buffer(kBufferBytes);
    while (const auto count = read_some(fd.get(), buffer, name)) {
        text.append(as_text(Bytes(buffer).first(count)));
        if (text.size() > limit)
            fail(ErrorKind::Invalid, shown(name) + ": larger than " + format_size(limit));
    }
    return text;
}

UniqueFd open_input(const std::string& name) {
    UniqueFd fd = opened(name);
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) throw_errno("stat", name);
    if (S_ISDIR(status.st_mode)) throw_errno(EISDIR, "read", name);
    if (S_ISREG(status.st_mode)) return fd;
    UniqueFd spool = anonymous_file(TempDir::default_parent());
    std::vector<std::byte> buffer(kBufferBytes);
    for (bool is_empty = true;;) {
        const auto count = read_some(fd.get(), buffer, name);
        // An empty file is an empty archive. A pipe's other end has failed.
        if (count == 0 && is_empty) fail(ErrorKind::Corrupt, shown(name) + ": nothing came");
        if (count == 0) return spool;
        write_all(spool.get(), Bytes(buffer).first(count), "spool file");
        is_empty = false;
    }
}

}  // namespace shale::cli
