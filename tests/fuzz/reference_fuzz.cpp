// Image references and platforms as users type them: parsed or refused; what was parsed prints to
// something that parses to the same value, in the long form and in the short one.
#include <shale/oci.hpp>

using namespace shale;

namespace {

template <typename Value>
std::optional<Value> parsed(std::string_view text) {
    try {
        return Value::parse(text);
    } catch (const Error&) {  // a refusal is an answer
        return std::nullopt;
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (const auto reference = parsed<oci::Reference>(text)) {
        SHALE_ENSURE(oci::Reference::parse(reference->str()) == *reference);
        SHALE_ENSURE(oci::Reference::parse(reference->familiar()) == *reference);
    }
    if (const auto platform = parsed<oci::Platform>(text))
        SHALE_ENSURE(oci::Platform::parse(platform->str()) == *platform);
    return 0;
}
