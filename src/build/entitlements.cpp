#include "entitlements.hpp"

#include <shale/base.hpp>

#include <algorithm>

namespace shale::build {
namespace {

const std::vector<std::string> kEntitlements = {"network.host", "security.insecure", "device",
                                                "buildx.local.delete"};
constexpr std::string_view kDevice = "device=";

}  // namespace

void check_entitlement(const std::string& word) {
    if (word.starts_with(kDevice) && word.size() > kDevice.size()) return;
    if (std::ranges::find(kEntitlements, word) != kEntitlements.end()) return;
    const auto nearest = nearest_match(word, kEntitlements);
    fail(ErrorKind::Invalid, "invalid entitlement \"" + word + "\"" +
                                 (nearest.empty() ? "" : " (did you mean " + nearest + "?)"));
}

void require_entitlement(const std::vector<std::string>& granted, const std::string& name) {
    if (std::ranges::find(granted, name) != granted.end()) return;
    fail(ErrorKind::Denied,
         "entitlement " + name + " is not allowed; grant it with --allow " + name);
}

bool is_device_granted(const std::vector<std::string>& granted, const std::string& name) {
    const auto kind = name.substr(0, name.find('='));
    return std::ranges::any_of(granted, [&](const std::string& word) {
        if (word == "device") return true;
        if (!word.starts_with(kDevice)) return false;
        const auto allowed = word.substr(kDevice.size());
        return allowed == name || allowed == kind;
    });
}

}  // namespace shale::build
