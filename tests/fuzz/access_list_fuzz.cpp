// Fuzz target: lists of what was read first. What is taken must be written and read again as it is,
// each content once.
#include <shale/lazy.hpp>

#include <algorithm>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace shale;
    std::vector<Digest> contents;
    try {
        contents = lazy::decode_access_list({reinterpret_cast<const char*>(data), size});
    } catch (const Error&) {
        return 0;
    }
    SHALE_ENSURE(lazy::decode_access_list(lazy::encode_access_list("x", contents)) == contents);
    std::sort(contents.begin(), contents.end());
    SHALE_ENSURE(std::adjacent_find(contents.begin(), contents.end()) == contents.end());
    return 0;
}
