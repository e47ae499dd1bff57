// caller: who runs this program, as the world outside of its user namespace knows it. The second
// door of base, for the few who have to know.
//
// Thread-safe. What the kernel says is read at the time of the call: a program that enters another
// namespace is somebody else from then on.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace shale {

// Whether user 0 here is not the machine's root: then devices cannot be made, control groups are
// the host's, and overlayfs keeps its marks in attributes of users.
bool in_user_namespace();

// The effective user, as the namespace around this one counts; the plain one outside of any.
std::uint32_t outer_uid();

// Whether a group means anybody in this namespace.
bool has_group(std::uint32_t gid);

// What an ID is outside, by the text of /proc/self/uid_map or gid_map: lines of three numbers
// (first inside, first outside, count). nullopt if it stands for nobody.
std::optional<std::uint32_t> outer_id(std::string_view map, std::uint32_t id);

}  // namespace shale
