#include "ports.hpp"

#include <shale/base.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

namespace shale::build {
namespace {

[[noreturn]] void invalid_port(std::string_view token, const std::string& why) {
    fail(ErrorKind::Invalid, "invalid port: \"" + std::string(token) + "\": " + why);
}

unsigned parse_port(std::string_view token, std::string_view text) {
    unsigned port = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (text.empty() || error != std::errc{} || stop != text.data() + text.size() || port > 65535)
        invalid_port(token, "invalid containerPort: " + std::string(text));
    return port;
}

constexpr std::array<std::string_view, 31> kSignals{
    "HUP",  "INT",  "QUIT", "ILL",    "TRAP",   "ABRT",  "BUS",  "FPE",  "KILL", "USR1", "SEGV",
    "USR2", "PIPE", "ALRM", "TERM",   "STKFLT", "CHLD",  "CONT", "STOP", "TSTP", "TTIN", "TTOU",
    "URG",  "XCPU", "XFSZ", "VTALRM", "PROF",   "WINCH", "IO",   "PWR",  "SYS"};

}  // namespace

std::vector<std::string> parse_ports(std::string_view token) {
    std::string_view text = token;
    std::string protocol = "tcp";
    if (const auto slash = text.find('/'); slash != std::string_view::npos) {
        protocol.clear();
        for (const char c : text.substr(slash + 1))
            protocol += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        text = text.substr(0, slash);
        if (protocol.empty()) protocol = "tcp";
        if (protocol != "tcp" && protocol != "udp" && protocol != "sctp")
            invalid_port(token, "invalid proto: " + protocol);
    }
    // Only the container's part of [ip:][host:]container counts.
    if (const auto colon = text.rfind(':'); colon != std::string_view::npos)
        text = text.substr(colon + 1);
    const auto dash = text.find('-');
    const unsigned first = parse_port(token, text.substr(0, dash));
    const unsigned last =
        dash == std::string_view::npos ? first : parse_port(token, text.substr(dash + 1));
    if (last < first) invalid_port(token, "invalid port range");
    std::vector<std::string> ports;
    for (unsigned port = first; port <= last; ++port)
        ports.push_back(std::to_string(port) + "/" + protocol);
    return ports;
}

void check_signal(std::string_view signal) {
    std::string name;
    for (const char c : signal)
        name += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    int value = 0;
    const auto [stop, error] = std::from_chars(name.data(), name.data() + name.size(), value);
    if (!name.empty() && error == std::errc{} && stop == name.data() + name.size() && value > 0)
        return;
    if (name.starts_with("SIG")) name.erase(0, 3);
    if (std::find(kSignals.begin(), kSignals.end(), name) != kSignals.end()) return;
    for (const std::string_view base : {"RTMIN", "RTMAX"}) {
        if (!name.starts_with(base)) continue;
        const auto rest = std::string_view(name).substr(base.size());
        if (rest.empty()) return;
        const char sign = base == "RTMIN" ? '+' : '-';
        int offset = 0;
        const auto [end, failed] =
            std::from_chars(rest.data() + 1, rest.data() + rest.size(), offset);
        if (rest[0] == sign && rest.size() > 1 && failed == std::errc{} &&
            end == rest.data() + rest.size() && offset <= 30)
            return;
    }
    fail(ErrorKind::Invalid, "invalid signal: " + std::string(signal));
}

void require_volume(std::string_view path) {
    if (path.empty()) fail(ErrorKind::Invalid, "VOLUME specified can not be an empty string");
}

}  // namespace shale::build
