// Plain calls, and the choice of the engine.
#include "attributes.hpp"

#include "stat_ring.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>

namespace shale::walk {

namespace {

class PlainReader final : public AttributeReader {
  public:
    void read(int dir_fd, std::span<const char* const> names, std::span<Attributes> out) override {
        for (std::size_t at = 0; at < names.size(); ++at)
            read_attributes(dir_fd, names[at], out[at]);
    }
    std::string_view name() const override { return "threads"; }
};

class UringReader final : public AttributeReader {
  public:
    // A ring belongs to the thread that made it, which is the one that reads, not the one that
    // made this object.
    void read(int dir_fd, std::span<const char* const> names, std::span<Attributes> out) override {
        if (!ring_ && !refused_) {
            ring_ = create_stat_ring();
            refused_ = !ring_;
        }
        if (refused_) return plain_.read(dir_fd, names, out);
        ring_->stat(dir_fd, names, out);
    }
    std::string_view name() const override { return refused_ ? plain_.name() : "io_uring"; }

  private:
    std::unique_ptr<StatRing> ring_;
    PlainReader plain_;
    bool refused_ = false;
};

}  // namespace

void read_attributes(int dir_fd, const char* name, Attributes& out) {
    out = {};
    struct stat status {};
    const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name ? 0 : AT_EMPTY_PATH);
    if (::fstatat(dir_fd, name, &status, flags) != 0) {
        out.error = errno;
        return;
    }
    out.mode = status.st_mode;
    out.uid = status.st_uid;
    out.gid = status.st_gid;
    out.nlink = static_cast<std::uint32_t>(status.st_nlink);
    out.device_major = major(status.st_rdev);
    out.device_minor = minor(status.st_rdev);
    out.size = static_cast<std::uint64_t>(status.st_size);
    out.dev = status.st_dev;
    out.ino = status.st_ino;
    out.blocks = static_cast<std::uint64_t>(status.st_blocks);
    out.mtime_ns = to_ns(status.st_mtim);
    out.ctime_ns = to_ns(status.st_ctim);
}

std::unique_ptr<AttributeReader> create_attribute_reader(Engine engine) {
    if (engine == Engine::Uring) return std::make_unique<UringReader>();
    return std::make_unique<PlainReader>();
}

}  // namespace shale::walk
