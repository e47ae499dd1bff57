// Manifests and indexes from strangers: every input is decoded or refused with an Error, and what
// was decoded encodes to a document that decodes to the same one.
#include <shale/oci.hpp>

using namespace shale;

namespace {

std::string reencode(std::string_view text) {
    return oci::is_index(text) ? oci::encode(oci::decode_index(text))
                               : oci::encode(oci::decode_manifest(text));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string once;
    try {
        once = reencode({reinterpret_cast<const char*>(data), size});
    } catch (const Error&) {  // a refusal is an answer
        return 0;
    }
    SHALE_ENSURE(reencode(once) == once);
    return 0;
}
