// COPY --parents, and what --exclude leaves of it. Source: a/b/{c.txt,d.txt,e/f.txt}, x/y/{g.txt},
// top.txt, and a socket.
#include "copy.hpp"

#include <shale/codec.hpp>

#include <gtest/gtest.h>

namespace shale::build {
namespace {

using snapshot::EntrySpec;
using snapshot::kNoNode;
using snapshot::Tree;
using snapshot::TreeBuilder;

Tree source() {
    TreeBuilder builder;
    for (const char* path :
         {"a/b/c.txt", "a/b/d.txt", "a/b/e/f.txt", "a/b/e/f.bin", "x/y/g.txt", "top.txt"}) {
        EntrySpec spec;
        spec.type = FileType::Regular;
        spec.mode = 0640;
        builder.put(path, spec);
    }
    EntrySpec directory;
    directory.mode = 0711;
    directory.uid = 7;
    directory.mtime_ns = 11;
    builder.put("a/b", directory);
    EntrySpec link;
    link.type = FileType::Symlink;
    link.link_target = "a";
    builder.put("l", link);
    EntrySpec socket;
    socket.type = FileType::Socket;
    socket.mode = 0755;
    builder.put("s/socket", socket);
    return builder.finish();
}

Tree copy(const std::vector<std::string>& operands, const std::vector<std::string>& excludes = {}) {
    const auto tree = source();
    TreeBuilder out;
    CopyOptions options;
    options.destination = "/d/";
    options.excludes = dockerfile::IgnoreMatcher::from_patterns(excludes);
    std::uint64_t group = 1000;
    for (const auto& operand : operands)
        copy_into(out, tree, select_with_parents(tree, operand), options, ++group);
    return out.finish();
}

// All files of the copy, below its destination.
std::string files(const Tree& tree) {
    std::string found;
    for (snapshot::NodeId node = 0; node < tree.size(); ++node)
        if (tree.entry(node).type != FileType::Directory)
            found += (found.empty() ? "" : " ") + tree.path(node).substr(2);
    return found;
}

TEST(CopyParents, KeepsThePathOfTheSource) {
    EXPECT_EQ(files(copy({"a/b/c.txt", "top.txt"})), "a/b/c.txt top.txt");
}

TEST(CopyParents, ADirectoryBringsItsSubtree) {
    EXPECT_EQ(files(copy({"a/b/e"})), "a/b/e/f.bin a/b/e/f.txt");
}

TEST(CopyParents, CreatedParentsTakeMetadataFromTheSource) {
    const auto tree = copy({"a/b/c.txt"});
    const auto parent = tree.entry(tree.find("d/a/b"));
    EXPECT_EQ(parent.mode, 0711u);
    EXPECT_EQ(parent.uid, 7u);
    EXPECT_EQ(parent.mtime_ns, 11);
}

TEST(CopyParents, OnlyTheFirstInnerPivotCounts) {
    EXPECT_EQ(files(copy({"a/./b/c.txt"})), "b/c.txt");
    EXPECT_EQ(files(copy({"./a/b/c.txt"})), "a/b/c.txt");
    EXPECT_EQ(files(copy({"a/b/e/."})), "a/b/e/f.bin a/b/e/f.txt");
    EXPECT_EQ(files(copy({"a/./b/./c.txt"})), "b/c.txt");
    EXPECT_EQ(files(copy({"/a/b/./e/f.txt"})), "e/f.txt");
}

TEST(CopyParents, WildcardsInBothParts) {
    EXPECT_EQ(files(copy({"a/b/*.txt"})), "a/b/c.txt a/b/d.txt");
    EXPECT_EQ(files(copy({"*/./y/*.txt"})), "y/g.txt");
    EXPECT_EQ(files(copy({"**/*.txt"})), "a/b/c.txt a/b/d.txt a/b/e/f.txt top.txt x/y/g.txt");
    EXPECT_EQ(files(copy({"a/./**/f.*"})), "b/e/f.bin b/e/f.txt");
}

TEST(CopyParents, AStarDoesNotCrossDirectories) {
    EXPECT_EQ(files(copy({"a/*.txt"})), "");
}

TEST(CopyParents, NothingIsCreatedOnTheWayToNothing) {
    const auto tree = copy({"a/b/*.nothing"});
    EXPECT_NE(tree.find("d"), kNoNode);
    EXPECT_EQ(tree.find("d/a"), kNoNode);
}

TEST(CopyParents, AMissingLiteralPathIsNotFoundWithItsFullName) {
    for (const auto& [operand, path] : {std::pair{"a/nonexistent", "/a/nonexistent"},
                                        {"a/./b/nonexistent", "/a/b/nonexistent"},
                                        {"nowhere/./x", "/nowhere"}}) {
        try {
            copy({operand});
            FAIL() << operand;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::NotFound);
            EXPECT_EQ(std::string(error.what()), "\"" + std::string(path) + "\": not found");
        }
    }
}

TEST(CopyParents, LinksAreFollowedInTheBaseOnly) {
    EXPECT_EQ(files(copy({"l/./b/c.txt"})), "b/c.txt");
    EXPECT_THROW(copy({"l/b/c.txt"}), Error);
}

TEST(CopyParents, ExcludesAreRelativeToTheBase) {
    EXPECT_EQ(files(copy({"a/./b"}, {"b/e"})), "b/c.txt b/d.txt");
    EXPECT_EQ(files(copy({"a/b/"}, {"**/*.txt", "!a/b/d.txt"})), "a/b/d.txt a/b/e/f.bin");
}

TEST(CopyParents, TheKeySeesWhatIsCopiedAndNothingElse) {
    const auto key_of = [](const Tree& tree) {
        Key key("test");
        add_to_key(key, tree, select_with_parents(tree, "a/b/*.txt"), {});
        return key.finish();
    };
    const auto base = source();
    TreeBuilder unrelated(base);
    unrelated.put("a/b/e/new.txt", *unrelated.get("top.txt"));
    EXPECT_EQ(key_of(base), key_of(unrelated.finish()));
    TreeBuilder related(base);
    related.put("a/b/new.txt", *related.get("top.txt"));
    EXPECT_NE(key_of(base), key_of(related.finish()));
}

TEST(Copy, SocketsBecomeEmptyFiles) {
    const auto tree = source();
    TreeBuilder out;
    CopyOptions options;
    options.destination = "/d";
    copy_into(out, tree, select(tree, "s"), options, 1);
    const auto copied = out.finish();
    const auto entry = copied.entry(copied.find("d/socket"));
    EXPECT_EQ(entry.type, FileType::Regular);
    EXPECT_EQ(entry.size, 0u);
    EXPECT_EQ(entry.mode, 0755u);
}

}  // namespace
}  // namespace shale::build
