// The table of contents: what is encoded comes back, and nothing impossible is believed. The
// fixtures at the end are one damaged field each; a case that decodes is a hole in check_toc() or
// the decoder.
#include "trees.hpp"

namespace shale::layer {
namespace {

using namespace testing;
using namespace std::string_literals;

std::string describe(const Toc& toc) {
    std::string out = "tar " + std::to_string(toc.tar_bytes) + "\n";
    for (const Frame& frame : toc.frames)
        out += "frame " + std::to_string(frame.blob_offset) + "+" +
               std::to_string(frame.blob_bytes) + " = " + std::to_string(frame.tar_offset) + "+" +
               std::to_string(frame.tar_bytes) + " " + frame.blob_digest.hex() + "\n";
    for (const TocEntry& entry : toc.entries) {
        const tar::Member& m = entry.member;
        const bool has_content = m.type == tar::MemberType::Regular;
        out += to_hex(as_bytes(m.path)) + " t" + std::to_string(static_cast<int>(m.type)) + " m" +
               std::to_string(m.mode) + " " + std::to_string(m.uid) + ":" + std::to_string(m.gid) +
               " s" + std::to_string(m.size) + " @" + std::to_string(m.mtime_ns) + " d" +
               std::to_string(m.device_major) + ":" + std::to_string(m.device_minor) + " >" +
               to_hex(as_bytes(m.link_target)) + " " + (has_content ? entry.content.hex() : "") +
               (m.size > 0 ? " at " + std::to_string(entry.content_offset) : "");
        for (const Xattr& xattr : m.xattrs)
            out += " " + to_hex(as_bytes(xattr.name)) + "=" + to_hex(as_bytes(xattr.value));
        out += "\n";
    }
    return out;
}

Toc one_entry(const std::string& path) {
    Toc toc;
    toc.frames = {{0, 20, 0, 1536}};
    toc.tar_bytes = 1536;
    TocEntry entry;
    entry.member.path = path;
    entry.member.size = 3;
    entry.member.mode = 0644;
    entry.content = codec::sha256("abc");
    entry.content_offset = 512;
    toc.entries.push_back(entry);
    return toc;
}

TEST(Toc, WrittenLayersRoundTrip) {
    for (unsigned seed = 0; seed < 40; ++seed) {
        Contents contents;
        TreeGenerator generator(seed, contents, {.devices = true});
        snapshot::TreeBuilder builder;
        generator.fill(builder, 60);
        WriteOptions options;
        options.frame_bytes = 2000;
        const auto toc =
            write(snapshot::TreeBuilder().finish(), builder.finish(), contents, options)
                .written.toc;
        ASSERT_GT(toc.frames.size(), 1u);
        ASSERT_EQ(describe(decode_toc(as_bytes(encode_toc(toc)))), describe(toc))
            << "seed " << seed;
    }
}

// Every byte that may be in a name, in every position of a UTF-8 sequence, and the escapes
// themselves.
TEST(Toc, NamesAreBytes) {
    std::vector<std::string> names = {"\xc3\xa9"s,         "\xc3"s,
                                      "\xc3\xc3\xa9"s,     "\xed\xa0\x80"s,
                                      "\xf4\x8f\x9e\x80"s, "\xf4\x8f\x9f\xbf"s,
                                      "\xf4\x8f\x9e"s,     "\xc0\xaf"s,
                                      "\xf4\x90\x80\x80"s, "\xe2\x82\xac"s,
                                      "\"\\\n\t\x7f"s,     "\xf0\x9f\x98\x80"s};
    for (int byte = 1; byte < 256; ++byte) {
        if (byte == '/') continue;
        const char c = static_cast<char>(byte);
        names.push_back("x"s + c);
        names.push_back("\xe2"s + c + "\xac");
        names.push_back("\xf4\x8f"s + c + "\x80"s);
    }
    for (const auto& name : names) {
        Toc toc = one_entry(name);
        TocEntry link;
        link.member.path = name + "2";
        link.member.type = tar::MemberType::Symlink;
        link.member.link_target = "/" + name + "/../x";
        link.member.xattrs = {{"user." + name, name + "\0"s}};
        toc.entries.push_back(link);
        EXPECT_EQ(describe(decode_toc(as_bytes(encode_toc(toc)))), describe(toc));
    }
}

TEST(Toc, XattrValuesOfEveryLengthRoundTrip) {
    for (std::size_t size = 0; size < 20; ++size) {
        Toc toc = one_entry("f");
        std::string value;
        for (std::size_t i = 0; i < size; ++i)
            value.push_back(static_cast<char>(i * 37 + 200));
        toc.entries[0].member.xattrs = {{"user.x", value}};
        EXPECT_EQ(describe(decode_toc(as_bytes(encode_toc(toc)))), describe(toc));
    }
}

TEST(Toc, TimesRoundTrip) {
    constexpr std::int64_t kSecond = 1'000'000'000;
    for (const std::int64_t ns :
         {INT64_MIN + 2 * kSecond, -kSecond * 3 / 2, -kSecond, std::int64_t{-1}, std::int64_t{0},
          std::int64_t{1}, 951'782'400 * kSecond, 1'700'000'000 * kSecond + 1,
          INT64_MAX - 2 * kSecond}) {
        Toc toc = one_entry("f");
        toc.entries[0].member.mtime_ns = ns;
        EXPECT_EQ(decode_toc(as_bytes(encode_toc(toc))).entries[0].member.mtime_ns, ns);
    }
}

TEST(Toc, DigestsStandApartAndUsualPlacesAreNotWritten) {
    Toc toc = one_entry("dir/file");
    toc.entries[0].member.mtime_ns = 1'700'000'000'000'000'000;
    toc.entries[0].member.uid = 7;
    toc.entries[0].member.xattrs = {{"user.x", "v"}};
    TocEntry directory;
    directory.member.path = "dir";
    directory.member.type = tar::MemberType::Directory;
    directory.member.mode = 0755;
    toc.entries.insert(toc.entries.begin(), directory);
    const std::string head = "{\"version\":2,\"entries\":[\n"
                             "{\"type\":\"dir\",\"name\":\"dir/\",\"mode\":493},\n"
                             "{\"type\":\"reg\",\"name\":\"dir/file\",\"mode\":420,\"size\":3,"
                             "\"uid\":7,\"modtime\":\"2023-11-14T22:13:20Z\","
                             "\"xattrs\":{\"user.x\":\"dg==\"}";
    const std::string tail =
        "}],\n\"digests\":\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\",\n"
        "\"tarBytes\":1536,\"frames\":[[0,20,0,1536]]}\n";
    EXPECT_EQ(encode_toc(toc), head + tail);
    toc.entries[1].content_offset = 1024;
    EXPECT_EQ(encode_toc(toc), head + ",\"gap\":1024" + tail);
    EXPECT_EQ(describe(decode_toc(as_bytes(encode_toc(toc)))), describe(toc));
}

// In what order contents lie is the tar's business: a place before the one expected is written out.
TEST(Toc, ContentsMayLieInAnyOrder) {
    Toc toc = one_entry("b");
    toc.entries[0].content_offset = 1000;
    auto other = one_entry("a").entries[0];
    other.content = codec::sha256("xyz");
    toc.entries.push_back(other);
    EXPECT_EQ(describe(decode_toc(as_bytes(encode_toc(toc)))), describe(toc));
}

TEST(Toc, UnknownKeysAndChunkEntriesAreSkipped) {
    const auto plain = encode_toc(one_entry("f"));
    auto text = plain;
    text.insert(text.find("{\"type\""),
                R"({"type":"chunk","name":"f","offset":7,"chunkOffset":3,"chunkSize":9},)");
    text.insert(text.find("\"type\":\"reg\""),
                R"("later":{"deep":[[{"name":"../x","size":-1}],null,true,1.5]},"flag":false,)");
    text.insert(1, R"("tarSplitDigest":"sha256:0","more":[1,-2,{"entries":[{}]}],)");
    EXPECT_EQ(describe(decode_toc(as_bytes(text))), describe(decode_toc(as_bytes(plain))));
}

TEST(Toc, EveryTruncationIsCorrupt) {
    const auto text = encode_toc(one_entry("f"));
    for (std::size_t length = 0; length + 1 < text.size(); ++length) {
        try {
            decode_toc(as_bytes(text.substr(0, length)));
            ADD_FAILURE() << "decoded " << length << " of " << text.size();
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::Corrupt);
        }
    }
}

// --- hostile ------------------------------------------------------------------------------------

struct Damage {
    const char* name;
    const char* from;
    const char* to;
    const char* says;  // part of the message
};

class HostileToc : public ::testing::TestWithParam<Damage> {};

// A good TOC: a directory, a file, a hardlink, a symlink, two frames.
Toc sound() {
    Toc toc = one_entry("d/f");
    toc.frames = {{0, 20, 0, 1000}, {20, 30, 1000, 536}};
    const auto add = [&](const char* path, tar::MemberType type, const char* target) {
        TocEntry entry;
        entry.member.path = path;
        entry.member.type = type;
        entry.member.link_target = target;
        entry.member.mode = 0755;
        toc.entries.push_back(entry);
    };
    add("d", tar::MemberType::Directory, "");
    add("h", tar::MemberType::Hardlink, "d/f");
    add("s", tar::MemberType::Symlink, "../any/where");
    toc.entries[0].member.xattrs = {{"user.x", "v"}};
    toc.entries[0].member.mtime_ns = 1'700'000'000'000'000'000;
    return toc;
}

// The same as the first version wrote it.
constexpr const char* kFirstVersion =
    "{\"version\":1,\"entries\":[\n"
    "{\"type\":\"reg\",\"name\":\"d/f\",\"mode\":420,\"size\":3,"
    "\"modtime\":\"2023-11-14T22:13:20Z\",\"xattrs\":{\"user.x\":\"dg==\"},"
    "\"digest\":\"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\","
    "\"offset\":0,\"innerOffset\":512,\"tarOffset\":512},\n"
    "{\"type\":\"dir\",\"name\":\"d/\",\"mode\":493},\n"
    "{\"type\":\"hardlink\",\"name\":\"h\",\"linkName\":\"d/f\",\"mode\":493},\n"
    "{\"type\":\"symlink\",\"name\":\"s\",\"linkName\":\"../any/where\",\"mode\":493}],\n"
    "\"tarBytes\":1536,\"frames\":[[0,20,0,1000],[20,30,1000,536]]}\n";

TEST(Toc, TheFirstVersionIsStillRead) {
    EXPECT_EQ(describe(decode_toc(as_bytes(std::string(kFirstVersion)))), describe(sound()));
}

void expect_corrupt(std::string text, const Damage& damage) {
    const auto at = text.find(damage.from);
    ASSERT_NE(at, std::string::npos) << "the fixture damages nothing";
    text.replace(at, std::strlen(damage.from), damage.to);
    try {
        decode_toc(as_bytes(text));
        FAIL() << "decoded";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::Corrupt);
        EXPECT_NE(std::string(error.what()).find(damage.says), std::string::npos) << error.what();
    }
}

TEST_P(HostileToc, IsCorrupt) {
    expect_corrupt(kFirstVersion, GetParam());
}

TEST(Toc, DamagedColumnsAreCorrupt) {
    const Damage damages[] = {
        {"", "\"digests\":\"ba", "\"digests\":\"", "no digest for \"d/f\""},
        {"", "\"digests\":\"ba", "\"digests\":\"zz", "no digest for \"d/f\""},
        {"", "\"digests\":\"ba", "\"digests\":\"baba", "more than there are contents"},
        {"", "\"digests\"", "\"stsegid\"", "no digest for \"d/f\""},
        {"", "\"size\":3", "\"size\":3,\"gap\":1534", "outside the frames"},
        {"", "\"size\":3", "\"size\":3,\"gap\":18446744073709551615", "\"gap\" is"},
        {"", "\"size\":3", "\"size\":18446744073709551615", "outside the frames"},
        {"", "\"version\":2", "\"version\":1", "has content but no"},
    };
    for (const Damage& damage : damages)
        expect_corrupt(encode_toc(sound()), damage);
}

constexpr Damage kDamages[] = {
    {"FramesOverlapInTar", "[20,30,1000,536]", "[20,30,900,636]",
     "frame 1 begins at tar offset 900"},
    {"FramesLeaveAGap", "[20,30,1000,536]", "[20,30,1001,535]", "frame 1 begins"},
    {"FramesInWrongOrder", "[0,20,0,1000],[20,30,1000,536]", "[20,30,1000,536],[0,20,0,1000]",
     "frame 0 begins at tar offset 1000"},
    {"FramesOverlapInBlob", "[20,30,1000,536]", "[19,30,1000,536]", "overlaps another frame"},
    {"SameBlobRangeTwice", "[20,30,1000,536]", "[0,20,1000,536]", "overlaps another frame"},
    {"EmptyFrame", "[20,30,1000,536]", "[20,30,1000,0],[50,9,1000,536]", "holds 0 bytes"},
    {"FrameOfNoBytes", "[20,30,1000,536]", "[20,0,1000,536]", "takes 0 bytes"},
    {"FrameTooLarge", "[20,30,1000,536]", "[20,30,1000,99999999999]", "holds 99999999999"},
    {"FrameTakesTooMuch", "[20,30,1000,536]", "[20,99999999999,1000,536]", "takes 99999999999"},
    {"FrameBeyondAnyFile", "[20,30,1000,536]", "[18446744073709551610,30,1000,536]", "beyond any"},
    {"FrameOfThreeNumbers", "[20,30,1000,536]", "[20,30,1000]", "fewer than four"},
    {"FrameOfFiveNumbers", "[20,30,1000,536]", "[20,30,1000,536,1]", "more than four"},
    {"NegativeNumber", "[20,30,1000,536]", "[20,30,1000,-536]", "no natural number"},
    {"TarEndsInsideAFrame", "\"tarBytes\":1536", "\"tarBytes\":1535", "no frame boundary"},
    {"TarEndsBeyondTheFrames", "\"tarBytes\":1536", "\"tarBytes\":1537", "no frame boundary"},
    {"ContentOutsideTheFrames", "\"tarOffset\":512", "\"tarOffset\":1534", "outside the frames"},
    {"ContentOffsetOverflows", "\"tarOffset\":512", "\"tarOffset\":18446744073709551614",
     "outside"},
    {"SizeBeyondTheFrames", "\"size\":3", "\"size\":1500", "outside the frames"},
    {"SizeOverflows", "\"size\":3", "\"size\":18446744073709551615", "outside the frames"},
    {"SizeIsAFraction", "\"size\":3", "\"size\":3.0", "no natural number"},
    {"SizeOfADirectory", "\"type\":\"dir\"", "\"size\":5,\"type\":\"dir\"", "no regular file"},
    {"NoPlace", ",\"tarOffset\":512", "", "has content but no"},
    {"NoDigest", "\"digest\":\"sha256:", "\"note\":\"sha256:", "no content digest"},
    {"DigestOfAnotherKind", "\"digest\":\"sha256:ba", "\"digest\":\"sha512:ba", "no digest"},
    {"DigestTooShort", "\"digest\":\"sha256:ba", "\"digest\":\"sha256:", "no digest"},
    {"PathEscapes", "\"name\":\"d/f\"", "\"name\":\"../f\"", "impossible path"},
    {"PathEscapesWithin", "\"name\":\"d/f\"", "\"name\":\"d/../../f\"", "impossible path"},
    {"PathIsAbsolute", "\"name\":\"d/f\"", "\"name\":\"/d/f\"", "impossible path"},
    {"PathHasAnEmptyName", "\"name\":\"d/f\"", "\"name\":\"d//f\"", "impossible path"},
    {"PathHasADot", "\"name\":\"d/f\"", "\"name\":\"d/./f\"", "impossible path"},
    {"PathHasANul", "\"name\":\"d/f\"", "\"name\":\"d/f\\u0000\"", "impossible path"},
    {"EscapedPathEscapes", "\"name\":\"d/f\"", "\"name\":\"\xf4\x8f\x9e\xae/../f\"", "impossible"},
    {"PathIsEmpty", "\"name\":\"d/f\"", "\"name\":\"\"", "impossible path"},
    {"FileNamedLikeADirectory", "\"name\":\"d/f\"", "\"name\":\"d/f/\"", "end in a slash"},
    {"FileReplacesTheRoot", "\"name\":\"d/f\"", "\"name\":\"./\"", "end in a slash"},
    {"DirectoryNamedLikeAFile", "\"name\":\"d/\"", "\"name\":\"d\"", "end in a slash"},
    {"SamePathTwice", "\"name\":\"h\"", "\"name\":\"s\"", "appears twice"},
    {"HardlinkEscapes", "\"linkName\":\"d/f\"", "\"linkName\":\"../f\"", "links to the impossible"},
    {"HardlinkIsAbsolute", "\"linkName\":\"d/f\"", "\"linkName\":\"/f\"",
     "links to the impossible"},
    {"HardlinkToNothing", ",\"linkName\":\"d/f\"", "", "links to the impossible"},
    {"SymlinkToNothing", ",\"linkName\":\"../any/where\"", "", "symlink to nothing"},
    {"TypeIsUnknown", "\"type\":\"hardlink\"", "\"type\":\"door\"", "is unknown"},
    {"TypeIsMissing", "\"type\":\"hardlink\",", "", "no type"},
    {"NameIsMissing", "\"name\":\"h\"", "\"eman\":\"h\"", "no name"},
    {"ModeTooLarge", "\"mode\":493", "\"mode\":4096", "\"mode\" is 4096"},
    {"OwnerTooLarge", "\"mode\":493", "\"uid\":4294967296", "\"uid\" is"},
    {"TimeIsNone", "2023-11-14T22:13:20Z", "yesterday", "is no time"},
    {"TimeOfNoDay", "2023-11-14T22:13:20Z", "2023-11-14 at noon!", "is no time"},
    {"XattrIsNoBase64", "\"user.x\":\"dg==\"", "\"user.x\":\"d?==\"", "malformed"},
    {"XattrHasStrayBits", "\"user.x\":\"dg==\"", "\"user.x\":\"dh==\"", "malformed"},
    {"XattrWithoutAName", "\"user.x\":\"dg==\"", "\"\":\"dg==\"", "malformed"},
    {"XattrTwice", "\"user.x\":\"dg==\"", "\"user.x\":\"dg==\",\"user.x\":\"dg==\"", "twice"},
    {"VersionIsUnknown", "\"version\":1", "\"version\":3", "version 3"},
    {"VersionIsMissing", "\"version\":1,", "", "version 0"},
    {"NotAnObject", "{\"version\":1,", "[\"version\",1,", "not JSON"},
    {"NotUtf8", "\"name\":\"d/f\"", "\"name\":\"\xff\"", "not JSON"},
    {"BytesBehind", "[[0,20,", "]}[[0,20,", "not JSON"},
};

INSTANTIATE_TEST_SUITE_P(Fields, HostileToc, ::testing::ValuesIn(kDamages),
                         [](const auto& damage) { return damage.param.name; });

}  // namespace
}  // namespace shale::layer
