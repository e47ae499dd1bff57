// The text form of digests, and hexadecimal.
#include <shale/base.hpp>

#include <sys/random.h>

#include <vector>

namespace shale {
namespace {

constexpr char kHexDigits[] = "0123456789abcdef";

int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

// "name:hex" with a name such as sha512; tells a foreign algorithm from garbage.
bool is_other_algorithm(std::string_view text) {
    const auto colon = text.find(':');
    if (colon == std::string_view::npos || colon == 0 || colon + 33 > text.size()) return false;
    for (char c : text.substr(0, colon))
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9')) return false;
    return text.substr(0, colon) != "sha256";
}

}  // namespace

std::string to_hex(Bytes bytes) {
    std::string out(bytes.size() * 2, '\0');
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const auto value = std::to_integer<unsigned>(bytes[i]);
        out[2 * i] = kHexDigits[value >> 4];
        out[2 * i + 1] = kHexDigits[value & 15];
    }
    return out;
}

std::string random_hex(std::size_t bytes) {
    std::vector<std::byte> drawn(bytes);
    // Whole, up to 256 bytes.
    if (::getrandom(drawn.data(), bytes, 0) != static_cast<ssize_t>(bytes))
        throw_errno("getrandom");
    return to_hex(drawn);
}

std::string Digest::hex() const {
    return to_hex(std::as_bytes(std::span(bytes)));
}

std::optional<Digest> Digest::from_hex(std::string_view hex) {
    Digest digest;
    if (hex.size() != digest.bytes.size() * 2) return std::nullopt;
    for (std::size_t i = 0; i < digest.bytes.size(); ++i) {
        const int high = hex_value(hex[2 * i]);
        const int low = hex_value(hex[2 * i + 1]);
        if (high < 0 || low < 0) return std::nullopt;
        digest.bytes[i] = static_cast<std::uint8_t>(high << 4 | low);
    }
    return digest;
}

Digest Digest::parse(std::string_view text) {
    constexpr std::string_view kPrefix = "sha256:";
    if (text.starts_with(kPrefix))
        if (auto digest = from_hex(text.substr(kPrefix.size()))) return *digest;
    if (is_other_algorithm(text))
        fail(ErrorKind::Unsupported, "unsupported digest algorithm: " + std::string(text));
    fail(ErrorKind::Invalid, "invalid digest: \"" + std::string(text) + "\"");
}

}  // namespace shale
