// Archives that try to reach out of the directory they are extracted into, or to make the extractor
// do what no honest archive needs. Each is a named fixture, extracted beside a directory with a
// secret, and merged into a tree; both ways must come to the same verdict, and whatever it is, the
// outside stays as it was.
#include "layers.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace shale::layer {
namespace {

using namespace testing;

enum class Verdict { Corrupt, Harmless };

// One member as its raw header says it, unchecked.
struct RawMember {
    std::string name;
    char type = '0';
    std::string content;
    std::string link;
    std::optional<std::string> size_field;  // instead of the content's
};

std::string raw_header(const RawMember& member) {
    std::string block(512, '\0');
    const auto put = [&](std::size_t at, std::string_view text) {
        std::copy(text.begin(), text.end(), block.begin() + static_cast<std::ptrdiff_t>(at));
    };
    char number[16];
    put(0, member.name.substr(0, 100));
    put(100, member.type == '5' ? "0000777" : "0000644");
    put(108, "0000000");
    put(116, "0000000");
    std::snprintf(number, sizeof number, "%011zo", member.content.size());
    put(124, member.size_field.value_or(number));
    put(136, "00000000000");
    put(148, "        ");
    block[156] = member.type;
    put(157, member.link.substr(0, 100));
    put(257, std::string_view("ustar\00000", 8));
    unsigned sum = 0;
    for (const char c : block)
        sum += static_cast<unsigned char>(c);
    std::snprintf(number, sizeof number, "%06o", sum);
    put(148, std::string(number) + '\0' + ' ');
    return block;
}

std::string archive(const std::vector<RawMember>& members) {
    std::string tar;
    for (const RawMember& member : members) {
        tar += raw_header(member) + member.content;
        tar.append(tar::padding(member.content.size()), '\0');
    }
    return tar.append(tar::kTrailerBytes, '\0');
}

RawMember symlink(const std::string& name, const std::string& target) {
    return {name, '2', "", target, std::nullopt};
}
RawMember hardlink(const std::string& name, const std::string& target) {
    return {name, '1', "", target, std::nullopt};
}
RawMember file(const std::string& name, const std::string& content = "hostile") {
    return {name, '0', content, "", std::nullopt};
}
RawMember directory(const std::string& name) {
    return {name, '5', "", "", std::nullopt};
}

// The component is longer than any file system takes; only a PAX record can hold it.
std::string overlong_name() {
    tar::Member member;
    member.path = "dir/" + std::string(300, 'n');
    return tar::encode_header(member) + std::string(tar::kTrailerBytes, '\0');
}

std::string cut_short() {
    const std::string whole = archive({file("a", std::string(5000, 'x'))});
    return whole.substr(0, 512 + 2000);
}

struct Fixture {
    std::string name;
    std::string tar;
    Verdict verdict;
};

const std::vector<Fixture>& fixtures() {
    static const std::vector<Fixture> all = {
        {"DotDotName", archive({file("../secret")}), Verdict::Corrupt},
        {"DotDotBehindDirectories", archive({file("a/b/../../../secret")}), Verdict::Corrupt},
        {"DotDotDirectory", archive({directory("../outside/")}), Verdict::Corrupt},
        {"AbsoluteName", archive({file("/outside/secret")}), Verdict::Harmless},
        {"FileThroughRelativeLink", archive({symlink("l", "../outside"), file("l/secret")}),
         Verdict::Harmless},
        {"FileThroughLinkChain",
         archive({symlink("a", "b"), symlink("b", "../../../outside"), file("a/secret")}),
         Verdict::Harmless},
        {"LinkLoop", archive({symlink("a", "b"), symlink("b", "a"), file("a/x")}),
         Verdict::Corrupt},
        {"DirectoryOverLink", archive({symlink("l", "../outside"), directory("l/")}),
         Verdict::Harmless},
        {"FileOverLinkToSecret", archive({symlink("s", "../outside/secret"), file("s")}),
         Verdict::Harmless},
        {"HardlinkOut", archive({hardlink("h", "../outside/secret")}), Verdict::Corrupt},
        {"HardlinkOutByAbsoluteName", archive({hardlink("h", "/outside/secret")}),
         Verdict::Corrupt},
        {"HardlinkOutThroughLink", archive({symlink("l", "../outside"), hardlink("h", "l/secret")}),
         Verdict::Corrupt},
        {"FileOverHardlinkToLink",
         archive({symlink("s", "../outside/secret"), hardlink("h", "s"), file("h")}),
         Verdict::Harmless},
        {"HardlinkToItself", archive({file("h"), hardlink("h", "h")}), Verdict::Corrupt},
        {"HardlinkToItsParent", archive({directory("d/"), hardlink("d/h", "d")}), Verdict::Corrupt},
        {"HardlinkToDirectory", archive({directory("d/"), hardlink("h", "d")}), Verdict::Corrupt},
        {"WhiteoutOfParent", archive({file(".wh...", "")}), Verdict::Corrupt},
        {"WhiteoutOfSelf", archive({file(".wh..", "")}), Verdict::Corrupt},
        {"WhiteoutOfNothing", archive({file(".wh.", "")}), Verdict::Corrupt},
        {"WhiteoutThroughLink", archive({symlink("l", "../outside"), file("l/.wh.secret", "")}),
         Verdict::Harmless},
        {"OpaqueThroughLink", archive({symlink("l", "../outside"), file("l/.wh..wh..opq", "")}),
         Verdict::Harmless},
        {"MemberBelowWhiteout", archive({file(".wh.d/x")}), Verdict::Corrupt},
        {"MemberBelowFile", archive({file("f"), file("f/x")}), Verdict::Corrupt},
        {"OverlongName", overlong_name(), Verdict::Corrupt},
        {"CutShort", cut_short(), Verdict::Corrupt},
        {"SizeBeyondAnyFile",
         archive({{"huge", '0', "", "",
                   std::string("\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12)}}),
         Verdict::Corrupt},
    };
    return all;
}

class HostileArchive : public ::testing::TestWithParam<Fixture> {
  protected:
    HostileArchive() {
        make_directories(jail_.path() + "/root");
        make_directories(jail_.path() + "/outside", 0711);
        write_file_atomic(jail_.path() + "/outside/secret", as_bytes("untouched"));
    }
    std::string root() const { return jail_.path() + "/root"; }

    void expect_outside_untouched() {
        std::vector<std::string> names;
        for (const auto& entry : std::filesystem::recursive_directory_iterator(jail_.path()))
            if (!entry.path().string().starts_with(root()))
                names.push_back(entry.path().filename());
        std::sort(names.begin(), names.end());
        EXPECT_EQ(names, (std::vector<std::string>{"outside", "secret"}));
        EXPECT_EQ(read_file(jail_.path() + "/outside/secret"), "untouched");
        struct stat info {};
        ASSERT_EQ(::stat((jail_.path() + "/outside").c_str(), &info), 0);
        EXPECT_EQ(info.st_mode & 07777u, 0711u);
        ASSERT_EQ(::stat((jail_.path() + "/outside/secret").c_str(), &info), 0);
        EXPECT_EQ(info.st_nlink, 1u);
    }

    TempDir jail_;
};

// The message is what a user reads who wonders which of forty layers is to blame.
template <typename Body>
void expect_verdict(Verdict verdict, Body&& body) {
    try {
        body();
        EXPECT_EQ(verdict, Verdict::Harmless) << "was accepted";
    } catch (const Error& error) {
        EXPECT_EQ(verdict, Verdict::Corrupt) << error.what();
        EXPECT_EQ(error.kind(), ErrorKind::Corrupt) << error.what();
    }
}

TEST_P(HostileArchive, ExtractedChangesNothingOutside) {
    expect_verdict(GetParam().verdict,
                   [&] { apply(source_of(GetParam().tar), GetParam().name, root()); });
    expect_outside_untouched();
}

TEST_P(HostileArchive, MergedIsJudgedTheSame) {
    expect_verdict(GetParam().verdict, [&] {
        const auto written =
            reframe(source_of(GetParam().tar), GetParam().name, {.level = 1}, [](Bytes) {});
        merge(snapshot::TreeBuilder().finish(), decode_toc(as_bytes(encode_toc(written.toc))));
    });
}

INSTANTIATE_TEST_SUITE_P(Fixtures, HostileArchive, ::testing::ValuesIn(fixtures()),
                         [](const auto& fixture) { return fixture.param.name; });

}  // namespace
}  // namespace shale::layer
