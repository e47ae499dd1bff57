// A file as a row of extents, each data or a hole, that are asked for one by one.
#include <shale/io.hpp>

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

namespace shale::io {

// What is data now may be punched out before it is read, and the other way round: then zeros are
// read, or data missed. Whoever must not miss a change looks at the times afterwards.
void HoleReader::find_extent() {
    constexpr auto kAll = std::uint64_t{std::numeric_limits<off_t>::max()};
    const auto from = static_cast<off_t>(offset_);
    const off_t data = ::lseek(fd_, from, SEEK_DATA);
    if (data > from) {
        hole_end_ = static_cast<std::uint64_t>(data);
    } else if (data == from) {
        const off_t hole = ::lseek(fd_, from, SEEK_HOLE);
        data_end_ = hole > from ? static_cast<std::uint64_t>(hole) : kAll;
    } else if (data < 0 && errno == ENXIO) {  // no data from here on
        const off_t end = ::lseek(fd_, 0, SEEK_END);
        if (end < 0) throw_errno("lseek");
        hole_end_ = static_cast<std::uint64_t>(end);
    } else {
        data_end_ = kAll;
    }
}

std::size_t HoleReader::read(MutableBytes out) {
    if (offset_ >= hole_end_ && offset_ >= data_end_) find_extent();
    const bool is_hole = hole_end_ > offset_;
    const std::uint64_t end = is_hole ? hole_end_ : data_end_;
    if (end <= offset_) return 0;
    out = out.first(static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), end - offset_)));
    std::size_t count = out.size();
    if (is_hole) {
        std::memset(out.data(), 0, out.size());
    } else {
        ssize_t got = 0;
        do
            got = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(offset_));
        while (got < 0 && errno == EINTR);
        if (got < 0) throw_errno("read");
        count = static_cast<std::size_t>(got);
        data_bytes_ += count;
    }
    offset_ += count;
    return count;
}

}  // namespace shale::io
