// The bash script is run by bash: what it offers is what a user would see. The other shells are
// rarely installed; theirs are checked for holding every command and flag.
#include "completions.hpp"
#include "help.hpp"

#include <shale/base.hpp>

#include <gmock/gmock.h>

#include <array>
#include <cstdio>
#include <sstream>

namespace shale::cli {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// What bash offers for `line` with the cursor at its end. `shale images --names` is a function that
// knows two images.
std::vector<std::string> offered(const std::string& line) {
    std::string script = bash_completion();
    script += "\nshale() { printf 'app:prod\\nnode:18\\n'; }\n";
    script += "COMP_LINE='" + line + "' COMP_POINT=" + std::to_string(line.size()) +
              "\n_shale 2>/dev/null\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n";
    const TempDir scratch;
    const std::string path = scratch.path() + "/script";
    write_file_atomic(path, as_bytes(script));
    FILE* pipe = ::popen(("bash '" + path + "'").c_str(), "r");
    std::string out;
    std::array<char, 4096> buffer;
    while (const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), pipe))
        out.append(buffer.data(), got);
    EXPECT_EQ(::pclose(pipe), 0);
    std::vector<std::string> words;
    std::istringstream stream(out);
    for (std::string word; std::getline(stream, word);)
        if (!word.empty()) words.push_back(word);
    return words;
}

TEST(BashCompletion, OffersCommands) {
    EXPECT_THAT(offered("shale bu"), ElementsAre("build", "builds"));
    EXPECT_THAT(offered("shale "), Contains("images"));
    EXPECT_THAT(offered("shale --root /x pu"), ElementsAre("pull", "push"));
}

TEST(BashCompletion, OffersTheFlagsOfTheCommand) {
    EXPECT_THAT(offered("shale build --no-c"), ElementsAre("--no-cache", "--no-cache-filter"));
    EXPECT_THAT(offered("shale diff --"), Not(Contains("--tag")));
}

TEST(BashCompletion, OffersTheWordsOfAChoice) {
    EXPECT_THAT(offered("shale build --progress r"), ElementsAre("rawjson"));
    EXPECT_THAT(offered("shale layer --compression "),
                ElementsAre("zstd", "gzip", "uncompressed", "zstd-plain", "zstd:chunked",
                            "zstd:stargz", "estargz"));
}

TEST(BashCompletion, OffersImages) {
    EXPECT_THAT(offered("shale inspect a"), ElementsAre("app:prod"));
    // bash has the part before the colon already.
    EXPECT_THAT(offered("shale mount node:"), ElementsAre("18"));
}

TEST(BashCompletion, OffersPaths) {
    EXPECT_THAT(offered("shale umount /etc/pass"), Contains("/etc/passwd"));
    EXPECT_THAT(offered("shale build -f /etc/pass"), Contains("/etc/passwd"));
}

TEST(Completions, KnowEveryCommandAndFlag) {
    const auto zsh = zsh_completion(), fish = fish_completion();
    for (const auto* command : commands()) {
        if (command->hidden) continue;
        EXPECT_THAT(zsh, HasSubstr("    " + std::string(command->name) + ") _arguments"));
        EXPECT_THAT(fish, HasSubstr(" -a " + std::string(command->name) + " -d "));
        const Parser parser(*command);
        for (const auto& name : long_flag_names(parser.app)) {
            EXPECT_THAT(zsh, HasSubstr(name + "["));
            EXPECT_THAT(fish, HasSubstr(" -l " + name.substr(2) + " "));
        }
    }
}

}  // namespace
}  // namespace shale::cli
