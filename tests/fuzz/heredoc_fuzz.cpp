// Fuzz target: heredocs. The input is the rest of a RUN and of a COPY; what a RUN hands to its
// shell must parse again as the same heredocs, and so must the text of a trigger.
#include <shale/base.hpp>
#include <shale/dockerfile.hpp>

using namespace shale::dockerfile;

// The only instruction of a file that parses, else null.
static const Instruction* only_instruction(const ParseResult& result) {
    if (!result.ok() || result.file.stages.size() != 1) return nullptr;
    const auto& all = result.file.stages[0].instructions;
    return all.size() == 1 ? &all[0] : nullptr;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    for (const char* keyword : {"RUN ", "COPY ", "ADD ", "ONBUILD RUN ", "ONBUILD COPY "}) {
        const ParseResult result = parse("FROM a\n" + std::string(keyword) + text);
        const Instruction* instruction = only_instruction(result);
        if (!instruction) continue;
        if (const auto* run = std::get_if<Run>(&instruction->value)) {
            for (const Heredoc& heredoc : run->command.heredocs)
                heredoc_summary(heredoc);
            if (!run->command.heredocs.empty()) heredoc_run(run->command);
        }
        const auto* trigger = std::get_if<Onbuild>(&instruction->value);
        if (!trigger || trigger->text.find("<<") == std::string::npos) continue;
        const ParseResult again = parse_trigger(trigger->text, {1, 1});
        SHALE_ENSURE(again.file.stages.size() >= 1);
    }
    return 0;
}
