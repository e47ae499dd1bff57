// Fuzz target: records of sections. The bytes before the checksum are the input, which gets the sum
// that belongs to it; what is taken must be written as it was.
#include "section_record.hpp"

#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace shale;
    std::string record(reinterpret_cast<const char*>(data), size);
    store::decode_section(as_bytes(record));  // mostly a wrong sum
    put_little(record, codec::xxh3_64(as_bytes(record)));
    const auto section = store::decode_section(as_bytes(record));
    if (!section) return 0;
    const std::string again = store::encode_section(*section);
    SHALE_ENSURE(again.size() == record.size());
    const auto same = store::decode_section(as_bytes(again));
    SHALE_ENSURE(same && store::encode_section(*same) == again);
    return 0;
}
