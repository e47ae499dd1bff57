#include "sequential_reader.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>

namespace shale::store {

namespace {

constexpr std::size_t kAlignment = 4096;
// One request at a time must keep the device busy.
constexpr std::size_t kWindowBytes = 4 << 20;
// What may be left out between two reads that follow on each other: a frame that changed.
constexpr std::uint64_t kMostSkipped = 2 << 20;

}  // namespace

bool SequentialReader::is_near(const std::string& path, std::uint64_t offset) const {
    return path == path_ && offset >= end_ && offset - end_ <= kMostSkipped;
}

bool SequentialReader::continues(const std::string& path, std::uint64_t offset,
                                 std::uint64_t bytes) {
    const bool does = is_near(path, offset);
    if (path != path_) {
        path_ = path;
        fd_.reset();
        window_begin_ = window_end_ = 0;
    }
    end_ = offset + bytes;
    return does;
}

bool SequentialReader::read(const std::string& path, std::uint64_t offset, MutableBytes out) {
    if (!continues(path, offset, out.size()) || offset < UncachedWriter::kCachedBytes ||
        out.size() > kWindowBytes - kAlignment)
        return false;
    if (!fd_) fd_.reset(::open(path.c_str(), O_RDONLY | O_DIRECT | O_NOFOLLOW | O_CLOEXEC));
    if (!fd_) return false;
    const auto is_there = [&] {
        return offset >= window_begin_ && offset + out.size() <= window_end_;
    };
    if (!is_there() && (!fill(offset) || !is_there())) return false;
    std::memcpy(out.data(), window_.get() + (offset - window_begin_), out.size());
    return true;
}

bool SequentialReader::fill(std::uint64_t offset) {
    if (!window_) {
        window_.reset(static_cast<std::byte*>(std::aligned_alloc(kAlignment, kWindowBytes)));
        if (!window_) throw std::bad_alloc();
    }
    window_begin_ = window_end_ = offset / kAlignment * kAlignment;
    ssize_t count = -1;
    do
        count = ::pread(fd_.get(), window_.get(), kWindowBytes, static_cast<off_t>(window_begin_));
    while (count < 0 && errno == EINTR);
    if (count < 0) return false;  // whoever reads it in the usual way is told why
    window_end_ += static_cast<std::uint64_t>(count);
    direct_bytes_ += static_cast<std::uint64_t>(count);
    return true;
}

}  // namespace shale::store
