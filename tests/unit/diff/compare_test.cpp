// compare: which changes it lists, above all for hard links.
#include <shale/codec.hpp>
#include <shale/diff.hpp>
#include <shale/snapshot_file.hpp>

#include <gtest/gtest.h>

#include <map>

namespace shale::diff {
namespace {

using snapshot::EntrySpec;
using snapshot::Tree;
using snapshot::TreeBuilder;

EntrySpec file(std::string_view content, std::uint64_t link_group = 0) {
    EntrySpec spec;
    spec.type = FileType::Regular;
    spec.mode = 0644;
    spec.size = content.size();
    spec.content = codec::sha256(content);
    spec.link_group = link_group;
    return spec;
}

Tree tree_of(const std::map<std::string, EntrySpec>& entries) {
    TreeBuilder builder;
    for (const auto& [path, spec] : entries)
        builder.put(path, spec);
    return builder.finish();
}

std::string text(const Tree& before, const Tree& after, const Options& options = {}) {
    return to_text(compare(before, after, options), after);
}

struct LinkCase {
    const char* name;
    std::map<std::string, EntrySpec> before, after;
    const char* expected;
};

class LinkedChanges : public testing::TestWithParam<LinkCase> {};

TEST_P(LinkedChanges, AreListed) {
    EXPECT_EQ(text(tree_of(GetParam().before), tree_of(GetParam().after)), GetParam().expected);
}

const EntrySpec kX1 = file("x", 1), kX2 = file("x", 2), kX = file("x"), kY1 = file("y", 1);

INSTANTIATE_TEST_SUITE_P(
    Cases, LinkedChanges,
    testing::Values(
        LinkCase{"Unchanged", {{"a", kX1}, {"b", kX1}}, {{"a", kX1}, {"b", kX1}}, ""},
        LinkCase{"LinkAdded",
                 {{"a", kX1}, {"b", kX1}},
                 {{"a", kX1}, {"b", kX1}, {"c", kX1}},
                 "L a\nL b\nA c\n"},
        LinkCase{"LinkAddedToSingleFile", {{"a", kX}}, {{"a", kX1}, {"z", kX1}}, "L a\nA z\n"},
        LinkCase{
            "LinkRemoved", {{"a", kX1}, {"b", kX1}, {"c", kX1}}, {{"a", kX1}, {"c", kX1}}, "D b\n"},
        LinkCase{"LastLinkRemoved", {{"a", kX1}, {"b", kX1}}, {{"b", kX}}, "D a\n"},
        LinkCase{"ContentOfGroupChanged",
                 {{"a", kX1}, {"b", kX1}},
                 {{"a", kY1}, {"b", kY1}},
                 "M a\nM b\n"},
        LinkCase{"MemberReplaced",
                 {{"a", kX1}, {"b", kX1}, {"c", kX1}},
                 {{"a", kX1}, {"b", file("y")}, {"c", kX1}},
                 "M b\n"},
        LinkCase{"Separated", {{"a", kX1}, {"b", kX1}}, {{"a", kX}, {"b", kX}}, "L b\n"},
        LinkCase{"SplitIntoTwoPairs",
                 {{"a", kX1}, {"b", kX1}, {"c", kX1}, {"d", kX1}},
                 {{"a", kX1}, {"b", kX2}, {"c", kX1}, {"d", kX2}},
                 "L b\nL d\n"},
        LinkCase{"TwoPairsJoined",
                 {{"a", kX1}, {"b", kX2}, {"c", kX1}, {"d", kX2}},
                 {{"a", kX1}, {"b", kX1}, {"c", kX1}, {"d", kX1}},
                 "L a\nL b\nL c\nL d\n"},
        LinkCase{"SinglesJoined", {{"a", kX}, {"b", kX}}, {{"a", kX1}, {"b", kX1}}, "L a\nL b\n"},
        LinkCase{"MemberMovedBetweenGroups",
                 {{"a", kX1}, {"b", kX1}, {"c", kX1}, {"d", kX2}, {"e", kX2}},
                 {{"a", kX1}, {"b", kX1}, {"c", kX2}, {"d", kX2}, {"e", kX2}},
                 "L c\nL d\nL e\n"},
        LinkCase{"LinkAcrossDirectories",
                 {{"p/a", kX1}, {"q/b", kX1}, {"q/c", kX}},
                 {{"p/a", kX1}, {"q/b", kX1}, {"q/c", kX}, {"r/d", kX1}},
                 "L p/a\nL q/b\nA r\nA r/d\n"}),
    [](const auto& case_info) { return std::string(case_info.param.name); });

TEST(Compare, EqualTreesHaveNoChanges) {
    const Tree a = tree_of({{"d/f", file("x")}}), b = tree_of({{"d/f", file("x")}});
    EXPECT_EQ(text(a, b), "");
    EXPECT_EQ(text(a, a), "");
}

TEST(Compare, ListsInPathOrderWithoutChildrenOfTheRemoved) {
    const Tree before = tree_of({{"a/1", file("1")}, {"b/2", file("2")}, {"c", file("3")}});
    const Tree after = tree_of({{"a/1", file("one")}, {"a/0/x", file("0")}, {"d", file("4")}});
    EXPECT_EQ(text(before, after), "A a/0\nA a/0/x\nM a/1\nD b\nD c\nA d\n");
}

TEST(Compare, FileBecameDirectoryIsModifiedThenAdded) {
    const Tree before = tree_of({{"p", file("f")}, {"q/r", file("f")}});
    const Tree after = tree_of({{"p/x", file("f")}, {"q", file("f")}});
    const auto changes = compare(before, after);
    EXPECT_EQ(to_text(changes, after), "M p\nA p/x\nM q\n");
    EXPECT_TRUE(changes[0].content_changed);
}

TEST(Compare, TellsContentFromMetadata) {
    EntrySpec mode = file("x"), data = file("y");
    mode.mode = 0600;
    const auto by_mode = compare(tree_of({{"f", file("x")}}), tree_of({{"f", mode}}));
    ASSERT_EQ(by_mode.size(), 1u);
    EXPECT_TRUE(by_mode[0].metadata_changed);
    EXPECT_FALSE(by_mode[0].content_changed);
    const auto by_data = compare(tree_of({{"f", file("x")}}), tree_of({{"f", data}}));
    ASSERT_EQ(by_data.size(), 1u);
    EXPECT_FALSE(by_data[0].metadata_changed);
    EXPECT_TRUE(by_data[0].content_changed);
}

TEST(Compare, SeesXattrsDevicesTargetsAndTheRoot) {
    EntrySpec xattr = file("x"), device, other_device, link, other_link, root;
    xattr.xattrs = {{"user.k", "v"}};
    device.type = other_device.type = FileType::CharDevice;
    other_device.device_minor = 3;
    link.type = other_link.type = FileType::Symlink;
    link.link_target = "lib-a";
    other_link.link_target = "lib-b";
    root.mode = 0700;
    EXPECT_EQ(text(tree_of({{"c", device}, {"f", file("x")}, {"l", link}}),
                   tree_of({{"", root}, {"c", other_device}, {"f", xattr}, {"l", other_link}})),
              "M .\nM c\nM f\nM l\n");
}

TEST(Compare, IgnoreMtimeDropsMtimeOnlyChanges) {
    EntrySpec touched = file("x"), touched_and_chmod = file("x");
    touched.mtime_ns = touched_and_chmod.mtime_ns = 5;
    touched_and_chmod.mode = 0600;
    const Tree before = tree_of({{"a", file("x")}, {"b", file("x")}});
    const Tree after = tree_of({{"a", touched}, {"b", touched_and_chmod}});
    EXPECT_EQ(text(before, after), "M a\nM b\n");
    EXPECT_EQ(text(before, after, {.ignore_mtime = true}), "M b\n");
}

// Damage in a mapped snapshot shows when somebody looks at it.
TEST(Compare, EqualSubtreesAreNotLookedInto) {
    TreeBuilder builder;
    for (int directory = 0; directory < 40; ++directory)
        for (int at = 0; at < 500; ++at)
            builder.put("d" + std::to_string(100 + directory) + "/" + std::to_string(1000 + at),
                        file("same"));
    const Tree before = builder.finish();
    TreeBuilder edit(before);
    edit.put("d107/1003", file("other"));
    const Tree after = edit.finish();
    std::string bytes = before.serialise();
    constexpr std::size_t kHeader = 64, kNode = 56;  // docs/formats/snapshot.md
    const std::size_t in_d120 = kHeader + kNode * before.find("d120/1250");
    bytes[in_d120] = static_cast<char>(bytes[in_d120] ^ 1);
    const TempDir directory;
    write_file_atomic(directory.path() + "/before", as_bytes(bytes));
    const Tree damaged = snapshot::open_tree(directory.path() + "/before");
    EXPECT_EQ(text(damaged, after), "M d107/1003\n");
    EXPECT_THROW(damaged.entry(before.find("d120/1250")), Error);
}

TEST(Describe, TextEscapesControlCharacters) {
    EXPECT_EQ(text(tree_of({}), tree_of({{"a\n\x1b[2J", file("")}})), "A a\\x0a\\x1b[2J\n");
    EXPECT_EQ(text(tree_of({}), tree_of({{"caf\xe9 \xc2\x9b \xc3\xa9", file("")}})),
              "A caf\\xe9 \\xc2\\x9b \xc3\xa9\n");
}

}  // namespace
}  // namespace shale::diff
