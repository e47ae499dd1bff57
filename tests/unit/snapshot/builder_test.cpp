// TreeBuilder: what edits do, one behaviour per test.
#include <shale/codec.hpp>
#include <shale/snapshot.hpp>

#include <gtest/gtest.h>

namespace shale::snapshot {
namespace {

EntrySpec directory(unsigned mode = 0755) {
    EntrySpec spec;
    spec.mode = mode;
    return spec;
}

EntrySpec file(std::string_view content, unsigned mode = 0644) {
    EntrySpec spec;
    spec.type = FileType::Regular;
    spec.mode = mode;
    spec.size = content.size();
    spec.content = codec::sha256(content);
    return spec;
}

EntrySpec symlink(std::string target) {
    EntrySpec spec;
    spec.type = FileType::Symlink;
    spec.mode = 0777;
    spec.link_target = std::move(target);
    return spec;
}

template <typename Body>
void expect_invalid(Body&& body) {
    try {
        body();
        ADD_FAILURE() << "nothing was thrown";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::Invalid) << error.what();
    }
}

TEST(TreeBuilder, EmptyTreeIsAPlainRootDirectory) {
    const Tree tree = TreeBuilder().finish();
    EXPECT_EQ(tree.size(), 1u);
    EXPECT_EQ(tree.entry(kRoot).spec(), directory());
    EXPECT_EQ(tree.first_child(kRoot), kNoNode);
    EXPECT_EQ(tree.path(kRoot), "");
}

TEST(TreeBuilder, MissingParentsAreCreatedPlain) {
    TreeBuilder builder;
    builder.put("a/b/c", file("x"));
    const Tree tree = builder.finish();
    EXPECT_EQ(tree.size(), 4u);
    EXPECT_EQ(tree.entry(tree.find("a/b")).spec(), directory());
    EXPECT_EQ(tree.path(tree.find("/a/b/c/")), "a/b/c");
}

TEST(TreeBuilder, NodesAreInByteOrderDepthFirst) {
    TreeBuilder builder;
    for (const char* path : {"b", "a-c", "a/z", "a/b", "a\xff", "a"})
        builder.put(path, path == std::string_view("a") ? directory() : file(path));
    const Tree tree = builder.finish();
    std::vector<std::string> paths;
    for (NodeId node = 0; node < tree.size(); ++node)
        paths.push_back(tree.path(node));
    EXPECT_EQ(paths, (std::vector<std::string>{"", "a", "a/b", "a/z", "a-c", "a\xff", "b"}));
    EXPECT_EQ(tree.end(tree.find("a")), tree.find("a-c"));
}

TEST(TreeBuilder, DirectoryOverDirectoryKeepsChildren) {
    TreeBuilder builder;
    builder.put("d/f", file("x"));
    builder.put("d", directory(0700));
    EXPECT_EQ(builder.children("d"), std::vector<std::string>{"f"});
    EXPECT_EQ(builder.get("d")->mode, 0700u);
}

TEST(TreeBuilder, OtherReplacementsDropChildren) {
    TreeBuilder builder;
    builder.put("d/f", file("x"));
    const Tree base = builder.finish();
    TreeBuilder edit(base);
    edit.put("d", file("now a file"));
    EXPECT_FALSE(edit.get("d/f"));
    edit.put("d", directory());
    EXPECT_TRUE(edit.children("d").empty());
    EXPECT_EQ(edit.finish().size(), 2u);
}

TEST(TreeBuilder, ParentThatIsNoDirectoryIsInvalid) {
    TreeBuilder builder;
    builder.put("f", file("x"));
    expect_invalid([&] { builder.put("f/g", file("y")); });
    const Tree base = builder.finish();
    TreeBuilder edit(base);
    expect_invalid([&] { edit.put("f/g/h", file("y")); });
}

TEST(TreeBuilder, ImpossibleInputIsInvalid) {
    TreeBuilder builder;
    for (const std::string& path :
         {std::string(".."), std::string("a/./b"), std::string(256, 'n'), std::string("a\0b", 3)})
        expect_invalid([&] { builder.put(path, directory()); });
    expect_invalid([&] { builder.put("", file("x")); });
    expect_invalid([&] { builder.remove("/"); });
    expect_invalid([&] { builder.put("l", symlink("")); });
    EntrySpec twice = directory();
    twice.xattrs = {{"user.a", "1"}, {"user.a", "2"}};
    expect_invalid([&] { builder.put("x", twice); });
    std::string deep;
    for (std::size_t level = 0; level <= kMaxDepth; ++level)
        deep += "d/";
    expect_invalid([&] { builder.put(deep, directory()); });
}

TEST(TreeBuilder, FieldsThatMeanNothingForTheTypeAreDropped) {
    EntrySpec noisy = directory();
    noisy.size = 5;
    noisy.link_target = "x";
    noisy.content = codec::sha256("x");
    noisy.device_major = 7;
    noisy.link_group = 3;
    TreeBuilder builder;
    builder.put("d", noisy);
    builder.put("e", noisy);
    const Tree tree = builder.finish();
    EXPECT_EQ(tree.entry(tree.find("d")).spec(), directory());
}

TEST(TreeBuilder, EmptyFileWithoutDigestHasTheDigestOfNothing) {
    EntrySpec spec = file("");
    spec.content = {};
    TreeBuilder builder;
    builder.put("f", spec);
    const Tree tree = builder.finish();
    EXPECT_EQ(tree.entry(tree.find("f")).content, codec::sha256(""));
}

TEST(TreeBuilder, RemoveTakesTheSubtreeAndForgivesAbsence) {
    TreeBuilder builder;
    builder.put("a/b/c", file("x"));
    const Tree base = builder.finish();
    TreeBuilder edit(base);
    edit.remove("a/b/missing");
    edit.remove("nowhere/at/all");
    edit.remove("a/b");
    edit.remove("a/b");
    EXPECT_EQ(edit.children("a"), std::vector<std::string>{});
    edit.put("a/b", file("back"));
    edit.remove("a/b");
    const Tree tree = edit.finish();
    EXPECT_EQ(tree.size(), 2u);
    EXPECT_EQ(tree.find("a/b"), kNoNode);
}

TEST(TreeBuilder, ClearChildrenKeepsTheDirectory) {
    TreeBuilder builder;
    builder.put("d", directory(0711));
    builder.put("d/x/y", file("x"));
    const Tree base = builder.finish();
    TreeBuilder edit(base);
    edit.clear_children("d");
    edit.put("d/new", file("n"));
    const Tree tree = edit.finish();
    EXPECT_EQ(tree.entry(tree.find("d")).mode, 0711u);
    EXPECT_EQ(tree.size(), 3u);
}

TEST(TreeBuilder, GetAndChildrenSeeBaseAndEditsTogether) {
    TreeBuilder builder;
    for (const char* path : {"d/a", "d/c", "d/e"})
        builder.put(path, file(path));
    const Tree base = builder.finish();
    TreeBuilder edit(base);
    edit.put("d/b", file("b"));
    edit.put("d/e", file("changed"));
    edit.remove("d/c");
    EXPECT_EQ(edit.children("d"), (std::vector<std::string>{"a", "b", "e"}));
    EXPECT_EQ(edit.get("d/e")->content, codec::sha256("changed"));
    EXPECT_EQ(edit.get("d/a")->content, codec::sha256("d/a"));
    EXPECT_FALSE(edit.get("d/c"));
    EXPECT_TRUE(edit.children("d/a").empty());
}

TEST(TreeBuilder, LinkGroupsAreRenumberedByFirstAppearance) {
    EntrySpec linked = file("x");
    TreeBuilder builder;
    linked.link_group = 900;
    builder.put("b", linked);
    builder.put("d/b", linked);
    linked.link_group = 70;
    builder.put("a", linked);
    builder.put("c", linked);
    linked.link_group = 5;
    builder.put("alone", linked);
    const Tree tree = builder.finish();
    const auto group = [&](const char* path) { return tree.entry(tree.find(path)).link_group; };
    EXPECT_EQ(group("a"), 1u);
    EXPECT_EQ(group("c"), 1u);
    EXPECT_EQ(group("b"), 2u);
    EXPECT_EQ(group("d/b"), 2u);
    EXPECT_EQ(group("alone"), 0u);
}

TEST(TreeBuilder, EditedMemberLeavesItsLinkGroup) {
    EntrySpec linked = file("x");
    linked.link_group = 1;
    TreeBuilder builder;
    for (const char* path : {"a", "b", "c"})
        builder.put(path, linked);
    const Tree base = builder.finish();
    TreeBuilder edit(base);
    EntrySpec spec = *edit.get("b");
    EXPECT_EQ(spec.link_group, 1u);
    spec.mode = 0600;
    edit.put("b", spec);
    const Tree tree = edit.finish();
    EXPECT_EQ(tree.entry(tree.find("a")).link_group, 1u);
    EXPECT_EQ(tree.entry(tree.find("b")).link_group, 0u);
    EXPECT_EQ(tree.entry(tree.find("c")).link_group, 1u);
    EXPECT_NO_THROW(tree.verify_digests());
}

TEST(TreeBuilder, NewLinkGroupIsUnused) {
    EntrySpec linked = file("x");
    linked.link_group = 41;
    TreeBuilder builder;
    builder.put("a", linked);
    EXPECT_EQ(builder.new_link_group(), 42u);
    EXPECT_EQ(builder.new_link_group(), 43u);
}

TEST(TreeBuilder, HundredThousandPutsInOneDirectory) {
    TreeBuilder builder;
    EntrySpec spec = file("same");
    for (int at = 0; at < 100000; ++at)
        builder.put("d/" + std::to_string(at), spec);
    const Tree tree = builder.finish();
    EXPECT_EQ(tree.size(), 100002u);
    EXPECT_EQ(tree.name(tree.find("d/77777")), "77777");
    EXPECT_EQ(tree.find("d/100000"), kNoNode);
}

}  // namespace
}  // namespace shale::snapshot
