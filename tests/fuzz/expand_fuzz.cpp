// Fuzz target: variable expansion. The first byte chooses the escape character and how much is set;
// the rest is the word. Anything may be refused; nothing may crash, hang or grow without bound.
#include <shale/base.hpp>
#include <shale/dockerfile.hpp>

using namespace shale::dockerfile;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const char escape = data[0] & 1 ? '`' : '\\';
    const int mode = data[0] >> 1 & 3;
    const std::string word(reinterpret_cast<const char*>(data) + 1, size - 1);
    const Lookup lookup = [&](std::string_view name) -> std::optional<std::string> {
        if (mode == 0) return std::nullopt;
        return mode == 1 ? std::string() : std::string(name) + "/a.b*\\";
    };
    std::optional<std::string> whole;
    try {
        whole = expand(word, lookup, escape);
    } catch (const shale::Error&) {
    }
    try {
        // Splitting loses blanks and nothing else.
        std::string joined;
        for (const auto& part : expand_words(word, lookup, escape)) {
            SHALE_ENSURE(!part.empty());
            joined += part;
        }
        SHALE_ENSURE(whole && joined.size() <= whole->size());
    } catch (const shale::Error& error) {
        SHALE_ENSURE(!whole);
    }
    try {
        expand_heredoc(word, lookup);
    } catch (const shale::Error&) {
    }
    const auto undefined = undefined_variables(word, lookup, escape);
    SHALE_ENSURE(mode == 0 || undefined.empty());
    Mount mount;
    mount.spec = word;
    try {
        expand_mount(mount, lookup, escape);
    } catch (const shale::Error&) {
    }
    return 0;
}
