#include "tar_split.hpp"

#include "json_names.hpp"

#include <fmt/format.h>

namespace shale::layer {

namespace {

constexpr int kFileType = 1, kSegmentType = 2;

}  // namespace

TarSplit::TarSplit(int zstd_level)
    : stream_(codec::StreamFormat::Zstd, zstd_level,
              [this](Bytes bytes) { packed_.append(as_text(bytes)); }) {}

void TarSplit::put(const std::string& line) {
    bytes_ += line.size();
    stream_.write(as_bytes(line));
}

void TarSplit::add_segment(std::string_view bytes) {
    std::string line = fmt::format("{{\"type\":{},\"payload\":\"", kSegmentType);
    append_base64(line, bytes);
    put(line.append(fmt::format("\",\"position\":{}}}\n", position_++)));
}

void TarSplit::add_file(std::string_view name, std::uint64_t size, std::uint64_t crc64) {
    std::string line = fmt::format("{{\"type\":{},\"name\":", kFileType);
    append_json_name(line, name);
    std::string payload = "null";
    if (size > 0) {
        std::string big;  // Go's hashes give their sum in network order
        for (int shift = 56; shift >= 0; shift -= 8)
            big.push_back(static_cast<char>(crc64 >> shift & 0xff));
        payload = "\"";
        append_base64(payload, big);
        payload.push_back('"');
        line.append(fmt::format(",\"size\":{}", size));
    }
    put(line.append(fmt::format(",\"payload\":{},\"position\":{}}}\n", payload, position_++)));
}

std::string TarSplit::finish() {
    stream_.finish();
    return std::move(packed_);
}

}  // namespace shale::layer
