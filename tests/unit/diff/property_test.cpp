// Laws of compare() on generated trees, against two independent models: a set difference of maps,
// and a layer that is applied entry by entry to inodes.
#include "../../support/changes.hpp"
#include "../../support/tree_generator.hpp"

#include <shale/diff.hpp>

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace shale::diff {
namespace {

using snapshot::EntrySpec;
using snapshot::kNoNode;
using snapshot::NodeId;
using snapshot::Tree;
using snapshot::TreeBuilder;
using testing::Model;
using testing::Shape;
using testing::TreeGenerator;

constexpr int kRounds = 150;

// Paths and the inodes they name, as an extractor of layers would keep them.
struct Files {
    std::map<std::string, int> names;
    std::map<int, EntrySpec> inodes;
    int last = 0;

    explicit Files(const Tree& tree) {
        std::map<std::uint64_t, int> by_group;
        for (NodeId node = 0; node < tree.size(); ++node) {
            const EntrySpec spec = tree.entry(node).spec();
            int inode = spec.link_group ? by_group[spec.link_group] : 0;
            if (inode == 0) inode = make(spec);
            if (spec.link_group) by_group[spec.link_group] = inode;
            names[tree.path(node)] = inode;
        }
    }

    int make(EntrySpec spec) {
        spec.link_group = 0;
        inodes[++last] = std::move(spec);
        return last;
    }

    void erase_below(const std::string& path) {
        for (auto at = names.lower_bound(path + "/");
             at != names.end() && at->first.starts_with(path + "/");)
            at = names.erase(at);
    }

    // What a layer made of `changes` does: whiteouts remove, every other change replaces the name;
    // of the stated members of a group the first makes an inode and the others link to it.
    void apply(const std::vector<Change>& changes, const Tree& after) {
        std::map<std::uint64_t, int> stated;
        for (const Change& change : changes) {
            if (change.kind == ChangeKind::Removed) {
                names.erase(change.removed_path);
                erase_below(change.removed_path);
                continue;
            }
            const std::string path = change.path(after);
            const EntrySpec spec = after.entry(change.after).spec();
            if (spec.type != FileType::Directory) erase_below(path);
            int inode = spec.link_group ? stated[spec.link_group] : 0;
            if (inode == 0) inode = make(spec);
            if (spec.link_group) stated[spec.link_group] = inode;
            names[path] = inode;
        }
    }

    Tree tree() const {
        TreeBuilder builder;
        for (const auto& [path, inode] : names) {
            EntrySpec spec = inodes.at(inode);
            spec.link_group = static_cast<std::uint64_t>(inode);
            builder.put(path, spec);
        }
        return builder.finish();
    }
};

std::map<std::string, EntrySpec> flatten(const Tree& tree, bool ignore_mtime) {
    std::map<std::string, EntrySpec> entries;
    for (NodeId node = 0; node < tree.size(); ++node) {
        EntrySpec spec = tree.entry(node).spec();
        spec.link_group = 0;
        if (ignore_mtime) spec.mtime_ns = 0;
        entries[tree.path(node)] = std::move(spec);
    }
    return entries;
}

bool has_removed_ancestor(const std::set<std::string>& removed, std::string path) {
    for (auto slash = path.rfind('/'); slash != std::string::npos; slash = path.rfind('/')) {
        path.resize(slash);
        if (removed.contains(path)) return true;
    }
    return false;
}

// Every change but Linked ones, by plain set difference.
std::set<std::string> naive_diff(const Tree& before, const Tree& after, bool ignore_mtime) {
    const auto old_entries = flatten(before, ignore_mtime);
    const auto new_entries = flatten(after, ignore_mtime);
    std::set<std::string> lines, gone;
    for (const auto& [path, spec] : old_entries) {
        const auto now = new_entries.find(path);
        // What was below a directory that is one no longer is not listed either.
        if (now == new_entries.end() ||
            (spec.type == FileType::Directory && now->second.type != FileType::Directory))
            gone.insert(path);
        if (now == new_entries.end() && !has_removed_ancestor(gone, path)) lines.insert("D" + path);
    }
    for (const auto& [path, spec] : new_entries) {
        const auto old = old_entries.find(path);
        if (old == old_entries.end())
            lines.insert("A" + path);
        else if (old->second != spec)
            lines.insert("M" + path);
    }
    return lines;
}

class DiffProperties : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(DiffProperties, ApplyingChangesGivesTheOtherTree) {
    TreeGenerator generator(testing::seed_for_test(GetParam()),
                            {.entries = 60, .max_depth = 4, .max_content = 40});
    for (int round = 0; round < kRounds; ++round) {
        Model model = generator.tree();
        const Tree before = tree_of(model);
        generator.mutate(model, 1 + static_cast<unsigned>(generator.below(12)));
        const Tree after = tree_of(model);
        Files files(before);
        files.apply(compare(before, after), after);
        const Tree applied = files.tree();
        ASSERT_EQ(applied.digest(), after.digest())
            << "round " << round << "\n"
            << testing::changes_between(before, after) << "still different:\n"
            << testing::changes_between(applied, after);
    }
}

TEST_P(DiffProperties, WholeSubtreesStandForAllBelow) {
    TreeGenerator generator(testing::seed_for_test(GetParam()) + 7,
                            {.entries = 60, .max_depth = 4, .max_content = 40});
    for (int round = 0; round < kRounds; ++round) {
        Model model = generator.tree();
        const Tree before = tree_of(model);
        generator.mutate(model, 1 + static_cast<unsigned>(generator.below(12)));
        const Tree after = tree_of(model);
        std::vector<Change> expanded;
        for (const Change& change : compare(before, after, {.whole_subtrees = true})) {
            const NodeId end = change.with_all_below ? after.end(change.after) : change.after + 1;
            expanded.push_back(change);
            if (!change.with_all_below) continue;
            ASSERT_EQ(change.kind, ChangeKind::Added);
            for (NodeId node = change.after + 1; node < end; ++node)
                expanded.push_back({ChangeKind::Added, kNoNode, node, true, true, {}});
        }
        ASSERT_EQ(to_text(expanded, after), to_text(compare(before, after), after))
            << "round " << round;
    }
}

TEST_P(DiffProperties, AgreesWithNaiveSetDifference) {
    TreeGenerator generator(testing::seed_for_test(GetParam()) + 1,
                            {.entries = 60, .max_depth = 4, .max_content = 40});
    for (int round = 0; round < kRounds; ++round) {
        Model model = generator.tree();
        const Tree before = tree_of(model);
        generator.mutate(model, 8);
        const Tree after = tree_of(model);
        for (const bool ignore_mtime : {false, true}) {
            std::set<std::string> lines;
            for (const Change& change : compare(before, after, {.ignore_mtime = ignore_mtime}))
                if (change.kind != ChangeKind::Linked)
                    lines.insert("AMD"[static_cast<int>(change.kind) == 0   ? 0
                                       : static_cast<int>(change.kind) == 1 ? 1
                                                                            : 2] +
                                 change.path(after));
            ASSERT_EQ(lines, naive_diff(before, after, ignore_mtime)) << "round " << round;
        }
    }
}

TEST_P(DiffProperties, NothingChangedMeansNoChanges) {
    TreeGenerator generator(testing::seed_for_test(GetParam()) + 2, {.entries = 200});
    const Model model = generator.tree();
    const Tree once = tree_of(model), twice = tree_of(model);
    EXPECT_TRUE(compare(once, once).empty());
    EXPECT_TRUE(compare(once, twice).empty());
}

TEST_P(DiffProperties, ChangesAreInPathOrder) {
    TreeGenerator generator(testing::seed_for_test(GetParam()) + 3,
                            {.entries = 150, .max_content = 40});
    Model model = generator.tree();
    const Tree before = tree_of(model);
    generator.mutate(model, 40);
    const Tree after = tree_of(model);
    // Order of the walk: compare component by component, i.e. with '/' before every other byte.
    const auto key = [](std::string path) {
        std::replace(path.begin(), path.end(), '/', '\0');
        return path;
    };
    const auto changes = compare(before, after);
    for (std::size_t at = 1; at < changes.size(); ++at)
        EXPECT_LT(key(changes[at - 1].path(after)), key(changes[at].path(after)));
}

INSTANTIATE_TEST_SUITE_P(Seeds, DiffProperties, ::testing::Values(20260101u, 77u));

}  // namespace
}  // namespace shale::diff
