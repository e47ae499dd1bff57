// Build records from other machines: every input is decoded or refused with an Error, and what was
// decoded encodes to a text that decodes to the same record.
#include <shale/explain.hpp>

using namespace shale;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string once;
    try {
        const auto exported = build::decode_export({reinterpret_cast<const char*>(data), size});
        once = build::encode(exported.record);
        for (const auto& step : exported.record.steps)
            SHALE_ENSURE(!build::explain(
                              exported.record, step, {exported.record},
                              [](const Digest&) { return nullptr; }, true)
                              .causes.empty());
    } catch (const Error&) {  // a refusal is an answer
        return 0;
    }
    SHALE_ENSURE(build::encode(build::decode_build_record(once)) == once);
    return 0;
}
