// Judgements on raw names and raw blocks: is this member a whiteout, is this block a tar header.
#include "ustar.hpp"

#include <shale/tar.hpp>

#include <fmt/format.h>

#include <cstring>

namespace shale::tar {

namespace {

constexpr std::string_view kAufsPrefix = ".wh..wh.";

Whiteout classify_name(std::string_view directory, std::string_view name,
                       std::string_view member_path) {
    const std::string_view victim = name.substr(kWhiteoutPrefix.size());
    // ".wh.", ".wh.." and ".wh..." would remove the directory itself or its parent.
    if (victim.empty() || victim == "." || victim == "..")
        fail(ErrorKind::Corrupt,
             fmt::format("archive member \"{}\" is a whiteout of nothing", member_path));
    if (name.starts_with(kAufsPrefix)) return {WhiteoutKind::Whiteout, ""};
    return {WhiteoutKind::Whiteout, join_path(directory, victim)};
}

}  // namespace

Whiteout classify_whiteout(std::string_view member_path) {
    for (std::size_t begin = 0; begin < member_path.size();) {
        const std::size_t end = std::min(member_path.find('/', begin), member_path.size());
        const std::string_view name = member_path.substr(begin, end - begin);
        const bool last = end == member_path.size();
        if (name.starts_with(kWhiteoutPrefix)) {
            const std::string_view directory = member_path.substr(0, begin == 0 ? 0 : begin - 1);
            if (name == kOpaqueMarker && last)
                return {WhiteoutKind::Opaque, std::string(directory)};
            if (name.starts_with(kAufsPrefix)) return {WhiteoutKind::Whiteout, ""};
            if (!last)
                fail(ErrorKind::Corrupt,
                     fmt::format("archive member \"{}\" lies below a whiteout", member_path));
            return classify_name(directory, name, member_path);
        }
        begin = end + 1;
    }
    return {};
}

bool looks_like_tar(Bytes head) {
    if (head.size() < kBlockBytes) return false;
    UstarBlock block;
    std::memcpy(&block, head.data(), sizeof block);
    std::uint64_t stored = 0;
    bool any_digit = false;
    for (const char c : block.checksum) {
        if (c == ' ' && !any_digit) continue;
        if (c < '0' || c > '7') break;
        any_digit = true;
        stored = stored * 8 + static_cast<std::uint64_t>(c - '0');
    }
    if (!any_digit) return false;
    std::memset(block.checksum, ' ', sizeof block.checksum);
    // Some historical tars summed signed chars.
    std::uint64_t plain = 0;
    std::int64_t with_sign = 0;
    for (std::size_t i = 0; i < sizeof block; ++i) {
        const auto byte = reinterpret_cast<const unsigned char*>(&block)[i];
        plain += byte;
        with_sign += static_cast<signed char>(byte);
    }
    return stored == plain || static_cast<std::int64_t>(stored) == with_sign;
}

}  // namespace shale::tar
