// Names of process limits.
#include "limits.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace shale::sandbox {

namespace {
constexpr std::string_view kLimits[] = {
    "as",   "core",   "cpu",   "data", "fsize",  "locks",  "memlock",    "msgqueue",
    "nice", "nofile", "nproc", "rss",  "rtprio", "rttime", "sigpending", "stack"};
}

void check_limit(const ProcessLimit& limit) {
    if (std::ranges::find(kLimits, limit.name) == std::end(kLimits))
        fail(ErrorKind::Invalid, "invalid ulimit type: " + limit.name);
    const bool unlimited_soft = limit.soft == -1 && limit.hard != -1;
    if (limit.hard != -1 && (limit.soft > limit.hard || unlimited_soft))
        fail(ErrorKind::Invalid,
             fmt::format("ulimit soft limit must be less than or equal to hard limit: {} > {}",
                         limit.soft, limit.hard));
}

std::string runtime_limit_name(const std::string& name) {
    std::string text = "RLIMIT_";
    for (const char c : name)
        text += static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    return text;
}

}  // namespace shale::sandbox
