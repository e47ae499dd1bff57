// Fuzz target: one input as Dockerfile, trigger, word, heredoc body and ignore file. Anything may
// be refused; nothing may crash or hang.
#include <shale/base.hpp>
#include <shale/dockerfile.hpp>

using namespace shale::dockerfile;

static void refuse_quietly(const std::function<void()>& body) {
    try {
        body();
    } catch (const shale::Error&) {
    }
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    const Lookup lookup = [](auto name) { return std::optional<std::string>(name); };
    const ParseResult result = parse(text);
    excerpt(result.file,
            result.diagnostics.empty() ? LineRange{1, 1} : result.diagnostics[0].lines);
    parse_trigger(text, {1, 1});
    Mount mount;
    mount.spec = text;
    refuse_quietly([&] { lint_stage(result.file, 0); });
    refuse_quietly([&] { expand_mount(mount, lookup); });
    refuse_quietly([&] { expand_words(text, lookup, result.file.escape); });
    refuse_quietly([&] { expand_heredoc(text, lookup); });
    refuse_quietly([&] { IgnoreMatcher::parse(text).decide("a.b", {}); });
    return 0;
}
