// merge_upper_tree: overlay's marks, one rule per test, on trees in memory.
#include "../../support/changes.hpp"

#include <shale/codec.hpp>
#include <shale/diff.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <map>

namespace shale::diff {
namespace {

using snapshot::EntrySpec;
using snapshot::kNoNode;
using snapshot::Tree;
using snapshot::TreeBuilder;

using Entries = std::map<std::string, EntrySpec>;

EntrySpec file(std::string_view content) {
    EntrySpec spec;
    spec.type = FileType::Regular;
    spec.mode = 0644;
    spec.size = content.size();
    spec.content = codec::sha256(content);
    return spec;
}

EntrySpec whiteout() {
    EntrySpec spec;
    spec.type = FileType::CharDevice;
    spec.mode = 0;
    return spec;
}

EntrySpec marked(EntrySpec spec, std::vector<Xattr> xattrs) {
    spec.xattrs = std::move(xattrs);
    return spec;
}

EntrySpec directory(std::vector<Xattr> xattrs = {}) {
    return marked({}, std::move(xattrs));
}

Tree tree_of(const Entries& entries) {
    TreeBuilder builder;
    for (const auto& [path, spec] : entries)
        builder.put(path, spec);
    return builder.finish();
}

// The changes of the merged tree against the parent.
std::string merged(const Entries& parent, const Entries& upper) {
    const Tree below = tree_of(parent);
    return testing::changes_between(below, merge_upper_tree(below, tree_of(upper)));
}

ErrorKind merge_error(const Entries& parent, const Entries& upper) {
    try {
        merge_upper_tree(tree_of(parent), tree_of(upper));
    } catch (const Error& error) {
        return error.kind();
    }
    ADD_FAILURE() << "nothing was thrown";
    return ErrorKind::Failed;
}

const Entries kParent = {{"d/f", file("f")}, {"d/sub/g", file("g")}, {"e", file("e")}};

TEST(MergeUpper, WhiteoutRemoves) {
    EXPECT_EQ(merged(kParent, {{"e", whiteout()}, {"d/sub", whiteout()}}), "D d/sub\nD e\n");
}

TEST(MergeUpper, WhiteoutOfNothingIsNothing) {
    EXPECT_EQ(merged(kParent, {{"nothing", whiteout()}, {"d/neither", whiteout()}}), "");
}

TEST(MergeUpper, XattrWhiteoutCountsOnlyInADirectoryMarkedForIt) {
    const EntrySpec mark = marked(file(""), {{"trusted.overlay.whiteout", ""}});
    EXPECT_EQ(merged(kParent, {{"d", directory({{"trusted.overlay.opaque", "x"}})}, {"d/f", mark}}),
              "D d/f\n");
    EXPECT_EQ(merged(kParent, {{"d/f", mark}}), "M d/f\n");
}

TEST(MergeUpper, OpaqueHidesWhatWasBelowInBothForms) {
    for (const char* mark : {"trusted.overlay.opaque", "user.overlay.opaque"})
        EXPECT_EQ(merged(kParent, {{"d", directory({{mark, "y"}})}, {"d/new", file("n")}}),
                  "D d/f\nA d/new\nD d/sub\n");
}

TEST(MergeUpper, OpaqueRootHidesAll) {
    EXPECT_EQ(merged(kParent, {{"", directory({{"trusted.overlay.opaque", "y"}})}}), "D d\nD e\n");
}

TEST(MergeUpper, ParentsCopiedUpUnchangedAreNoChange) {
    EXPECT_EQ(merged(kParent, {{"d/sub", directory()}}), "");
}

TEST(MergeUpper, RootMetadataCounts) {
    EntrySpec root;
    root.mode = 0700;
    EXPECT_EQ(merged(kParent, {{"", root}}), "M .\n");
}

TEST(MergeUpper, UnchangedCopyKeepsTheParentsEntryAndLinkGroup) {
    EntrySpec linked = file("x");
    linked.link_group = 1;
    const Entries parent = {{"a", linked}, {"b", linked}};
    EXPECT_EQ(merged(parent, {{"a", marked(file("x"), {{"trusted.overlay.origin", "h"}})}}), "");
}

TEST(MergeUpper, ChangedMemberLeavesTheParentsLinkGroup) {
    EntrySpec linked = file("x");
    linked.link_group = 1;
    const Tree parent = tree_of({{"a", linked}, {"b", linked}, {"c", linked}});
    const Tree result = merge_upper_tree(parent, tree_of({{"b", file("y")}}));
    EXPECT_EQ(result.entry(result.find("b")).link_group, 0u);
    EXPECT_EQ(result.entry(result.find("a")).link_group, 1u);
    EXPECT_EQ(result.entry(result.find("c")).link_group, 1u);
}

TEST(MergeUpper, LinksMadeInTheUpperAreOneGroupApartFromTheParents) {
    EntrySpec linked = file("x");
    linked.link_group = 1;
    const Tree parent = tree_of({{"a", linked}, {"b", linked}, {"c", linked}});
    // a was copied up and got another name, z; b and c still share the old inode.
    const Tree result = merge_upper_tree(parent, tree_of({{"a", linked}, {"z", linked}}));
    const auto group = [&](const char* path) { return result.entry(result.find(path)).link_group; };
    EXPECT_EQ(group("a"), group("z"));
    EXPECT_EQ(group("b"), group("c"));
    EXPECT_NE(group("a"), group("b"));
    EXPECT_NE(group("a"), 0u);
}

TEST(MergeUpper, MetacopyTakesContentFromBelow) {
    EntrySpec chmod = file("ignored: a metacopy has no bytes");
    chmod.mode = 0600;
    chmod.content = {};
    chmod.xattrs = {{"trusted.overlay.metacopy", ""}, {"user.kept", "1"}};
    const Tree parent = tree_of(kParent);
    const Tree result = merge_upper_tree(parent, tree_of({{"d/f", chmod}}));
    const auto entry = result.entry(result.find("d/f"));
    EXPECT_EQ(entry.content, codec::sha256("f"));
    EXPECT_EQ(entry.size, 1u);
    EXPECT_EQ(entry.mode, 0600u);
    ASSERT_EQ(entry.xattrs.size(), 1u);
    EXPECT_EQ(entry.xattrs[0].name, "user.kept");
}

TEST(MergeUpper, MetacopyFollowsItsRedirect) {
    EntrySpec moved = marked(
        file(""), {{"trusted.overlay.metacopy", ""}, {"trusted.overlay.redirect", "/d/sub/g"}});
    EXPECT_EQ(merged(kParent, {{"e2", moved}, {"d/sub/g", whiteout()}}), "D d/sub/g\nA e2\n");
    const Tree parent = tree_of(kParent);
    const Tree result = merge_upper_tree(parent, tree_of({{"e2", moved}}));
    EXPECT_EQ(result.entry(result.find("e2")).content, codec::sha256("g"));
    moved.xattrs[1].value = "f";  // relative: renamed within its directory
    const Tree renamed = merge_upper_tree(parent, tree_of({{"d/f2", moved}}));
    EXPECT_EQ(renamed.entry(renamed.find("d/f2")).content, codec::sha256("f"));
}

TEST(MergeUpper, RedirectedDirectoryBringsItsChildren) {
    EXPECT_EQ(merged(kParent, {{"d", whiteout()},
                               {"moved", directory({{"trusted.overlay.redirect", "/d"}})},
                               {"moved/f", whiteout()},
                               {"moved/new", file("n")}}),
              "D d\nA moved\nA moved/new\nA moved/sub\nA moved/sub/g\n");
}

TEST(MergeUpper, RelativeRedirectCountsFromTheRedirectedParent) {
    // d -> moved (absolute), then moved/sub -> moved/sub2 (relative to where moved comes from).
    EXPECT_EQ(merged(kParent, {{"d", whiteout()},
                               {"moved", directory({{"trusted.overlay.redirect", "/d"}})},
                               {"moved/sub", whiteout()},
                               {"moved/sub2", directory({{"trusted.overlay.redirect", "sub"}})}}),
              "D d\nA moved\nA moved/f\nA moved/sub2\nA moved/sub2/g\n");
}

TEST(MergeUpper, RedirectReplacesWhatTheNameHeldBefore) {
    const Entries parent = {{"a/x", file("x")}, {"b/y", file("y")}};
    EXPECT_EQ(
        merged(parent, {{"a", directory({{"trusted.overlay.redirect", "/b"}})}, {"b", whiteout()}}),
        "D a/x\nA a/y\nD b\n");
}

TEST(MergeUpper, NewDirectoryInsideANewOneShowsNothingOfTheParent) {
    const Entries parent = {{"d/sub/g", file("g")}};
    EXPECT_EQ(merged(parent,
                     {{"d", directory({{"trusted.overlay.opaque", "y"}})}, {"d/sub", directory()}}),
              "D d/sub/g\n");
}

TEST(MergeUpper, TypeReplacements) {
    EXPECT_EQ(merged(kParent, {{"d", file("now a file")}, {"e", directory()}, {"e/h", file("h")}}),
              "M d\nM e\nA e/h\n");
}

TEST(MergeUpper, SocketHidesWhatIsBelow) {
    EntrySpec socket;
    socket.type = FileType::Socket;
    EXPECT_EQ(merged(kParent, {{"e", socket}}), "D e\n");
}

TEST(MergeUpper, OverlayXattrsNeverEnterTheResult) {
    const Tree parent = tree_of({});
    const Tree result = merge_upper_tree(
        parent, tree_of({{"f", marked(file("f"), {{"trusted.overlay.origin", "x"},
                                                  {"trusted.overlay.overlay.opaque", "y"},
                                                  {"user.overlay.origin", "x"},
                                                  {"user.real", "1"}})}}));
    const auto xattrs = result.entry(result.find("f")).xattrs;
    ASSERT_EQ(xattrs.size(), 1u);
    EXPECT_EQ(xattrs[0].name, "user.real");
}

TEST(MergeUpper, DanglingMarksAreCorrupt) {
    EXPECT_EQ(merge_error(kParent, {{"new", directory({{"trusted.overlay.redirect", "/gone"}})}}),
              ErrorKind::Corrupt);
    EXPECT_EQ(merge_error(kParent, {{"new", directory({{"trusted.overlay.redirect", "../../d"}})}}),
              ErrorKind::Corrupt);
    EXPECT_EQ(merge_error(kParent, {{"new", directory({{"trusted.overlay.redirect", "/e"}})}}),
              ErrorKind::Corrupt);
    EXPECT_EQ(merge_error(kParent, {{"new", marked(file(""), {{"trusted.overlay.metacopy", ""}})}}),
              ErrorKind::Corrupt);
}

TEST(MergeUpper, IndexedLinksAreUnsupported) {
    EXPECT_EQ(merge_error(kParent, {{"e", marked(file("e"), {{"trusted.overlay.nlink", "U+1"}})}}),
              ErrorKind::Unsupported);
}

// A base image from elsewhere may state fractions of seconds. What was copied up but not changed
// must stay equal to it, and only what is new loses them.
TEST(MergeUpper, OneKindOfMarksIsObeyedAndNeitherIsKept) {
    const TempDir directory;
    const auto path = join_path(directory.path(), "d");
    make_directories(path);
    constexpr const char* kMark = "user.overlay.opaque";
    if (::setxattr(path.c_str(), kMark, "y", 1, 0) != 0)
        GTEST_SKIP() << "no attributes of users here: " << directory.path();
    EntrySpec below = snapshot::scan(directory.path()).entry(1).spec();
    below.xattrs.clear();
    const Tree parent = tree_of({{"d", below}, {"d/f", file("x")}});
    const auto changes = [&](Marks marks) {
        return testing::changes_between(parent,
                                        merge_upper(parent, directory.path(), Times::Exact, marks),
                                        {.ignore_mtime = true});
    };
    for (const Marks obeyed : {Marks::User, Marks::Either})
        EXPECT_NE(changes(obeyed).find("D d/f\n"), std::string::npos) << changes(obeyed);
    EXPECT_EQ(changes(Marks::Trusted).find("D d/f"), std::string::npos);
    for (const Marks obeyed : {Marks::User, Marks::Trusted}) {
        const Tree merged = merge_upper(parent, directory.path(), Times::Exact, obeyed);
        EXPECT_TRUE(merged.entry(merged.find("d")).xattrs.empty());
    }
}

TEST(MergeUpper, WhatANamespaceCannotSeeOfADirectoryStays) {
    const TempDir upper;
    make_directories(join_path(upper.path(), "d"));
    write_file_atomic(join_path(upper.path(), "d/new"), as_bytes("x"));
    const Xattr secret{"trusted.secret", "1"};
    const Tree parent = tree_of({{"d", directory({secret})}, {"d/f", file("x")}});
    const auto xattrs = [&](Marks marks) {
        const Tree merged = merge_upper(parent, upper.path(), Times::Exact, marks);
        const auto seen = merged.entry(merged.find("d")).xattrs;
        return std::vector<Xattr>(seen.begin(), seen.end());
    };
    EXPECT_EQ(xattrs(Marks::User), std::vector{secret});
    EXPECT_TRUE(xattrs(Marks::Trusted).empty()) << "there it was removed";
}

TEST(MergeUpper, WholeSecondsAreForWhatIsNewAlone) {
    const TempDir directory;
    const auto path = [&](const std::string& name) { return join_path(directory.path(), name); };
    make_directories(path("d/sub"));
    write_file_atomic(path("d/f"), as_bytes("content"));
    const timespec times[2] = {{1'700'000'000, 123'456'789}, {1'700'000'000, 123'456'789}};
    for (const std::string name : {"d/f", "d/sub", "d", ""})
        ASSERT_EQ(::utimensat(AT_FDCWD, path(name).c_str(), times, 0), 0);
    const Tree parent = snapshot::scan(directory.path());
    EXPECT_EQ(testing::changes_between(parent,
                                       merge_upper(parent, directory.path(), Times::WholeSeconds)),
              "");

    write_file_atomic(path("d/sub/new"), as_bytes("new"));
    ASSERT_EQ(::utimensat(AT_FDCWD, path("d/sub/new").c_str(), times, 0), 0);
    const Tree merged = merge_upper(parent, directory.path(), Times::WholeSeconds);
    EXPECT_EQ(testing::changes_between(parent, merged), "M d/sub\nA d/sub/new\n");
    EXPECT_EQ(merged.entry(merged.find("d/sub/new")).mtime_ns, 1'700'000'000'000'000'000);
    EXPECT_EQ(merged.entry(merged.find("d/f")).mtime_ns, 1'700'000'000'123'456'789);
}

}  // namespace
}  // namespace shale::diff
