// What a Dockerfile may do only if whoever builds it says so: --allow.
#pragma once

#include <string>
#include <vector>

namespace shale::build {

// Invalid, naming it, if this is no entitlement.
void check_entitlement(const std::string& word);

// Denied, `entitlement network.host is not allowed`, unless `name` was granted.
void require_entitlement(const std::vector<std::string>& granted, const std::string& name);

// Whether devices of this name ("vendor/class=device"), or of its class, were granted.
bool is_device_granted(const std::vector<std::string>& granted, const std::string& name);

}  // namespace shale::build
