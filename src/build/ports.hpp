// Validation of EXPOSE tokens and STOPSIGNAL names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace shale::build {

// "80", "80/udp", "8000-8010", legacy "127.0.0.1:80:8080": the container's ports as "80/tcp".
// Invalid for anything else.
std::vector<std::string> parse_ports(std::string_view token);

// A number other than 0, or a name with or without SIG, RTMIN+n included. Invalid: `invalid signal:
// X`.
void check_signal(std::string_view signal);
// Invalid for an empty one.
void require_volume(std::string_view path);

}  // namespace shale::build
