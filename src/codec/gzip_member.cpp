// Members by zlib; CRC-64 eight bytes at a time, from tables made at compile time.
#include "gzip_header.hpp"

#include <shale/gzip_member.hpp>

#include <fmt/format.h>
#include <zlib.h>

#include <array>
#include <climits>
#include <cstring>

namespace shale::codec {

namespace {

constexpr int kGzipWindow = -15;  // raw deflate: the wrapper is ours
constexpr int kMemoryLevel = 8;
constexpr std::uint64_t kIsoPolynomial = 0xD800000000000000;  // reflected

constexpr auto kCrcTables = [] {
    std::array<std::array<std::uint64_t, 256>, 8> tables{};
    for (std::uint64_t i = 0; i < 256; ++i) {
        std::uint64_t crc = i;
        for (int bit = 0; bit < 8; ++bit)
            crc = (crc & 1) != 0 ? crc >> 1 ^ kIsoPolynomial : crc >> 1;
        tables[0][i] = crc;
    }
    for (std::size_t table = 1; table < 8; ++table)
        for (std::size_t i = 0; i < 256; ++i) {
            const std::uint64_t crc = tables[table - 1][i];
            tables[table][i] = tables[0][crc & 0xff] ^ crc >> 8;
        }
    return tables;
}();

}  // namespace

struct GzipMemberCompressor::State {
    explicit State(int compression_level) : level(compression_level) {
        if (level < 0 || level > Z_BEST_COMPRESSION)
            fail(ErrorKind::Invalid, fmt::format("gzip level {} is outside 0..9", level));
        if (deflateInit2(&stream, level, Z_DEFLATED, kGzipWindow, kMemoryLevel,
                         Z_DEFAULT_STRATEGY) != Z_OK)
            throw std::bad_alloc();
    }
    ~State() { deflateEnd(&stream); }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    const int level;
    z_stream stream{};
};

GzipMemberCompressor::GzipMemberCompressor(int level) : state_(std::make_unique<State>(level)) {}
GzipMemberCompressor::GzipMemberCompressor(GzipMemberCompressor&&) noexcept = default;
GzipMemberCompressor::~GzipMemberCompressor() = default;

void GzipMemberCompressor::compress(Bytes content, std::string& out) {
    SHALE_ENSURE(content.size() <= UINT_MAX / 2);  // zlib counts in unsigned int
    z_stream& stream = state_->stream;
    SHALE_ENSURE(deflateReset(&stream) == Z_OK);
    out.append(gzip_header(state_->level));
    const std::size_t begin = out.size(), bound = deflateBound(&stream, content.size());
    out.resize(begin + bound);
    // zlib only reads through next_in, but declares it mutable.
    stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(content.data()));
    stream.avail_in = static_cast<uInt>(content.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + begin);
    stream.avail_out = static_cast<uInt>(bound);
    SHALE_ENSURE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
    out.resize(out.size() - stream.avail_out);
    const auto* bytes = reinterpret_cast<const Bytef*>(content.data());
    put_little(out,
               static_cast<std::uint32_t>(content.empty() ? 0 : crc32_z(0, bytes, content.size())));
    put_little(out, static_cast<std::uint32_t>(content.size()));
}

std::uint64_t crc64_iso(std::uint64_t crc, Bytes bytes) {
    crc = ~crc;
    for (; bytes.size() >= 8; bytes = bytes.subspan(8)) {
        std::uint64_t word;
        std::memcpy(&word, bytes.data(), sizeof word);
        crc ^= word;
        std::uint64_t next = 0;
        for (std::size_t i = 0; i < 8; ++i)
            next ^= kCrcTables[7 - i][crc >> 8 * i & 0xff];
        crc = next;
    }
    for (const std::byte byte : bytes)
        crc = kCrcTables[0][(crc ^ static_cast<std::uint64_t>(byte)) & 0xff] ^ crc >> 8;
    return ~crc;
}

}  // namespace shale::codec
