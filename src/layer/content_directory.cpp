// Contents read from a directory tree whose owner may be hostile: an overlay upper, a build
// context.
#include <shale/confined.hpp>
#include <shale/io.hpp>
#include <shale/layer.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <memory>

namespace shale::layer {

namespace {

UniqueFd open_beneath(int directory, const std::string& path, std::uint64_t flags) {
    return open_resolved(directory, path, flags, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

// The write order visits a directory's files together, so its descriptor is kept between them; a
// path walk from the root per file costs more than reading a small file.
class ContentDirectory {
  public:
    explicit ContentDirectory(const std::string& root)
        : root_path_(root), root_(open_file(root, O_RDONLY | O_DIRECTORY)) {}

    UniqueFd open(std::string_view path, bool& is_sparse) {
        const std::size_t slash = path.rfind('/');
        const bool at_root = slash == std::string_view::npos;
        const int directory = at_root ? root_.get() : parent(path.substr(0, slash));
        const std::string name(at_root ? path : path.substr(slash + 1));
        // O_NONBLOCK: a FIFO put in the file's place must not hang us.
        UniqueFd file = open_beneath(directory, name, O_RDONLY | O_NONBLOCK);
        if (!file) throw_errno("open", full_name(path));
        struct stat info {};
        if (::fstat(file.get(), &info) != 0) throw_errno("stat", full_name(path));
        if (!S_ISREG(info.st_mode))
            fail(ErrorKind::Corrupt,
                 fmt::format("'{}' is no longer a regular file", full_name(path)));
        is_sparse = io::is_sparse(static_cast<std::uint64_t>(info.st_size),
                                  static_cast<std::uint64_t>(info.st_blocks));
        return file;
    }
    std::string full_name(std::string_view path) const { return join_path(root_path_, path); }

  private:
    int parent(std::string_view path) {
        if (parent_ && parent_path_ == path) return parent_.get();
        parent_path_.clear();
        parent_.reset();
        // One call takes fewer than PATH_MAX bytes; a tree may be deeper.
        for (std::string_view left = path; !left.empty();) {
            const std::size_t end =
                left.size() < PATH_MAX ? left.size() : left.rfind('/', PATH_MAX - 1);
            parent_ = open_beneath(parent_ ? parent_.get() : root_.get(),
                                   std::string(left.substr(0, end)), O_PATH | O_DIRECTORY);
            if (!parent_) throw_errno("open", full_name(path));
            left.remove_prefix(std::min(end + 1, left.size()));
        }
        parent_path_ = path;
        return parent_.get();
    }

    std::string root_path_;
    UniqueFd root_;
    std::string parent_path_;
    UniqueFd parent_;
};

}  // namespace

OpenContent content_from_directory(const std::string& root) {
    auto directory = std::make_shared<ContentDirectory>(root);
    return [directory](std::string_view path, const snapshot::Entry&) -> codec::Source {
        bool is_sparse = false;
        auto file = std::make_shared<UniqueFd>(directory->open(path, is_sparse));
        if (is_sparse)
            return [directory, file, path = std::string(path),
                    reader = io::HoleReader(file->get())](MutableBytes out) mutable {
                return in_context([&] { return directory->full_name(path); },
                                  [&] { return reader.read(out); });
            };
        return [directory, file, path = std::string(path)](MutableBytes out) {
            while (true) {
                const ssize_t got = ::read(file->get(), out.data(), out.size());
                if (got >= 0) return static_cast<std::size_t>(got);
                if (errno != EINTR) throw_errno("read", directory->full_name(path));
            }
        };
    };
}

}  // namespace shale::layer
