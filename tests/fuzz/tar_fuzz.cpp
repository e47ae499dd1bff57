// Tar streams from strangers: every input is read to its end or refused with an Error, no content
// is longer or shorter than its member says, no path leaves the root, and a member that can be
// encoded is read back as itself.
#include <shale/tar.hpp>

#include <algorithm>
#include <array>

using namespace shale;

namespace {

tar::Source source_of(Bytes bytes) {
    return [bytes](MutableBytes out) mutable {
        const std::size_t count = std::min(out.size(), bytes.size());
        std::copy_n(bytes.begin(), count, out.begin());
        bytes = bytes.subspan(count);
        return count;
    };
}

bool stays_inside(std::string_view path) {
    while (!path.empty()) {
        const auto slash = path.find('/');
        if (path.substr(0, slash) == "..") return false;
        path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    }
    return true;
}

void check_round_trip(tar::Member member) {
    if (member.type == tar::MemberType::Regular) member.size = 0;  // its content is not at hand
    std::string stream;
    try {
        stream = tar::encode_header(member);
    } catch (const Error&) {  // more extended attributes than we would write
        return;
    }
    stream.append(tar::kTrailerBytes, '\0');
    tar::Reader reader(source_of(as_bytes(stream)), "our own");
    const auto again = reader.next();
    SHALE_ENSURE(again && again->path == member.path && again->type == member.type &&
                 again->mode == member.mode && again->uid == member.uid &&
                 again->gid == member.gid && again->mtime_ns == member.mtime_ns &&
                 again->link_target == member.link_target && again->xattrs == member.xattrs);
    SHALE_ENSURE(!reader.next());
}

void read_all(Bytes bytes) {
    tar::Reader reader(source_of(bytes), "input");
    std::array<std::byte, 4096> buffer;
    while (const auto member = reader.next()) {
        SHALE_ENSURE(!member->path.starts_with('/') && stays_inside(member->path));
        SHALE_ENSURE(reader.header_offset() <= bytes.size());
        std::uint64_t got = 0;
        // A sparse file may claim terabytes of holes; the first megabyte shows what there is to see
        while (got < (1u << 20)) {
            const std::size_t count = reader.read(buffer);
            if (count == 0) break;
            got += count;
        }
        SHALE_ENSURE(got <= member->size && (got == member->size || got >= (1u << 20)));
        check_round_trip(*member);
        tar::classify_whiteout(member->path);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Bytes bytes = std::as_bytes(std::span(data, size));
    tar::looks_like_tar(bytes);
    try {
        read_all(bytes);
    } catch (const Error&) {  // a refusal is an answer
    }
    return 0;
}
