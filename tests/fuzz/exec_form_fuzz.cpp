// Fuzz target: the JSON form of a command. What is read as an array must be printed as one that
// reads the same.
#include <shale/base.hpp>
#include <shale/dockerfile.hpp>

#include <algorithm>

using namespace shale::dockerfile;

static std::optional<Command> read_command(const std::string& text) {
    const ParseResult result = parse(text);
    if (!result.ok() || result.file.stages.empty() || result.file.stages[0].instructions.empty())
        return std::nullopt;
    const auto* cmd = std::get_if<Cmd>(&result.file.stages[0].instructions[0].value);
    return cmd ? std::optional(cmd->command) : std::nullopt;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string text(reinterpret_cast<const char*>(data), size);
    std::replace(text.begin(), text.end(), '\n', ' ');
    const std::string file = "FROM a\nCMD " + text + "\n";
    const auto command = read_command(file);
    if (!command || !command->exec_form) return 0;
    SHALE_ENSURE(read_command(format(file)) == command);
    return 0;
}
