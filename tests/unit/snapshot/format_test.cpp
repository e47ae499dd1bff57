// The snapshot file: what a reader must reject, and that the bytes do not change by accident.
#include <shale/codec.hpp>
#include <shale/snapshot.hpp>

#include <gtest/gtest.h>

#include <functional>

namespace shale::snapshot {
namespace {

// Offsets of docs/formats/snapshot.md.
constexpr std::size_t kHeader = 56, kNode = 40, kChecksum = 16;
enum Field : std::size_t {
    Value = 0,
    Mtime = 8,
    End = 16,
    Uid = 20,
    XattrSet = 28,
    LinkGroup = 32,
    Mode = 36,
    Type = 38,
    NameBytes = 39
};

EntrySpec file(std::string_view content) {
    EntrySpec spec;
    spec.type = FileType::Regular;
    spec.mode = 0644;
    spec.size = content.size();
    spec.content = codec::sha256(content);
    return spec;
}

// 0 root, 1 "a" (directory), 2 "a/f", 3 "b" (hard link of a/f), 4 "s" (symlink)
Tree sample() {
    TreeBuilder builder;
    EntrySpec linked = file("content");
    linked.link_group = 1;
    linked.xattrs = {{"user.a", "1"}, {"user.b", ""}};
    linked.mtime_ns = 1234567890;
    builder.put("a/f", linked);
    builder.put("b", linked);
    EntrySpec link;
    link.type = FileType::Symlink;
    link.mode = 0777;
    link.link_target = "a/f";
    builder.put("s", link);
    return builder.finish();
}

void seal(std::string& bytes) {
    bytes.resize(bytes.size() - kChecksum);
    const auto checksum = codec::xxh3_128(as_bytes(bytes));
    put_little(bytes, checksum.low);
    put_little(bytes, checksum.high);
}

template <typename T>
void poke(std::string& bytes, std::size_t at, T value) {
    ASSERT_LE(at + sizeof value, bytes.size());
    std::memcpy(bytes.data() + at, &value, sizeof value);
}

std::size_t node_at(std::size_t node, Field field) {
    return kHeader + node * kNode + field;
}

ErrorKind parse_error(const std::string& bytes) {
    try {
        Tree::parse(as_bytes(bytes));
    } catch (const Error& error) {
        return error.kind();
    }
    return ErrorKind::Failed;  // nothing was thrown
}

TEST(SnapshotFile, BytesOfASmallTreeAreAsDocumented) {
    const Tree tree = sample();
    const std::string bytes = tree.serialise();
    EXPECT_EQ(bytes.size(),
              kHeader + 5 * kNode + 2 * 32 + 5 * 32 + 32 + 4 + 3 + (4 + 8 + 7 + 8 + 6) + kChecksum);
    EXPECT_EQ(bytes.substr(0, 8), "SHALESNP");
    // If this changes, so did the format or what digests cover: a new version is due.
    EXPECT_EQ(tree.digest().hex(),
              "e99740cc3e356a89651210f0980c07184a305f5a4d5a259df4986beb3acdb607");
    EXPECT_EQ(codec::sha256(bytes).hex(),
              "32b87668172edcfafea08b0a4def52803ca87bb140404e07e3640b2c2bfc414d");
}

TEST(SnapshotFile, EveryFlippedBitAndEveryTruncationIsRejected) {
    const std::string good = sample().serialise();
    for (std::size_t at = 0; at < good.size() * 8; ++at) {
        std::string bad = good;
        bad[at / 8] = static_cast<char>(bad[at / 8] ^ (1 << at % 8));
        const ErrorKind kind = parse_error(bad);
        const bool in_version = at / 8 >= 8 && at / 8 < 12;
        EXPECT_EQ(kind, in_version ? ErrorKind::Unsupported : ErrorKind::Corrupt) << "bit " << at;
    }
    for (std::size_t size = 0; size < good.size(); ++size)
        EXPECT_EQ(parse_error(good.substr(0, size)), ErrorKind::Corrupt);
    EXPECT_EQ(parse_error(good + "x"), ErrorKind::Corrupt);
}

struct Damage {
    const char* name;
    std::function<void(std::string&)> apply;
};

class DamagedSnapshot : public ::testing::TestWithParam<Damage> {};

// The checksum is right in all of these: only the structure is wrong.
TEST_P(DamagedSnapshot, IsCorrupt) {
    std::string bytes = sample().serialise();
    GetParam().apply(bytes);
    seal(bytes);
    EXPECT_EQ(parse_error(bytes), ErrorKind::Corrupt);
}

template <typename T>
Damage set_field(const char* name, std::size_t node, Field field, T value) {
    return {name, [=](std::string& bytes) { poke<T>(bytes, node_at(node, field), value); }};
}
template <typename T>
Damage set_header(const char* name, std::size_t at, T value) {
    return {name, [=](std::string& bytes) { poke<T>(bytes, at, value); }};
}
Damage set_name(const char* name, std::size_t offset, char c) {
    constexpr std::size_t kNames = kHeader + 5 * kNode + 2 * 32 + 5 * 32 + 32;
    return {name, [=](std::string& bytes) { poke(bytes, kNames + offset, c); }};
}
Damage set_target(const char* name, char c) {
    return set_name(name, 4, c);
}
Damage set_xattr(const char* name, std::size_t offset, std::uint32_t value) {
    constexpr std::size_t kXattrs = kHeader + 5 * kNode + 2 * 32 + 5 * 32 + 32 + 4 + 3;
    return {name, [=](std::string& bytes) { poke(bytes, kXattrs + offset, value); }};
}

INSTANTIATE_TEST_SUITE_P(
    Cases, DamagedSnapshot,
    ::testing::Values(set_header<std::uint32_t>("NoNodes", 12, 0),
                      set_header<std::uint32_t>("TooManyNodes", 12, 6),
                      set_header<std::uint32_t>("HugeNodeCount", 12, 0xfffffffe),
                      set_header<std::uint64_t>("HugeNames", 16, ~0ull),
                      set_header<std::uint64_t>("NamesTooShort", 16, 3),
                      set_header<std::uint64_t>("HugeTargets", 24, 1ull << 63),
                      set_header<std::uint64_t>("HugeXattrs", 32, 1ull << 40),
                      set_header<std::uint32_t>("HugeContents", 40, 0xffffffff),
                      set_header<std::uint32_t>("HugeXattrSets", 44, 0xffffffff),
                      set_header<std::uint32_t>("HugeLinkGroups", 48, 0xffffffff),
                      set_header<std::uint32_t>("ReservedUsed", 52, 1),
                      set_field<std::uint32_t>("RootEndsEarly", 0, End, 4),
                      set_field<std::uint8_t>("RootHasName", 0, NameBytes, 1),
                      set_field<std::uint8_t>("RootIsFile", 0, Type, 0),
                      set_field<std::uint32_t>("SubtreeBeyondParent", 1, End, 9),
                      set_field<std::uint32_t>("SubtreeEndsBeforeItself", 1, End, 1),
                      set_field<std::uint32_t>("FileWithChildren", 2, End, 4),
                      set_field<std::uint8_t>("UnknownType", 3, Type, 7),
                      set_field<std::uint8_t>("TypeChangesContentCount", 3, Type, 5),
                      set_field<std::uint16_t>("ModeTooLarge", 2, Mode, 010000),
                      set_field<std::uint64_t>("DirectoryWithSize", 1, Value, 1),
                      set_field<std::uint64_t>("EmptyTarget", 4, Value, 0),
                      set_field<std::uint64_t>("TargetTooLong", 4, Value, 4),
                      set_field<std::uint64_t>("HugeTarget", 4, Value, ~0ull),
                      set_field<std::uint8_t>("NameTooLong", 4, NameBytes, 200),
                      set_field<std::uint8_t>("EmptyName", 4, NameBytes, 0),
                      set_field<std::uint32_t>("XattrSetTooLarge", 2, XattrSet, 2),
                      set_field<std::uint32_t>("XattrSetUnused", 2, XattrSet, 0),
                      set_field<std::uint32_t>("LinkGroupTooLarge", 2, LinkGroup, 2),
                      set_field<std::uint32_t>("LinkGroupOfOne", 3, LinkGroup, 0),
                      set_field<std::uint32_t>("LinkGroupOfDirectory", 1, LinkGroup, 1),
                      set_field<std::uint32_t>("LinkedFilesDiffer", 3, Uid, 5),
                      set_name("SlashInName", 2, '/'), set_name("NulInName", 2, '\0'),
                      set_name("DotAsName", 2, '.'), set_name("NamesOutOfOrder", 2, 'z'),
                      set_name("NamesEqual", 2, 'a'), set_target("NulInTarget", '\0'),
                      set_xattr("EmptyXattrSet", 0, 0), set_xattr("HugeXattrCount", 0, 0xffffffff),
                      set_xattr("HugeXattrName", 4, 0xffffffff), set_xattr("EmptyXattrName", 4, 0),
                      set_xattr("HugeXattrValue", 8, 0xfffffff0),
                      set_xattr("XattrsOutOfOrder", 4 + 8, 0x7a7a7a7a)),
    [](const auto& damage) { return std::string(damage.param.name); });

TEST(SnapshotFile, WrongDigestsAreFoundOnRequest) {
    std::string bytes = sample().serialise();
    constexpr std::size_t kDigests = kHeader + 5 * kNode + 2 * 32;
    bytes[kDigests + 2 * 32] ^= 1;
    seal(bytes);
    const Tree tree = Tree::parse(as_bytes(bytes));
    try {
        tree.verify_digests();
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::Corrupt);
        EXPECT_NE(std::string(error.what()).find("'a'"), std::string::npos) << error.what();
    }
}

TEST(SnapshotFile, DeepestTreeRoundTrips) {
    std::string path = "d";
    for (std::size_t level = 1; level < kMaxDepth; ++level)
        path += "/d";
    TreeBuilder builder;
    builder.put(path, {});
    const Tree tree = builder.finish();
    EXPECT_EQ(Tree::parse(as_bytes(tree.serialise())).digest(), tree.digest());
}

}  // namespace
}  // namespace shale::snapshot
