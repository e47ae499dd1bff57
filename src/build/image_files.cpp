#include "image_files.hpp"

#include <shale/tar.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <vector>

namespace shale::build {
namespace {

constexpr std::uint64_t kMaxArchiveBytes = 1ull << 42;  // more than any real image
// What a compressed archive is unpacked to at most. gzip cannot make more of its bytes; what others
// make more of is zeros.
constexpr std::uint64_t kMostRatio = 1100, kAnyArchiveBytes = 1ull << 30;
constexpr std::size_t kMaxMembers = 1'000'000;
constexpr std::size_t kBufferBytes = 1 << 20;
constexpr std::size_t kMagicBytes = 16;  // what codec::sniff looks at, and some
constexpr int kMaxLinks = 8;

// Bytes [offset, offset + bytes) of a file that someone else keeps open, cut at its end.
codec::Source range_source(int fd, std::string path, std::uint64_t offset, std::uint64_t bytes) {
    return [fd, path = std::move(path), offset, bytes](MutableBytes out) mutable -> std::size_t {
        out = out.first(static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), bytes)));
        for (;;) {
            const auto count = ::pread(fd, out.data(), out.size(), static_cast<off_t>(offset));
            if (count < 0 && errno == EINTR) continue;
            if (count < 0) throw_errno("read", path);
            offset += static_cast<std::uint64_t>(count);
            bytes -= static_cast<std::uint64_t>(count);
            return static_cast<std::size_t>(count);
        }
    };
}

std::uint64_t most_unpacked(int fd, const std::string& path) {
    struct stat status {};
    if (::fstat(fd, &status) != 0) throw_errno("stat", path);
    const auto packed = static_cast<std::uint64_t>(status.st_size);
    return std::min(kMaxArchiveBytes, kAnyArchiveBytes + packed * kMostRatio);
}

class DirectoryFiles final : public ImageFiles {
  public:
    explicit DirectoryFiles(std::string directory) : directory_(std::move(directory)) {}
    bool has(const std::string& name) const override {
        return path_exists(join_path(directory_, name));
    }
    codec::Source open(const std::string& name) const override {
        const auto path = join_path(directory_, name);
        const auto fd = std::make_shared<UniqueFd>(open_regular_file(path, O_NOFOLLOW));
        return [fd, source = range_source(fd->get(), path, 0, UINT64_MAX)](
                   MutableBytes out) mutable { return source(out); };
    }

  private:
    std::string directory_;
};

class ArchiveFiles final : public ImageFiles {
  public:
    explicit ArchiveFiles(const std::string& path) : path_(path), tar_(open_plain(path)) {
        tar::Reader reader(range_source(tar_.get(), path, 0, kMaxArchiveBytes), path);
        while (const auto member = reader.next())
            add(*member, reader);
    }
    bool has(const std::string& name) const override { return find(name) != nullptr; }
    codec::Source open(const std::string& name) const override {
        const Member* const member = find(name);
        if (!member) fail(ErrorKind::NotFound, path_ + ": there is no member " + name);
        if (!member->contiguous)
            fail(ErrorKind::Unsupported, path_ + ": the member " + name + " is sparse");
        return range_source(tar_.get(), path_, member->offset, member->size);
    }

  private:
    struct Member {
        std::uint64_t offset = 0, size = 0;
        bool contiguous = true;
        std::string link;  // the name of another member; empty for a file
    };

    static UniqueFd open_plain(const std::string& path);
    void add(const tar::Member& member, const tar::Reader& reader);
    const Member* find(const std::string& name) const;

    std::string path_;
    UniqueFd tar_;
    std::map<std::string, Member> members_;
};

UniqueFd ArchiveFiles::open_plain(const std::string& path) {
    UniqueFd file = open_regular_file(path);
    std::byte magic[kMagicBytes];
    const auto got = range_source(file.get(), path, 0, sizeof magic)(magic);
    const auto format = codec::sniff(Bytes(magic).first(got));
    if (format == codec::StreamFormat::Plain) return file;
    return in_context([&] { return path; },
                      [&] {
                          codec::StreamDecompressor stream(
                              format, range_source(file.get(), path, 0, UINT64_MAX),
                              most_unpacked(file.get(), path));
                          UniqueFd plain = anonymous_file(TempDir::default_parent());
                          std::vector<std::byte> buffer(kBufferBytes);
                          while (const auto count = stream.read(buffer))
                              write_all(plain.get(), Bytes(buffer).first(count), "spool file");
                          return plain;
                      });
}

void ArchiveFiles::add(const tar::Member& member, const tar::Reader& reader) {
    if (members_.size() == kMaxMembers)
        fail(ErrorKind::Unsupported, path_ + ": too many members for an image");
    Member out;
    if (member.type == tar::MemberType::Regular)
        out = {reader.content_offset(), member.size, reader.content_is_contiguous(), {}};
    else if (member.type == tar::MemberType::Hardlink)
        out.link = member.link_target;
    else if (member.type == tar::MemberType::Symlink)  // relative to where it lies
        out.link = clean_absolute_path(member.path.substr(0, member.path.rfind('/') + 1) +
                                       member.link_target)
                       .substr(1);
    else
        return;
    members_[member.path] = std::move(out);  // the last of one name counts, as for tar
}

const ArchiveFiles::Member* ArchiveFiles::find(const std::string& name) const {
    auto at = members_.find(name);
    for (int links = 0; at != members_.end(); ++links) {
        if (at->second.link.empty()) return &at->second;
        if (links == kMaxLinks) return nullptr;
        at = members_.find(at->second.link);
    }
    return nullptr;
}

}  // namespace

UniqueFd open_regular_file(const std::string& path, int more_flags) {
    // Without O_NONBLOCK, opening a FIFO waits for its writer; to regular files it means nothing.
    UniqueFd fd = open_file(path, O_RDONLY | O_NONBLOCK | more_flags);
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) throw_errno("fstat", path);
    if (!S_ISREG(status.st_mode)) fail(ErrorKind::Invalid, path + " is not a regular file");
    return fd;
}

std::string ImageFiles::document(const std::string& name, std::uint64_t limit) const {
    const auto source = open(name);
    std::string text;
    std::vector<std::byte> buffer(64 << 10);
    while (const auto count = source(buffer)) {
        text.append(as_text(Bytes(buffer).first(count)));
        if (text.size() > limit)
            fail(ErrorKind::Invalid, name + " is larger than " + format_size(limit));
    }
    return text;
}

std::unique_ptr<ImageFiles> files_of_directory(const std::string& directory) {
    return std::make_unique<DirectoryFiles>(directory);
}

std::unique_ptr<ImageFiles> files_of_archive(const std::string& path) {
    return std::make_unique<ArchiveFiles>(path);
}

}  // namespace shale::build
