// The keys of a TOC entry that all dialects of the CRFS family share, as they are written.
#pragma once

#include <shale/tar.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace shale::layer {

// In tables of ours: the header that lies between most contents.
inline constexpr std::uint64_t kUsualGap = 512;

// Whether bytes of it lie in the layer.
inline bool has_content(const tar::Member& member) {
    return member.type == tar::MemberType::Regular && member.size > 0;
}

// A member's name as its header has it: directories end in a slash, the root is "./".
std::string tar_name(const tar::Member& member);

// `{"type":...` up to but without what is said of the content. `always_time`: a time of zero, too.
void append_entry_fields(std::string& out, const tar::Member& member, bool always_time);

void append_number(std::string& out, std::string_view key, std::uint64_t value);
void append_nonzero(std::string& out, std::string_view key, std::uint64_t value);

}  // namespace shale::layer
