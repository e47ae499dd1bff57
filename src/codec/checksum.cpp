// Sealing and opening: the door says of what.
#include <shale/checksum.hpp>
#include <shale/codec.hpp>

namespace shale::codec {

void append_checksum(std::string& out) {
    const Xxh128 sum = xxh3_128(as_bytes(out));
    put_little(out, sum.low);
    put_little(out, sum.high);
}

bool has_checksum(Bytes bytes) {
    if (bytes.size() < kChecksumBytes) return false;
    const Xxh128 sum = xxh3_128(bytes.first(bytes.size() - kChecksumBytes));
    ByteReader stated(bytes.last(kChecksumBytes), "checksum");
    return stated.u64() == sum.low && stated.u64() == sum.high;
}

}  // namespace shale::codec
