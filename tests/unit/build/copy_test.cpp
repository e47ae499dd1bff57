// The worked examples of the Dockerfile reference for COPY: context f, d/{x,s/y}, l -> d, lf -> f,
// WORKDIR /w.
#include "../../support/tree_generator.hpp"
#include "copy.hpp"

#include <shale/codec.hpp>

#include <gtest/gtest.h>

namespace shale::build {
namespace {

using snapshot::EntrySpec;
using snapshot::kNoNode;
using snapshot::Tree;
using snapshot::TreeBuilder;

EntrySpec file(std::string_view content, std::uint32_t mode = 0644) {
    EntrySpec spec;
    spec.type = FileType::Regular;
    spec.mode = mode;
    spec.size = content.size();
    spec.content = codec::sha256(content);
    spec.mtime_ns = 5;
    return spec;
}
EntrySpec directory(std::uint32_t mode = 0755, std::uint32_t owner = 0, std::int64_t mtime = 7) {
    EntrySpec spec;
    spec.mode = mode;
    spec.uid = spec.gid = owner;
    spec.mtime_ns = mtime;
    return spec;
}
EntrySpec symlink(const std::string& target) {
    EntrySpec spec;
    spec.type = FileType::Symlink;
    spec.mode = 0777;
    spec.link_target = target;
    return spec;
}

Tree context() {
    TreeBuilder builder;
    builder.put("f", file("F"));
    builder.put("d", directory(0700, 9, 42));
    builder.put("d/x", file("X"));
    builder.put("d/s", directory(0711));
    builder.put("d/s/y", file("Y"));
    builder.put("l", symlink("d"));
    builder.put("lf", symlink("/f"));
    return builder.finish();
}

struct Copied {
    TreeBuilder base;
    CopyOptions options;

    Copied() {
        base.put("w", directory());
        options.now_ns = 99;
    }
    Copied& to(const std::string& destination) {
        options.destination = destination;
        return *this;
    }
    Tree copy(const std::vector<std::string>& operands) {
        const Tree source = context();
        std::uint64_t group = 1000;
        for (const auto& operand : operands)
            copy_into(base, source, select(source, operand), options, ++group);
        return base.finish();
    }
};

std::string content_at(const Tree& tree, std::string_view path) {
    const auto node = tree.find(path);
    if (node == kNoNode) return "absent";
    const auto entry = tree.entry(node);
    if (entry.type == FileType::Directory) return "directory";
    if (entry.type == FileType::Symlink) return "link";
    for (const char* known : {"F", "X", "Y"})
        if (entry.content == codec::sha256(std::string_view(known))) return known;
    return "other";
}

TEST(Copy, FileToNewName) {
    EXPECT_EQ(content_at(Copied().to("/a").copy({"f"}), "a"), "F");
}

TEST(Copy, FileIntoNamedDirectoryCreatesIt) {
    const auto tree = Copied().to("/a/").copy({"f"});
    EXPECT_EQ(content_at(tree, "a/f"), "F");
    const auto parent = tree.entry(tree.find("a"));
    EXPECT_EQ(parent.mode, 0755u);
    EXPECT_EQ(parent.mtime_ns, 99);
}

TEST(Copy, FileToExistingDirectory) {
    Copied c;
    c.base.put("a", directory());
    EXPECT_EQ(content_at(c.to("/a").copy({"f"}), "a/f"), "F");
}

TEST(Copy, DotDotIsClampedOnBothSides) {
    const auto tree = Copied().to("/w/../z").copy({"../../f"});
    EXPECT_EQ(content_at(tree, "z"), "F");
}

TEST(Copy, DirectoryContributesItsContents) {
    for (const char* operand : {"d", "d/", "d/.", "/d", "l", "d*"}) {
        const auto tree = Copied().to("/a").copy({operand});
        EXPECT_EQ(content_at(tree, "a/x"), "X") << operand;
        EXPECT_EQ(content_at(tree, "a/s/y"), "Y") << operand;
        EXPECT_EQ(content_at(tree, "a/d"), "absent") << operand;
    }
}

TEST(Copy, NewTopDirectoryDoesNotTakeModeOrOwnerButTime) {
    const auto tree = Copied().to("/a").copy({"d"});
    const auto top = tree.entry(tree.find("a"));
    EXPECT_EQ(top.mode, 0755u);
    EXPECT_EQ(top.uid, 0u);
    EXPECT_EQ(top.mtime_ns, 42);
}

TEST(Copy, ExistingTopDirectoryKeepsModeAndOwner) {
    Copied c;
    c.base.put("a", directory(0700, 5));
    const auto tree = c.to("/a").copy({"d"});
    const auto top = tree.entry(tree.find("a"));
    EXPECT_EQ(top.mode, 0700u);
    EXPECT_EQ(top.uid, 5u);
    EXPECT_EQ(top.mtime_ns, 42);
}

TEST(Copy, ExistingSubdirectoryTakesTheSourcesMetadata) {
    Copied c;
    c.base.put("a", directory());
    c.base.put("a/s", directory(0500, 5));
    c.base.put("a/s/old", file("F"));
    const auto tree = c.to("/a").copy({"d"});
    EXPECT_EQ(tree.entry(tree.find("a/s")).mode, 0711u);
    EXPECT_EQ(content_at(tree, "a/s/old"), "F");
}

TEST(Copy, OperandSymlinkToFileIsDereferencedUnderItsOwnName) {
    EXPECT_EQ(content_at(Copied().to("/a/").copy({"lf"}), "a/lf"), "F");
}

TEST(Copy, StarTakesFilesAndMergesDirectories) {
    const auto tree = Copied().to("/a/").copy({"*"});
    EXPECT_EQ(content_at(tree, "a/f"), "F");
    EXPECT_EQ(content_at(tree, "a/lf"), "F");
    EXPECT_EQ(content_at(tree, "a/x"), "X");
    EXPECT_EQ(content_at(tree, "a/d"), "absent");
}

TEST(Copy, PathsAreCleanedLexically) {
    EXPECT_EQ(content_at(Copied().to("/a").copy({"d/s/../x"}), "a"), "X");
}

TEST(Copy, WildcardWithoutMatchCopiesNothing) {
    const auto tree = Copied().to("/a/").copy({"zz*"});
    EXPECT_EQ(tree.find("a"), kNoNode);
}

TEST(Copy, WildcardMayBeInAnyComponent) {
    EXPECT_EQ(content_at(Copied().to("/a/").copy({"*/s/y"}), "a/y"), "Y");
}

TEST(Copy, MissingLiteralIsNotFound) {
    try {
        Copied().to("/a/").copy({"zz"});
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::NotFound);
        EXPECT_STREQ(error.what(), "\"/zz\": not found");
    }
}

TEST(Copy, FileThenDirectoryOntoOneNameFails) {
    EXPECT_THROW(Copied().to("/a").copy({"f", "d"}), Error);
}

TEST(Copy, FileOverDirectoryInsideATreeFails) {
    Copied c;
    c.base.put("a", directory());
    c.base.put("a/x", directory());
    try {
        c.to("/a").copy({"d"});
        FAIL();
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "cannot replace to directory /a/x with file");
    }
}

TEST(Copy, OctalModeAppliesToFilesAndCreatedParents) {
    Copied c;
    c.options.mode = ModeChange::parse("700");
    const auto tree = c.to("/n/m/f").copy({"f"});
    for (const char* path : {"n", "n/m", "n/m/f"})
        EXPECT_EQ(tree.entry(tree.find(path)).mode, 0700u) << path;
}

TEST(Copy, SymbolicModeLeavesParentsAlone) {
    Copied c;
    c.options.mode = ModeChange::parse("go-rwx");
    const auto tree = c.to("/n/f").copy({"f"});
    EXPECT_EQ(tree.entry(tree.find("n")).mode, 0755u);
    EXPECT_EQ(tree.entry(tree.find("n/f")).mode, 0600u);
}

TEST(Copy, OwnerAppliesToEntriesAndCreatedParentsOnly) {
    Copied c;
    c.options.owner = Owner{5, 6};
    const auto tree = c.to("/w/n/f").copy({"f"});
    EXPECT_EQ(tree.entry(tree.find("w/n")).uid, 5u);
    EXPECT_EQ(tree.entry(tree.find("w/n/f")).gid, 6u);
    EXPECT_EQ(tree.entry(tree.find("w")).uid, 0u);
}

TEST(Copy, DestinationSymlinksAreFollowedInsideTheRoot) {
    Copied c;
    c.base.put("real", directory());
    c.base.put("link", symlink("../../real/deep"));
    const auto tree = c.to("/link/").copy({"f"});
    EXPECT_EQ(content_at(tree, "real/deep/f"), "F");
    EXPECT_EQ(content_at(tree, "link"), "link");
}

TEST(Copy, SymlinkLoopAtTheDestinationIsAnError) {
    Copied c;
    c.base.put("a", symlink("b"));
    c.base.put("b", symlink("a"));
    EXPECT_THROW(c.to("/a").copy({"f"}), Error);
}

TEST(Copy, FileReplacesASymlinkItDoesNotName) {
    Copied c;
    c.base.put("a", directory());
    c.base.put("a/x", symlink("/w"));
    EXPECT_EQ(content_at(c.to("/a").copy({"d"}), "a/x"), "X");
}

TEST(Copy, ExcludesAreRelativeToTheSource) {
    Copied c;
    c.options.excludes = dockerfile::IgnoreMatcher::from_patterns({"s"});
    const auto tree = c.to("/a").copy({"d"});
    EXPECT_EQ(content_at(tree, "a/x"), "X");
    EXPECT_EQ(content_at(tree, "a/s"), "absent");
}

TEST(Copy, ExcludedDirectoryComesBackForAnException) {
    Copied c;
    c.options.excludes = dockerfile::IgnoreMatcher::from_patterns({"s", "!s/y"});
    EXPECT_EQ(content_at(c.to("/a").copy({"d"}), "a/s/y"), "Y");
}

TEST(Copy, HardlinksOfOneOperandStayLinked) {
    TreeBuilder source_builder;
    auto linked = file("F");
    linked.link_group = 1;
    source_builder.put("p", linked);
    source_builder.put("q", linked);
    const Tree source = source_builder.finish();
    TreeBuilder out;
    CopyOptions options;
    options.destination = "/a/";
    copy_into(out, source, select(source, "/"), options, 7);
    const auto tree = out.finish();
    EXPECT_NE(tree.entry(tree.find("a/p")).link_group, 0u);
    EXPECT_EQ(tree.entry(tree.find("a/p")).link_group, tree.entry(tree.find("a/q")).link_group);
}

Digest key_of(const Tree& source, const std::string& operand, const CopyOptions& options = {}) {
    Key key("test");
    add_to_key(key, source, select(source, operand), options);
    return key.finish();
}

TEST(CopyKey, IgnoresTimesAndWhereTheSourceLies) {
    const Tree base = context();
    TreeBuilder changed(base);
    auto spec = *changed.get("d/x");
    spec.mtime_ns += 1000;
    changed.put("d/x", spec);
    changed.put("elsewhere/d", directory());
    changed.put("elsewhere/d/x", file("X"));
    const Tree other = changed.finish();
    EXPECT_EQ(key_of(context(), "d"), key_of(other, "d"));
    EXPECT_EQ(key_of(context(), "d/x"), key_of(other, "elsewhere/d/x"));
}

TEST(CopyKey, SeesContentNameAndMode) {
    const Tree base = context();
    for (const auto& [path, spec] : {std::pair<std::string, EntrySpec>{"d/x", file("changed")},
                                     {"d/x", file("X", 0755)},
                                     {"d/new", file("X")}}) {
        TreeBuilder changed(base);
        changed.put(path, spec);
        EXPECT_NE(key_of(base, "d"), key_of(changed.finish(), "d")) << path;
    }
    EXPECT_NE(key_of(base, "f"), key_of(base, "d/x"));
}

TEST(CopyKey, AnOctalModeMakesTheSourcesModeIrrelevant) {
    CopyOptions options;
    options.mode = ModeChange::parse("644");
    const Tree base = context();
    TreeBuilder changed(base);
    changed.put("f", file("F", 0600));
    EXPECT_EQ(key_of(context(), "f", options), key_of(changed.finish(), "f", options));
}

TEST(CopyKey, ExcludedFilesDoNotCount) {
    CopyOptions options;
    options.excludes = dockerfile::IgnoreMatcher::from_patterns({"s"});
    const Tree base = context();
    TreeBuilder changed(base);
    changed.put("d/s/y", file("changed"));
    EXPECT_EQ(key_of(context(), "d", options), key_of(changed.finish(), "d", options));
}

// Whole directories are taken over at once where nothing about them changes. An exclusion of
// nothing makes the copy look at every entry instead.
TEST(Copy, DirectoriesTakenWholeAreThoseTakenEntryByEntry) {
    testing::TreeGenerator generator(testing::seed_for_test(51),
                                     {.entries = 60, .max_content = 40});
    for (int round = 0; round < 50; ++round) {
        auto model = generator.tree();
        const bool keeps_links = round % 2 == 0;
        if (!keeps_links)
            for (auto& [path, item] : model)
                item.spec.link_group = 0;
        const Tree source = testing::tree_of(model), base = testing::tree_of(generator.tree());
        const auto copy = [&](bool whole) {
            TreeBuilder builder(base);
            CopyOptions options;
            options.destination = "/into/";
            options.now_ns = 99;
            if (!whole) options.excludes = dockerfile::IgnoreMatcher::parse("no-such-name");
            copy_into(builder, source, select(source, "."), options, 7);
            options.destination = "/";
            copy_into(builder, source, select(source, "."), options, 8);
            return builder.finish();
        };
        std::string refusal;
        try {
            copy(false);
        } catch (const Error& error) {  // a file where a directory is, or the other way round
            refusal = error.what();
        }
        if (refusal.empty())
            ASSERT_EQ(copy(true).serialise(), copy(false).serialise()) << "round " << round;
        else
            ASSERT_THROW(copy(true), Error) << refusal;
    }
}

}  // namespace
}  // namespace shale::build
