// The small grammars of downloads: URLs, file names, checksums, dates.
#include "percent.hpp"

#include <shale/remote.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>

namespace shale::remote {
namespace {

int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

std::string decode(std::string_view text, bool plus_is_blank) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool coded = text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 &&
                           digit(text[i + 2]) >= 0;
        if (coded) {
            out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
            i += 2;
        } else {
            out += plus_is_blank && text[i] == '+' ? ' ' : text[i];
        }
    }
    return out;
}

// Exactly `count` decimal digits.
std::optional<int> number(std::string_view text, std::size_t at, std::size_t count) {
    int value = 0;
    const auto digits = text.substr(at, count);
    if (digits.size() != count || digits.find_first_not_of("0123456789") != digits.npos)
        return std::nullopt;
    std::from_chars(digits.data(), digits.data() + count, value);
    return value;
}

struct Algorithm {
    std::string_view name;
    HashAlgorithm algorithm;
    std::size_t hex_digits;
};
constexpr Algorithm kAlgorithms[] = {{"sha256", HashAlgorithm::Sha256, 64},
                                     {"sha384", HashAlgorithm::Sha384, 96},
                                     {"sha512", HashAlgorithm::Sha512, 128}};

}  // namespace

std::string decode_percent(std::string_view text) {
    return decode(text, false);
}

std::string decode_query(std::string_view text) {
    return decode(text, true);
}

bool is_http_url(std::string_view text) {
    return text.starts_with("http://") || text.starts_with("https://");
}

std::string file_name(std::string_view url) {
    constexpr std::size_t kMaxName = 255;
    url = url.substr(0, url.find_first_of("?#"));
    const auto scheme = url.find("://");
    if (scheme != std::string_view::npos) url.remove_prefix(scheme + 3);
    const auto slash = url.find('/');
    if (slash == std::string_view::npos) return "__unnamed__";
    const auto path = clean_absolute_path(decode_percent(url.substr(slash)));
    const auto name = path.substr(path.rfind('/') + 1);
    const bool usable = !name.empty() && name != "." && name.size() <= kMaxName &&
                        name.find('\0') == std::string::npos;
    return usable ? name : "__unnamed__";
}

std::string Checksum::str() const {
    for (const auto& known : kAlgorithms)
        if (known.algorithm == algorithm) return std::string(known.name) + ":" + hex;
    SHALE_ENSURE(false);
    return {};
}

Checksum Checksum::parse(std::string_view text) {
    const auto colon = text.find(':');
    if (colon == std::string_view::npos || colon == 0 || colon + 1 == text.size())
        fail(ErrorKind::Invalid, "invalid checksum digest format \"" + std::string(text) + "\"");
    const auto name = text.substr(0, colon), hex = text.substr(colon + 1);
    const auto* known = std::find_if(std::begin(kAlgorithms), std::end(kAlgorithms),
                                     [&](const Algorithm& a) { return a.name == name; });
    if (known == std::end(kAlgorithms))
        fail(ErrorKind::Invalid, "unsupported digest algorithm \"" + std::string(name) + "\"");
    if (hex.size() != known->hex_digits || hex.find_first_not_of("0123456789abcdef") != hex.npos)
        fail(ErrorKind::Invalid, "invalid checksum digest format \"" + std::string(text) +
                                     "\": " + std::string(name) + " has " +
                                     std::to_string(known->hex_digits) + " lower-case digits");
    return {known->algorithm, std::string(hex)};
}

std::string encode_base64(std::string_view text) {
    constexpr std::string_view kLetters =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    std::uint32_t bits = 0;
    int count = 0;
    for (const char c : text) {
        bits = bits << 8 | static_cast<unsigned char>(c);
        for (count += 8; count >= 6; count -= 6)
            out += kLetters[bits >> (count - 6) & 63];
    }
    if (count > 0) out += kLetters[bits << (6 - count) & 63];
    while (out.size() % 4 != 0)
        out += '=';
    return out;
}

// "Sun, 06 Nov 1994 08:49:37 GMT"
std::optional<std::int64_t> parse_http_date(std::string_view text) {
    constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
    if (text.size() != 29 || text.substr(3, 2) != ", " || text.substr(25) != " GMT" ||
        text[7] != ' ' || text[11] != ' ' || text[16] != ' ' || text[19] != ':' || text[22] != ':')
        return std::nullopt;
    const auto day = number(text, 5, 2), year = number(text, 12, 4), hour = number(text, 17, 2),
               minute = number(text, 20, 2), second = number(text, 23, 2);
    const auto month = kMonths.find(text.substr(8, 3));
    if (!day || !year || !hour || !minute || !second || month == kMonths.npos || month % 3 != 0 ||
        *day < 1 || *day > 31 || *hour > 23 || *minute > 59 || *second > 60)
        return std::nullopt;
    std::tm broken{};
    broken.tm_mday = *day;
    broken.tm_mon = static_cast<int>(month / 3);
    broken.tm_year = *year - 1900;
    broken.tm_hour = *hour;
    broken.tm_min = *minute;
    broken.tm_sec = *second;
    return ::timegm(&broken);
}

}  // namespace shale::remote
