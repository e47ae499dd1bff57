// Names of process limits.
#include "limits.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <string_view>

namespace shale::sandbox {

namespace {
struct Limit {
    std::string_view name;
    __rlimit_resource resource;
};
constexpr Limit kLimits[] = {{"as", RLIMIT_AS},           {"core", RLIMIT_CORE},
                             {"cpu", RLIMIT_CPU},         {"data", RLIMIT_DATA},
                             {"fsize", RLIMIT_FSIZE},     {"locks", __RLIMIT_LOCKS},
                             {"memlock", RLIMIT_MEMLOCK}, {"msgqueue", __RLIMIT_MSGQUEUE},
                             {"nice", __RLIMIT_NICE},     {"nofile", RLIMIT_NOFILE},
                             {"nproc", RLIMIT_NPROC},     {"rss", RLIMIT_RSS},
                             {"rtprio", __RLIMIT_RTPRIO}, {"rttime", __RLIMIT_RTTIME},
                             {"stack", RLIMIT_STACK},     {"sigpending", __RLIMIT_SIGPENDING}};
}  // namespace

void check_limit(const ProcessLimit& limit) {
    if (std::ranges::find(kLimits, limit.name, &Limit::name) == std::end(kLimits))
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

std::optional<std::uint64_t> most_of_limit(const std::string& name) {
    rlimit now{};
    const auto limit = std::ranges::find(kLimits, name, &Limit::name);
    if (limit == std::end(kLimits) || ::getrlimit(limit->resource, &now) != 0 ||
        now.rlim_max == RLIM_INFINITY)
        return std::nullopt;
    return now.rlim_max;
}

}  // namespace shale::sandbox
