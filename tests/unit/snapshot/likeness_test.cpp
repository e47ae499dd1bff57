// Trees that share what is equal in a past tree: they must be what they are without it.
#include "../../support/tree_generator.hpp"
#include "patch_fixture.hpp"

#include <shale/snapshot.hpp>
#include <shale/snapshot_file.hpp>

#include <gtest/gtest.h>

namespace shale::snapshot {
namespace {

using testing::Model;
using testing::TreeGenerator;

class LikenessTest : public PatchTest {};

// Ten directories below "src", as a COPY of another tree would lay them in.
Tree copied(const Tree& source, const Tree* past, const Tree* base = nullptr) {
    TreeBuilder builder = base ? TreeBuilder(*base) : TreeBuilder();
    builder.use_whole_seconds();
    if (past) builder.expect_like(*past);
    EntrySpec top;
    top.mtime_ns = 5 * kNsPerSecond;
    builder.put("src", top);
    for (NodeId node = source.first_child(kRoot); node != kNoNode; node = source.next_sibling(node))
        if (source.entry(node).type == FileType::Directory)
            builder.put_subtree("src/" + std::string(source.name(node)), source, node);
        else
            builder.put("src/" + std::string(source.name(node)), source.entry(node).spec());
    return builder.finish();
}

// With fractions of seconds, which a copy loses, and one of every kind of thing.
Tree source_of(const std::function<void(TreeBuilder&)>& edit = {}) {
    return ten_by_ten([&](TreeBuilder& builder) {
        for (const char* name : {"d0/f0", "d4/f4", "d9/f9"}) {
            EntrySpec spec = *builder.get(name);
            spec.mtime_ns = 7 * kNsPerSecond + 123;
            builder.put(name, spec);
        }
        EntrySpec link;
        link.type = FileType::Symlink;
        link.link_target = "f0";
        builder.put("d2/link", link);
        EntrySpec marked = file_of(3, "abc");
        marked.xattrs = {{"user.kind", "marked"}};
        builder.put("d2/marked", marked);
        builder.put("d8/deep/er/file", file_of(4, "deep"));
        if (edit) edit(builder);
    });
}

TEST_F(LikenessTest, OneChangedFileLeavesTheRestShared) {
    const Tree past = copied(source_of(), nullptr);
    const Tree after = source_of([](auto& b) { b.put("d8/deep/er/file", file_of(5, "other")); });
    const Tree shared = copied(after, &past);
    EXPECT_EQ(base_of(shared), past.digest());
    expect_same(shared, copied(after, nullptr));
    // The root, src, d8, deep, er and the file.
    EXPECT_LT(serialise_patch(shared).size(), past.serialise().size() / 4);
}

TEST_F(LikenessTest, NothingChangedIsTheSameTree) {
    const Tree past = copied(source_of(), nullptr);
    const Tree again = copied(source_of(), &past);
    EXPECT_EQ(base_of(again), past.digest());
    expect_same(again, past);
}

TEST_F(LikenessTest, EveryKindOfChangeIsSeen) {
    const Tree past = copied(source_of(), nullptr);
    const std::vector<std::function<void(TreeBuilder&)>> edits = {
        [](auto& b) { b.remove("d0/f0"); },
        [](auto& b) { b.remove("d9"); },
        [](auto& b) { b.put("d0/aaa", file_of(1, "first")); },
        [](auto& b) { b.put("d9/zzz", file_of(1, "last")); },
        [](auto& b) { b.put("zz/new", file_of(1, "last")); },
        [](auto& b) { b.put("d3/f3", file_of(1, "same size")); },
        [](auto& b) {
            EntrySpec spec = *b.get("d3/f3");
            spec.mode = 0600;
            b.put("d3/f3", spec);
        },
        [](auto& b) {
            EntrySpec spec = *b.get("d3");
            spec.uid = 7;
            b.put("d3", spec);
        },
        [](auto& b) {
            EntrySpec spec = *b.get("d3/f3");
            spec.mtime_ns = 9 * kNsPerSecond;
            b.put("d3/f3", spec);
        },
        [](auto& b) {
            EntrySpec spec = *b.get("d2/marked");
            spec.xattrs = {{"user.kind", "other"}};
            b.put("d2/marked", spec);
        },
        [](auto& b) {
            EntrySpec spec = *b.get("d2/link");
            spec.link_target = "f1";
            b.put("d2/link", spec);
        },
        [](auto& b) { b.put("d8/deep", file_of(1, "a file now")); },
        [](auto& b) {
            b.remove("d2/link");
            b.put("d2/link/in", file_of(1, "a directory now"));
        },
    };
    for (std::size_t at = 0; at < edits.size(); ++at) {
        const Tree after = source_of(edits[at]);
        const Tree shared = copied(after, &past);
        EXPECT_EQ(base_of(shared), past.digest()) << at;
        ASSERT_NE(shared.digest(), past.digest()) << at;
        ASSERT_NO_FATAL_FAILURE(expect_same(shared, copied(after, nullptr))) << at;
    }
}

TEST_F(LikenessTest, TheFractionOfASecondThatACopyLosesIsNoChange) {
    const Tree past = copied(source_of(), nullptr);
    const Tree after = source_of([](auto& b) {
        EntrySpec spec = *b.get("d0/f0");
        spec.mtime_ns += 5;
        b.put("d0/f0", spec);
    });
    EXPECT_EQ(copied(after, &past).digest(), past.digest());
}

TEST_F(LikenessTest, HardLinksOfTheBaseStayAndThoseOfTheSourcePreventIt) {
    const Tree base = ten_by_ten([](TreeBuilder& builder) {
        EntrySpec linked = file_of(3, "linked");
        linked.link_group = 1;
        builder.put("d1/link", linked);
        builder.put("d2/link", linked);
    });
    // Bigger than the base: what is put would be too much of its own in a patch on that.
    const auto large = [](const std::function<void(TreeBuilder&)>& edit) {
        TreeBuilder builder;
        for (int f = 0; f < 500; ++f)
            builder.put("many/f" + std::to_string(f), file_of(2, std::to_string(f)));
        edit(builder);
        return builder.finish();
    };
    const Tree past = copied(large([](auto&) {}), nullptr, &base);
    ASSERT_FALSE(base_of(past));
    const Tree plain = large([](auto& b) { b.put("many/f7", file_of(3, "new")); });
    const Tree shared = copied(plain, &past, &base);
    EXPECT_EQ(base_of(shared), past.digest());
    expect_same(shared, copied(plain, nullptr, &base));

    const Tree linked = large([](auto& b) {
        EntrySpec spec = file_of(3, "two names");
        spec.link_group = 5;
        b.put("many/f7", spec);
        b.put("many/f8", spec);
    });
    const Tree unshared = copied(linked, &past, &base);
    EXPECT_FALSE(base_of(unshared));
    expect_same(unshared, copied(linked, nullptr, &base));

    // One name of a link of the base goes.
    TreeBuilder less(base);
    less.remove("d2/link");
    const Tree other_base = less.finish();
    const Tree without = copied(plain, &past, &other_base);
    EXPECT_FALSE(base_of(without));
    expect_same(without, copied(plain, nullptr, &other_base));
}

TEST_F(LikenessTest, AnUnlikePastDoesNoHarm) {
    const Tree past = ten_by_ten();
    TreeBuilder other;
    for (int f = 0; f < 300; ++f)
        other.put("o" + std::to_string(f), file_of(2, std::to_string(f)));
    const Tree source = other.finish();
    const Tree tree = copied(source, &past);
    EXPECT_FALSE(base_of(tree));
    expect_same(tree, copied(source, nullptr));
    TreeBuilder nothing;
    nothing.expect_like(past);
    EXPECT_EQ(nothing.finish().digest(), TreeBuilder().finish().digest());
}

TEST_F(LikenessTest, RandomTreesAreWhatTheyAreWithoutAPast) {
    TreeGenerator generator(testing::seed_for_test(43), {.entries = 150, .max_content = 60});
    int shared = 0;
    for (int round = 0; round < 60; ++round) {
        Model model = generator.tree();
        if (round % 2 == 0)  // else hard links decide most of it
            for (auto& [path, item] : model)
                item.spec.link_group = 0;
        Tree past = copied(tree_of(model), nullptr);
        for (int edit = 0; edit < 4; ++edit) {
            generator.mutate(model, 1 + static_cast<unsigned>(generator.below(4)));
            if (round % 2 == 0)
                for (auto& [path, item] : model)
                    item.spec.link_group = 0;
            const Tree source = tree_of(model);
            Tree next = copied(source, &past);
            shared += base_of(next).has_value() ? 1 : 0;
            ASSERT_NO_FATAL_FAILURE(expect_same(next, copied(source, nullptr)))
                << round << " " << edit;
            past = std::move(next);
        }
    }
    EXPECT_GT(shared, 80);
}

}  // namespace
}  // namespace shale::snapshot
