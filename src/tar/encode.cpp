// Member -> header blocks, byte for byte the same everywhere.
//
// A plain ustar block if every field fits, else a PAX extended header ('x' member) in front of it
// that overrides exactly the fields that do not. What a field cannot hold is zero in the ustar
// block, so that a reader without PAX sees something harmless rather than something truncated.
//
// Extended attributes travel as SCHILY.xattr.<name>=<raw value>, which every container tool reads.
// PAX ends a keyword at the first '=', so a name that contains one cannot be written that way; it
// goes out as LIBARCHIVE.xattr.<percent-encoded name>=<base64 value> instead.
#include "ustar.hpp"

#include <shale/tar.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace shale::tar {

namespace {

// libarchive, which reads our archives back, refuses larger extended headers.
constexpr std::size_t kMaxPaxBytes = 1 << 20;

char type_flag(MemberType type) {
    switch (type) {
    case MemberType::Regular:
        return '0';
    case MemberType::Hardlink:
        return '1';
    case MemberType::Symlink:
        return '2';
    case MemberType::CharDevice:
        return '3';
    case MemberType::BlockDevice:
        return '4';
    case MemberType::Directory:
        return '5';
    case MemberType::Fifo:
        return '6';
    }
    return '0';
}

// Writes `value` as zero-padded octal with a final NUL; false (and zero) if it does not fit.
template <std::size_t Size>
bool put_octal(char (&field)[Size], std::uint64_t value) {
    constexpr std::size_t kDigits = Size - 1;
    const bool fits = value < (1ull << (3 * kDigits));
    if (!fits) value = 0;
    for (std::size_t i = kDigits; i-- > 0; value >>= 3)
        field[i] = static_cast<char>('0' + (value & 7));
    field[kDigits] = '\0';
    return fits;
}

// False if the text had to be cut.
template <std::size_t Size>
bool put_text(char (&field)[Size], std::string_view text) {
    const auto fitting = text.substr(0, Size);
    std::copy(fitting.begin(), fitting.end(), field);
    return text.size() <= Size;
}

// ustar holds up to 255 bytes of path, cut at a slash into prefix and name.
bool put_path(UstarBlock& block, std::string_view path) {
    if (put_text(block.name, path)) return true;
    const std::size_t cut = path.find('/', path.size() - sizeof block.name - 1);
    // The slash that ends a directory's name is no place to cut: the name would be empty.
    if (cut == std::string_view::npos || cut + 1 == path.size() || cut == 0 ||
        cut > sizeof block.prefix)
        return false;
    std::memset(block.name, 0, sizeof block.name);
    return put_text(block.prefix, path.substr(0, cut)) &&
           put_text(block.name, path.substr(cut + 1));
}

// "<length> <key>=<value>\n", the length counting its own digits.
void add_record(std::string& records, std::string_view key, std::string_view value) {
    const std::size_t rest = key.size() + value.size() + 3;
    std::size_t length = rest + 1;
    while (length != rest + fmt::formatted_size("{}", length))
        length = rest + fmt::formatted_size("{}", length);
    fmt::format_to(std::back_inserter(records), "{} ", length);
    records.append(key).append("=").append(value).append("\n");
}

// Decimal seconds with the sign in front of the whole number: -1.5 s is "-1.500000000".
std::string decimal_seconds(std::int64_t ns) {
    const bool negative = ns < 0;
    const std::uint64_t magnitude =
        negative ? 0 - static_cast<std::uint64_t>(ns) : static_cast<std::uint64_t>(ns);
    const std::uint64_t seconds = magnitude / kNsPerSecond, fraction = magnitude % kNsPerSecond;
    const char* sign = negative ? "-" : "";
    return fraction == 0 ? fmt::format("{}{}", sign, seconds)
                         : fmt::format("{}{}.{:09}", sign, seconds, fraction);
}

std::string percent_encode(std::string_view name) {
    std::string out;
    for (const char c : name) {
        const bool plain = c > ' ' && c < '\x7f' && c != '=' && c != '%';
        if (plain) {
            out.push_back(c);
        } else {
            fmt::format_to(std::back_inserter(out), "%{:02X}", static_cast<unsigned char>(c));
        }
    }
    return out;
}

std::string base64(std::string_view bytes) {
    static constexpr char kAlphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    std::uint32_t bits = 0;
    int count = 0;
    for (const char c : bytes) {
        bits = bits << 8 | static_cast<unsigned char>(c);
        for (count += 8; count >= 6; count -= 6)
            out.push_back(kAlphabet[bits >> (count - 6) & 63]);
    }
    if (count > 0) out.push_back(kAlphabet[bits << (6 - count) & 63]);
    return out;  // libarchive writes and expects no padding
}

void add_xattr(std::string& records, const Xattr& xattr) {
    if (xattr.name.find('=') == std::string::npos) {
        add_record(records, "SCHILY.xattr." + xattr.name, xattr.value);
    } else {
        add_record(records, "LIBARCHIVE.xattr." + percent_encode(xattr.name), base64(xattr.value));
    }
}

void put_mtime(UstarBlock& block, std::int64_t mtime_ns, std::string& records) {
    const bool whole = mtime_ns >= 0 && mtime_ns % kNsPerSecond == 0;
    const std::int64_t seconds = mtime_ns < 0 ? 0 : mtime_ns / kNsPerSecond;
    const bool fits = put_octal(block.mtime, static_cast<std::uint64_t>(seconds));
    if (!whole || !fits) add_record(records, "mtime", decimal_seconds(mtime_ns));
}

void put_device(UstarBlock& block, const Member& member, std::string& records) {
    if (!put_octal(block.device_major, member.device_major))
        add_record(records, "SCHILY.devmajor", std::to_string(member.device_major));
    if (!put_octal(block.device_minor, member.device_minor))
        add_record(records, "SCHILY.devminor", std::to_string(member.device_minor));
}

void seal(UstarBlock& block, char type) {
    block.type = type;
    std::memcpy(block.magic, "ustar", sizeof block.magic);
    std::memcpy(block.version, "00", sizeof block.version);
    std::memset(block.checksum, ' ', sizeof block.checksum);
    const auto* bytes = reinterpret_cast<const unsigned char*>(&block);
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < sizeof block; ++i)
        sum += bytes[i];
    // Six digits, NUL, space: the form every tar since the first has written.
    char digits[7];
    put_octal(digits, sum);
    std::memcpy(block.checksum, digits, sizeof digits);
}

void append_block(std::string& out, const UstarBlock& block) {
    out.append(reinterpret_cast<const char*>(&block), sizeof block);
}

// The 'x' member: its own header, the records, zeros up to the block boundary.
void append_pax_member(std::string& out, const Member& member, std::string_view records) {
    UstarBlock block{};
    const std::string_view path = member.path;
    put_text(block.name, "PaxHeaders.0/" + std::string(path.substr(path.rfind('/') + 1)));
    put_octal(block.mode, 0644);
    put_octal(block.uid, 0);
    put_octal(block.gid, 0);
    put_octal(block.size, records.size());
    put_octal(block.mtime, 0);
    put_octal(block.device_major, 0);
    put_octal(block.device_minor, 0);
    seal(block, 'x');
    append_block(out, block);
    out.append(records);
    out.append(padding(records.size()), '\0');
}

std::string stored_path(const Member& member) {
    if (member.path.empty()) return "./";
    return member.type == MemberType::Directory ? member.path + "/" : member.path;
}

void reject_unencodable(const Member& member) {
    const auto bad = [](std::string_view text) { return text.find('\0') != std::string::npos; };
    if (bad(member.path) || bad(member.link_target) || member.path.starts_with('/'))
        fail(ErrorKind::Invalid,
             fmt::format("'{}' cannot be the path of an archive member", member.path));
}

}  // namespace

std::string encode_header(const Member& member) {
    reject_unencodable(member);
    UstarBlock block{};
    std::string records;
    const auto path = stored_path(member);
    if (!put_path(block, path)) add_record(records, "path", path);
    if (!put_text(block.link_name, member.link_target))
        add_record(records, "linkpath", member.link_target);
    put_octal(block.mode, member.mode & 07777);
    const std::uint64_t size = member.type == MemberType::Regular ? member.size : 0;
    if (!put_octal(block.size, size)) add_record(records, "size", std::to_string(size));
    if (!put_octal(block.uid, member.uid)) add_record(records, "uid", std::to_string(member.uid));
    if (!put_octal(block.gid, member.gid)) add_record(records, "gid", std::to_string(member.gid));
    put_mtime(block, member.mtime_ns, records);
    put_device(block, member, records);
    for (const Xattr& xattr : member.xattrs)
        add_xattr(records, xattr);
    if (records.size() > kMaxPaxBytes)
        fail(ErrorKind::Unsupported,
             fmt::format("'{}': {} bytes of extended attributes do not fit a tar header",
                         member.path, records.size()));
    seal(block, type_flag(member.type));

    std::string out;
    if (!records.empty()) append_pax_member(out, member, records);
    append_block(out, block);
    return out;
}

}  // namespace shale::tar
