// The snapshot file: what a reader must reject, and that the bytes do not change by accident.
#include <shale/base.hpp>
#include <shale/codec.hpp>
#include <shale/snapshot.hpp>
#include <shale/snapshot_file.hpp>

#include <gtest/gtest.h>

#include <functional>

namespace shale::snapshot {
namespace {

// Offsets of docs/formats/snapshot.md, in the file of sample(): 5 nodes, 1 link group.
constexpr std::size_t kHeader = 64, kNode = 56, kChecksum = 16;
constexpr std::size_t kSlots = 384, kContents = 448, kDigests = 640, kGroups = 832, kNames = 896,
                      kTargets = 960, kXattrs = 1024, kSums = 1088, kFile = kSums + 8 + kChecksum;
enum Field : std::size_t {
    Value = 0,
    Mtime = 8,
    Parent = 16,
    End = 20,
    NameOffset = 24,
    FirstSlot = 28,
    Depth = 32,
    Reserved = 34,
    Uid = 36,
    XattrSet = 44,
    LinkGroup = 48,
    Mode = 52,
    Type = 54,
    NameBytes = 55
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

// Puts the checksums right: of the only piece, and of the table that holds it.
void seal(std::string& bytes) {
    bytes.resize(kSums);
    put_little(bytes, codec::xxh3_64(as_bytes(bytes)));
    const auto checksum = codec::xxh3_128(as_bytes(bytes).subspan(kSums));
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
    EXPECT_EQ(bytes.size(), kFile);
    EXPECT_EQ(bytes.substr(0, 8), "SHALESNP");
    // If this changes, so did the format or what digests cover: a new version is due.
    EXPECT_EQ(tree.digest().hex(),
              "e99740cc3e356a89651210f0980c07184a305f5a4d5a259df4986beb3acdb607");
    EXPECT_EQ(codec::sha256(bytes).hex(),
              "798c153976eb463ede14cfd9ee7c025d39ce55c015de4331f9b387b5ab535e7d");
}

// sample() as version 1 had it.
constexpr std::string_view kVersion1 =
    "5348414c45534e500100000005000000040000000000000003000000000000002100000000000000"
    "02000000010000000100000000000000000000000000000000000000000000000500000000000000"
    "000000000000000000000000ed010100000000000000000000000000000000000300000000000000"
    "000000000000000000000000ed0101010700000000000000d2029649000000000300000000000000"
    "000000000100000001000000a40100010700000000000000d2029649000000000400000000000000"
    "000000000100000001000000a4010001030000000000000000000000000000000500000000000000"
    "000000000000000000000000ff010201ed7002b439e9ac845f22357d822bac1444730fbdb6016d3e"
    "c9432297b9ec9f73ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
    "e99740cc3e356a89651210f0980c07184a305f5a4d5a259df4986beb3acdb60764734882223683eb"
    "1e5b08e2112938ecf6350becb9d4dda650b84dc98d90bc83b573bc80387ce8cb66f9c15f8b127f06"
    "6ee86126cf20cbf5b91280a7b5acd19ab573bc80387ce8cb66f9c15f8b127f066ee86126cf20cbf5"
    "b91280a7b5acd19a82c7debc579cf99aee769008cd5416e895c597651d617e6a30e5361b8037d725"
    "b6d2ebd7e0d815e8ab60715cf8529d70d6546740f0b37ecafda03bc5c08a089f61666273612f6602"
    "0000000600000001000000757365722e61310600000000000000757365722e625bf9c37a5baa5b25"
    "ce577cf5552bd61d";

std::string from_hex(std::string_view hex) {
    std::string bytes;
    for (std::size_t at = 0; at < hex.size(); at += 2)
        bytes.push_back(static_cast<char>(std::stoi(std::string(hex.substr(at, 2)), nullptr, 16)));
    return bytes;
}

TEST(SnapshotFile, Version1IsStillReadAndBecomesVersion2) {
    const std::string old = from_hex(kVersion1);
    const Tree tree = Tree::parse(as_bytes(old));
    tree.verify_digests();
    EXPECT_EQ(tree.serialise(), sample().serialise());
    for (std::size_t at = 0; at < old.size() * 8; ++at) {
        std::string bad = old;
        bad[at / 8] = static_cast<char>(bad[at / 8] ^ (1 << at % 8));
        EXPECT_NE(parse_error(bad), ErrorKind::Failed) << "bit " << at;
    }
}

TEST(SnapshotFile, EveryFlippedBitAndEveryTruncationIsRejected) {
    const std::string good = sample().serialise();
    for (std::size_t at = 0; at < good.size() * 8; ++at) {
        std::string bad = good;
        bad[at / 8] = static_cast<char>(bad[at / 8] ^ (1 << at % 8));
        const ErrorKind kind = parse_error(bad);
        const bool in_version = at / 8 >= 8 && at / 8 < 12;
        if (in_version)  // another known version sees bytes that make no sense to it
            EXPECT_TRUE(kind == ErrorKind::Unsupported || kind == ErrorKind::Corrupt);
        else
            EXPECT_EQ(kind, ErrorKind::Corrupt) << "bit " << at;
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
    return {name, [=](std::string& bytes) { poke(bytes, kNames + offset, c); }};
}
Damage set_target(const char* name, char c) {
    return {name, [=](std::string& bytes) { poke(bytes, kTargets, c); }};
}
Damage set_xattr(const char* name, std::size_t offset, std::uint32_t value) {
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
                      set_header<std::uint32_t>("HugeXattrSets", 40, 0xffffffff),
                      set_header<std::uint32_t>("HugeLinkGroups", 44, 0xffffffff),
                      set_header<std::uint32_t>("ReservedUsed", 48, 1),
                      set_header<char>("BytesBetweenSections", kSlots + 4 * 4, 1),
                      set_header<std::uint32_t>("SlotsContradictNodes", kSlots, 2),
                      set_header<char>("DirectoryWithContent", kContents + 32, 1),
                      set_header<char>("GroupZeroIsUsed", kGroups, 1),
                      set_field<std::uint32_t>("OtherParent", 2, Parent, 0),
                      set_field<std::uint32_t>("NameElsewhere", 2, NameOffset, 0),
                      set_field<std::uint32_t>("SlotsElsewhere", 2, FirstSlot, 1),
                      set_field<std::uint16_t>("OtherDepth", 2, Depth, 1),
                      set_field<std::uint16_t>("NodeReservedUsed", 2, Reserved, 1),
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
                      set_field<std::uint64_t>("TargetElsewhere", 4, Value, 1ull << 32 | 2),
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

// Looks at everything a tree says.
std::string describe(const Tree& tree) {
    std::string out;
    for (NodeId node = 0; node < tree.size(); ++node) {
        const EntrySpec spec = tree.entry(node).spec();
        out += tree.path(node) + " " + tree.digest(node).hex() + " " + spec.content.hex() +
               spec.link_target + std::to_string(spec.xattrs.size()) +
               std::to_string(spec.size + spec.mode + spec.link_group) +
               std::to_string(tree.find(tree.path(node))) + "\n";
        for (NodeId child = tree.first_child(node); child != kNoNode;
             child = tree.next_sibling(child))
            out += std::to_string(child) + " ";
    }
    return out + tree.key_digest(kRoot).hex();
}

Tree open_bytes(const TempDir& directory, const std::string& bytes) {
    const std::string path = directory.path() + "/snap";
    write_file_atomic(path, as_bytes(bytes));
    return open_tree(path);
}

TEST(MappedSnapshot, SaysWhatTheTreeSaid) {
    const TempDir directory;
    TreeBuilder builder;
    for (int at = 0; at < 5000; ++at)
        builder.put("d" + std::to_string(at % 70) + "/f" + std::to_string(at), file("x"));
    const Tree small = sample(), large = builder.finish();
    for (const Tree* each : {&small, &large}) {
        const Tree& tree = *each;
        const Tree mapped = open_bytes(directory, tree.serialise());
        EXPECT_EQ(describe(mapped), describe(tree));
        mapped.verify_digests();
        EXPECT_EQ(mapped.serialise(), tree.serialise());
    }
}

TEST(SnapshotFile, IsRecognisedOnlyIfEveryByteIsTheSame) {
    const TempDir directory;
    const std::string path = directory.path() + "/snap";
    const Tree tree = sample();
    EXPECT_FALSE(is_file_of(path, tree)) << "none there";
    EXPECT_FALSE(is_file_of(directory.path(), tree));
    const std::string bytes = tree.serialise();
    write_file_atomic(path, as_bytes(bytes));
    EXPECT_TRUE(is_file_of(path, tree));
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        std::string bad = bytes;
        bad[at] = static_cast<char>(bad[at] ^ 1);
        write_file_atomic(path, as_bytes(bad));
        ASSERT_FALSE(is_file_of(path, tree)) << "byte " << at;
    }
    // Consistent in itself, and of the digest asked for, but another tree.
    std::string forged = bytes;
    forged[kDigests + 2 * 32] ^= 1;
    seal(forged);
    write_file_atomic(path, as_bytes(forged));
    EXPECT_EQ(open_tree(path).digest(), tree.digest());
    EXPECT_FALSE(is_file_of(path, tree));
    for (const auto& other : {bytes + "x", bytes.substr(0, bytes.size() - 1), std::string()}) {
        write_file_atomic(path, as_bytes(other));
        EXPECT_FALSE(is_file_of(path, tree));
    }
}

TEST(MappedSnapshot, StandsEdits) {
    const TempDir directory;
    const Tree tree = sample();
    const Tree mapped = open_bytes(directory, tree.serialise());
    TreeBuilder of_tree(tree), of_mapped(mapped);
    for (TreeBuilder* builder : {&of_tree, &of_mapped}) {
        builder->put("a/new", file("new"));
        builder->remove("s");
    }
    EXPECT_EQ(of_mapped.finish().serialise(), of_tree.finish().serialise());
}

TEST(MappedSnapshot, AnyFlippedBitIsFoundWhenItIsLookedAt) {
    const TempDir directory;
    const std::string good = sample().serialise(), wanted = describe(sample());
    for (std::size_t at = 0; at < good.size() * 8; at += 3) {
        std::string bad = good;
        bad[at / 8] = static_cast<char>(bad[at / 8] ^ (1 << at % 8));
        EXPECT_THROW(describe(open_bytes(directory, bad)), Error) << "bit " << at;
    }
}

TEST(MappedSnapshot, DamageElsewhereDoesNotDisturb) {
    const TempDir directory;
    TreeBuilder builder;
    for (int at = 0; at < 20000; ++at)
        builder.put("f" + std::to_string(100000 + at), file("x"));
    std::string bytes = builder.finish().serialise();
    bytes[kHeader + 15000 * kNode + Uid] ^= 1;
    const Tree mapped = open_bytes(directory, bytes);
    EXPECT_EQ(mapped.path(7), "f100006");
    EXPECT_EQ(mapped.entry(7).uid, 0u);
    EXPECT_THROW(mapped.entry(15000), Error);
    EXPECT_THROW(describe(mapped), Error);
}

// Structure that is wrong under right checksums: never a crash, an endless loop or a path that
// leads out. What a reader cannot notice without reading everything parse() notices.
TEST_P(DamagedSnapshot, MappedNeverCrashes) {
    const TempDir directory;
    std::string bytes = sample().serialise();
    GetParam().apply(bytes);
    seal(bytes);
    try {
        const Tree mapped = open_bytes(directory, bytes);
        describe(mapped);
        TreeBuilder edit(mapped);
        edit.remove("b");
        edit.finish().serialise();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::Corrupt) << error.what();
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
