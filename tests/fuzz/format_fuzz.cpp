// Fuzz target: the formatter. What parses must mean the same in normal form, and the normal form
// must be its own.
#include <shale/base.hpp>
#include <shale/dockerfile.hpp>

using namespace shale::dockerfile;

static void expect_same(const std::vector<Instruction>& a, const std::vector<Instruction>& b) {
    SHALE_ENSURE(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i)
        SHALE_ENSURE(a[i].keyword == b[i].keyword && a[i].value == b[i].value &&
                     a[i].comments == b[i].comments);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    const ParseResult before = parse(text);
    if (!before.ok()) return 0;
    const std::string once = format(text);
    const ParseResult after = parse(once);
    SHALE_ENSURE(after.ok());
    SHALE_ENSURE(before.file.escape == after.file.escape &&
                 before.file.syntax == after.file.syntax && before.file.check == after.file.check);
    expect_same(before.file.global_args, after.file.global_args);
    SHALE_ENSURE(before.file.stages.size() == after.file.stages.size());
    for (std::size_t i = 0; i < before.file.stages.size(); ++i) {
        SHALE_ENSURE(before.file.stages[i].from == after.file.stages[i].from);
        SHALE_ENSURE(before.file.stages[i].comments == after.file.stages[i].comments);
        expect_same(before.file.stages[i].instructions, after.file.stages[i].instructions);
    }
    SHALE_ENSURE(format(once) == once);
    return 0;
}
