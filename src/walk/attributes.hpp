// What stat says of many entries of one directory: plain calls, or one batch through io_uring.
#pragma once

#include <shale/walk_engine.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace shale::walk {

struct Attributes {
    int error = 0;           // errno; nothing else counts then
    std::uint32_t mode = 0;  // with the type, as st_mode
    std::uint32_t uid = 0, gid = 0, nlink = 0, device_major = 0, device_minor = 0;
    std::uint64_t size = 0, dev = 0, ino = 0, blocks = 0;
    std::int64_t mtime_ns = 0, ctime_ns = 0;
};

// One call. An empty name is the directory itself; links are not followed.
void read_attributes(int dir_fd, const char* name, Attributes& out);

// One per thread.
class AttributeReader {
  public:
    virtual ~AttributeReader() = default;
    // Fills `out`, which is as long as `names`.
    virtual void read(int dir_fd, std::span<const char* const> names,
                      std::span<Attributes> out) = 0;
    virtual std::string_view name() const = 0;  // "threads" or "io_uring"
};

// Auto is plain calls: docs/decisions/walk-engine.md. So is Uring if the kernel refuses a ring.
std::unique_ptr<AttributeReader> create_attribute_reader(Engine engine);

}  // namespace shale::walk
