// Image configs from strangers: decoded or refused with an Error; what was decoded encodes to a
// fixed point.
#include <shale/oci.hpp>

using namespace shale;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    std::string once;
    try {
        once = oci::encode(oci::decode_config(text));
    } catch (const Error&) {  // a refusal is an answer
        return 0;
    }
    SHALE_ENSURE(oci::encode(oci::decode_config(once)) == once);
    return 0;
}
