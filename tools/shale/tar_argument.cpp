// A tar file read once: its members go through layer::merge onto the empty tree, so that hard links
// and whiteouts mean what they mean in a layer. A compressed one is unpacked into an anonymous file
// meanwhile, so that single contents can be read afterwards.
#include "tar_argument.hpp"

#include <shale/base.hpp>
#include <shale/codec.hpp>
#include <shale/layer.hpp>
#include <shale/tar.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <unordered_map>

namespace shale::cli {

namespace {

// More than any real archive, little enough that a decompression bomb ends.
constexpr std::uint64_t kMaxTarBytes = 1ull << 42;
constexpr std::size_t kBufferBytes = 256 << 10;
constexpr std::size_t kTarBlock = 512;

std::size_t read_at(int fd, MutableBytes out, std::uint64_t offset, const std::string& name) {
    for (;;) {
        const auto count = ::pread(fd, out.data(), out.size(), static_cast<off_t>(offset));
        if (count >= 0) return static_cast<std::size_t>(count);
        if (errno != EINTR) throw_errno("read", name);
    }
}

// The archive without its compression, as a file.
struct PlainTar {
    UniqueFd fd;
    std::string name;

    codec::Source from(std::uint64_t offset, std::uint64_t bytes) const {
        return [this, offset, bytes](MutableBytes out) mutable {
            const auto count = read_at(
                fd.get(), out.first(std::min<std::uint64_t>(out.size(), bytes)), offset, name);
            offset += count;
            bytes -= count;
            return count;
        };
    }
};

// The end of an archive and nothing else: two blocks of zeros, or as many as fill a record.
bool is_empty_tar(int fd, const std::string& name) {
    constexpr std::size_t kMostBlocks = 256;
    std::vector<std::byte> bytes((kMostBlocks + 1) * kTarBlock);
    std::size_t size = 0;
    while (const auto count = read_at(fd, MutableBytes(bytes).subspan(size), size, name))
        size += count;
    bytes.resize(size);
    return size >= 2 * kTarBlock && size <= kMostBlocks * kTarBlock && size % kTarBlock == 0 &&
           std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{}; });
}

bool starts_like_tar(int fd, const std::string& name) {
    std::byte head[kTarBlock];
    return tar::looks_like_tar(Bytes(head).first(read_at(fd, head, 0, name))) ||
           is_empty_tar(fd, name);
}

std::shared_ptr<const PlainTar> open_plain(const std::string& path) {
    // Of a FIFO or a device nothing could be read twice; opening a FIFO would even wait.
    UniqueFd file = open_file(path, O_RDONLY | O_NONBLOCK);
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) throw_errno("fstat", path);
    if (!S_ISREG(status.st_mode)) fail(ErrorKind::Invalid, path + " is not a regular file");
    std::byte head[8];
    const auto format = codec::sniff(Bytes(head).first(read_at(file.get(), head, 0, path)));
    if (format == codec::StreamFormat::Plain)
        return std::make_shared<const PlainTar>(PlainTar{std::move(file), path});
    codec::StreamDecompressor stream(
        format,
        [fd = file.get(), &path, offset = std::uint64_t{0}](MutableBytes out) mutable {
            const auto count = read_at(fd, out, offset, path);
            offset += count;
            return count;
        },
        kMaxTarBytes);
    UniqueFd spool = anonymous_file(TempDir::default_parent());
    std::vector<std::byte> buffer(kBufferBytes);
    while (const auto count = stream.read(buffer))
        write_all(spool.get(), Bytes(buffer).first(count), "spool file");
    return std::make_shared<const PlainTar>(PlainTar{std::move(spool), path});
}

struct Place {
    std::uint64_t offset = 0, size = 0;
    bool contiguous = true;
};
using Places = std::unordered_map<Digest, Place, DigestHash>;

Digest hash_content(tar::Reader& reader, std::vector<std::byte>& buffer) {
    codec::Sha256 hash;
    while (const auto count = reader.read(buffer))
        hash.update(Bytes(buffer).first(count));
    return hash.finish();
}

layer::Toc read_members(const PlainTar& archive, Places& places) {
    tar::Reader reader(archive.from(0, kMaxTarBytes), archive.name);
    layer::Toc toc;
    std::vector<std::byte> buffer(kBufferBytes);
    while (auto member = reader.next()) {
        layer::TocEntry entry;
        entry.content_offset = reader.content_offset();
        if (member->type == tar::MemberType::Regular) {
            const bool contiguous = reader.content_is_contiguous();
            entry.content = hash_content(reader, buffer);
            places.try_emplace(entry.content,
                               Place{entry.content_offset, member->size, contiguous});
        }
        entry.member = std::move(*member);
        toc.entries.push_back(std::move(entry));
    }
    return toc;
}

}  // namespace

std::optional<TreeArgument> read_tar_argument(const std::string& path) {
    std::shared_ptr<const PlainTar> archive;
    try {
        archive = open_plain(path);
    } catch (const Error& error) {  // looked compressed, and was not, or was damaged
        if (error.kind() != ErrorKind::Corrupt) throw;
        throw Error(error.kind(), path + ": " + error.what());
    }
    if (!starts_like_tar(archive->fd.get(), path)) return std::nullopt;
    auto places = std::make_shared<Places>();
    auto tree = std::make_shared<const snapshot::Tree>(
        in_context([&] { return path; },
                   [&] {
                       const auto toc = read_members(*archive, *places);
                       return layer::merge(snapshot::TreeBuilder().finish(), toc);
                   }));
    const auto place_of = [archive, places](std::string_view name,
                                            const Digest& content) -> const Place& {
        const auto at = places->find(content);
        SHALE_ENSURE(at != places->end());
        if (!at->second.contiguous)
            fail(ErrorKind::Unsupported, archive->name + ": '" + std::string(name) +
                                             "' is a sparse member, which cannot be read alone");
        return at->second;
    };
    TreeArgument out{tree, nullptr};
    out.open = [archive, place_of](std::string_view name,
                                   const snapshot::Entry& entry) -> codec::Source {
        if (entry.size == 0) return [](MutableBytes) -> std::size_t { return 0; };
        const auto& place = place_of(name, entry.content);
        return [archive, source = archive->from(place.offset, place.size)](
                   MutableBytes into) mutable { return source(into); };
    };
    out.view = [archive, place_of](std::shared_ptr<const snapshot::Tree> shown) {
        return std::make_shared<mount::View>(
            shown,
            [archive, place_of, tree = shown](snapshot::NodeId node, std::uint64_t offset,
                                              MutableBytes into) -> std::size_t {
                const auto entry = tree->entry(node);
                if (offset >= entry.size) return 0;
                const auto& place = place_of(tree->path(node), entry.content);
                into = into.first(std::min<std::uint64_t>(into.size(), entry.size - offset));
                pread_exact(archive->fd.get(), into, place.offset + offset, archive->name);
                return into.size();
            });
    };
    return out;
}

}  // namespace shale::cli
