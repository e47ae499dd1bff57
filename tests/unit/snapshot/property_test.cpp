// Laws of trees on generated ones: edits against building from scratch, the file format, digests,
// key digests, and resolution against the kernel's.
#include "../../support/tree_generator.hpp"

#include <shale/snapshot.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

namespace shale::snapshot {
namespace {

using testing::Item;
using testing::Model;
using testing::TreeGenerator;

constexpr int kRounds = 100;

// Edits `builder` into what `after` describes, in an order of its own.
void edit_into(TreeBuilder& builder, const Tree& base, const Model& after,
               std::uint64_t first_group) {
    for (NodeId node = 1; node < base.size(); ++node)
        if (!after.contains(base.path(node))) builder.remove(base.path(node));
    for (const auto& [path, item] : after) {
        EntrySpec spec = item.spec;
        if (spec.link_group) spec.link_group += first_group;
        if (path.empty() || builder.get(path) != spec) builder.put(path, spec);
    }
}

TEST(TreeProperties, EditsGiveTheTreeThatBuildingFromScratchGives) {
    TreeGenerator generator(testing::seed_for_test(31), {.entries = 80, .max_content = 60});
    for (int round = 0; round < kRounds; ++round) {
        Model model = generator.tree();
        const Tree base = tree_of(model);
        generator.mutate(model, 1 + static_cast<unsigned>(generator.below(20)));
        TreeBuilder builder(base);
        edit_into(builder, base, model, 1000);
        const Tree edited = builder.finish(), scratch = tree_of(model);
        ASSERT_EQ(edited.digest(), scratch.digest()) << "round " << round;
        ASSERT_EQ(edited.serialise(), scratch.serialise()) << "round " << round;
        ASSERT_NO_THROW(edited.verify_digests());
    }
}

// What is taken whole from other trees must be what entries put one by one are.
TEST(TreeProperties, SubtreesOfOtherTreesAreThoseThatEntriesGive) {
    TreeGenerator generator(testing::seed_for_test(35), {.entries = 60, .max_content = 60});
    for (int round = 0; round < kRounds; ++round) {
        const Tree base = tree_of(generator.tree());
        const Tree first = tree_of(generator.tree()), second = tree_of(generator.tree());
        TreeBuilder grafted(base), by_entry(base);
        const bool whole = round % 2 == 0;
        if (whole) grafted.use_whole_seconds();
        const auto edit = [&](auto&& apply) {
            apply(grafted);
            apply(by_entry);
        };
        const Tree* const kSources[] = {&first, &second, &first, &base};
        const std::map<const Tree*, std::uint64_t> groups_of{
            {&base, 0}, {&first, 1'000'000}, {&second, 2'000'000}};
        for (std::size_t i = 0; i < std::size(kSources); ++i) {
            const Tree& tree = *kSources[i];
            const std::string top = "graft" + std::to_string(i);
            grafted.put_subtree(top, tree, kRoot);
            by_entry.remove(top);
            for (NodeId node = kRoot; node < tree.size(); ++node) {
                EntrySpec spec = tree.entry(node).spec();
                // Links within one tree hold across the places where its parts were laid in.
                if (spec.link_group) spec.link_group += groups_of.at(&tree);
                if (whole && &tree != &base) spec.mtime_ns = whole_seconds(spec.mtime_ns);
                by_entry.put(node == kRoot ? top : top + "/" + tree.path(node), spec);
            }
        }
        // Edits below what was laid in, and a look at it.
        const NodeId some = 1 + static_cast<NodeId>(generator.below(first.size() - 1));
        const std::string victim = "graft0/" + first.path(some);
        ASSERT_EQ(grafted.get(victim)->type, first.entry(some).type);
        EntrySpec pipe;
        pipe.type = FileType::Fifo;
        edit([&](TreeBuilder& builder) { builder.remove(victim); });
        edit([&](TreeBuilder& builder) { builder.put("graft1/new/pipe", pipe); });
        ASSERT_EQ(grafted.children("graft1"), by_entry.children("graft1"));
        const Tree result = grafted.finish(), expected = by_entry.finish();
        ASSERT_EQ(result.serialise(), expected.serialise()) << "round " << round;
        ASSERT_NO_THROW(result.verify_digests());
    }
}

// A long chain of edits must not collect garbage or drift.
TEST(TreeProperties, ChainsOfEditsStayExact) {
    TreeGenerator generator(testing::seed_for_test(32), {.entries = 100, .max_content = 60});
    Model model = generator.tree();
    Tree tree = tree_of(model);
    for (int step = 0; step < kRounds; ++step) {
        generator.mutate(model, 3);
        TreeBuilder builder(tree);
        edit_into(builder, tree, model, 1'000'000);
        Tree next = builder.finish();
        tree = std::move(next);
        ASSERT_EQ(tree.serialise(), tree_of(model).serialise()) << "step " << step;
    }
}

TEST(TreeProperties, ParseOfSerialiseIsTheSameTree) {
    TreeGenerator generator(testing::seed_for_test(33), {.entries = 150, .needs_root = true});
    for (int round = 0; round < kRounds; ++round) {
        const Tree tree = tree_of(generator.tree());
        const std::string bytes = tree.serialise();
        const Tree parsed = Tree::parse(as_bytes(bytes));
        ASSERT_EQ(parsed.serialise(), bytes);
        ASSERT_NO_THROW(parsed.verify_digests());
        ASSERT_EQ(parsed.size(), tree.size());
        for (NodeId node = 0; node < tree.size(); ++node) {
            ASSERT_EQ(parsed.entry(node).spec(), tree.entry(node).spec());
            ASSERT_EQ(parsed.path(node), tree.path(node));
            ASSERT_EQ(parsed.digest(node), tree.digest(node));
        }
        // A parsed tree is a base like any other.
        TreeBuilder builder(parsed);
        builder.put("added", {});
        TreeBuilder same(tree);
        same.put("added", {});
        ASSERT_EQ(builder.finish().digest(), same.finish().digest());
    }
}

TEST(TreeProperties, NavigationAgreesWithPaths) {
    TreeGenerator generator(testing::seed_for_test(34), {.entries = 200, .max_content = 10});
    for (int round = 0; round < kRounds; ++round) {
        const Model model = generator.tree();
        const Tree tree = tree_of(model);
        ASSERT_EQ(tree.size(), model.size());
        std::size_t reached = 1;
        for (NodeId node = 0; node < tree.size(); ++node) {
            const std::string path = tree.path(node);
            ASSERT_TRUE(model.contains(path));
            ASSERT_EQ(tree.find(path), node);
            ASSERT_EQ(tree.find("/" + path + "/"), node);
            std::string last;
            for (NodeId child = tree.first_child(node); child != kNoNode;
                 child = tree.next_sibling(child), ++reached) {
                ASSERT_EQ(tree.parent(child), node);
                ASSERT_EQ(tree.child(node, tree.name(child)), child);
                ASSERT_LT(last, tree.name(child));
                ASSERT_LE(tree.end(child), tree.end(node));
                last = tree.name(child);
            }
            ASSERT_EQ(tree.child(node, "no such name"), kNoNode);
        }
        ASSERT_EQ(reached, tree.size());
    }
}

Tree with_times_and_links_cleared(const Tree& tree, bool owner, bool mode) {
    TreeBuilder builder(tree);
    for (NodeId node = 0; node < tree.size(); ++node) {
        EntrySpec spec = tree.entry(node).spec();
        spec.mtime_ns = 0;
        spec.link_group = 0;
        if (owner) spec.uid = spec.gid = 0;
        if (mode) spec.mode = 0;
        builder.put(tree.path(node), spec);
    }
    return builder.finish();
}

// Two trees have equal keys exactly if they are equal after wiping what the policy leaves out.
TEST(TreeProperties, KeyDigestsSeeExactlyWhatThePolicySays) {
    TreeGenerator generator(testing::seed_for_test(35),
                            {.entries = 12, .max_depth = 3, .max_content = 3, .needs_root = true});
    int equal_keys = 0;
    for (int round = 0; round < 10 * kRounds; ++round) {
        Model model = generator.tree();
        const Tree before = tree_of(model);
        if (round % 3 == 0) {
            for (auto& [path, item] : model)
                item.spec.mtime_ns += 5;
        } else if (round % 3 == 1) {
            for (auto& [path, item] : model) {
                item.spec.uid += round % 2;
                item.spec.mode ^= round % 4 == 0 ? 0007 : 0;
            }
        } else {
            generator.mutate(model, 1);
        }
        const Tree after = tree_of(model);
        for (const bool owner : {false, true})
            for (const bool mode : {false, true}) {
                const KeyPolicy policy{owner, mode};
                const bool same_key =
                    before.key_digest(kRoot, policy) == after.key_digest(kRoot, policy);
                const bool same_tree =
                    with_times_and_links_cleared(before, !owner, !mode).digest() ==
                    with_times_and_links_cleared(after, !owner, !mode).digest();
                ASSERT_EQ(same_key, same_tree) << "round " << round;
                equal_keys += same_key;
            }
    }
    EXPECT_GT(equal_keys, 10 * kRounds);
}

TEST(TreeProperties, KeyDigestsDoNotDependOnPlaceOrOrderOfAsking) {
    TreeGenerator generator(testing::seed_for_test(36), {.entries = 60, .max_content = 30});
    for (int round = 0; round < kRounds; ++round) {
        const Model model = generator.tree();
        Model moved;
        moved[""] = Item{};
        for (const auto& [path, item] : model)
            moved[join_path("elsewhere", path)] = item;
        const Tree tree = tree_of(model), other = tree_of(moved);
        // Leaves first in one tree, root first in the other.
        for (NodeId node = static_cast<NodeId>(tree.size()); node-- > 0;)
            tree.key_digest(node);
        other.key_digest(kRoot);
        for (NodeId node = 0; node < tree.size(); ++node)
            ASSERT_EQ(tree.key_digest(node), other.key_digest(node + 1));
    }
}

TEST(TreeProperties, KeyDigestsFromManyThreadsAgree) {
    TreeGenerator generator(testing::seed_for_test(37), {.entries = 2000, .max_content = 10});
    const Model model = generator.tree();
    const Tree tree = tree_of(model), reference = tree_of(model);
    std::atomic<int> wrong = 0;
    {
        std::vector<std::jthread> threads;
        for (int thread = 0; thread < 4; ++thread)
            threads.emplace_back([&] {
                for (NodeId node = 0; node < tree.size(); ++node)
                    wrong += tree.key_digest(node) != reference.key_digest(node);
            });
    }
    EXPECT_EQ(wrong, 0);
}

// Beyond some ten thousand nodes several threads make the digests, each for a part of the tree.
TEST(TreeProperties, DigestsOfManyNodesDoNotDependOnThreads) {
    constexpr int kFiles = 70'000;
    const auto build = [](int without) {
        TreeBuilder builder;
        EntrySpec file;
        file.type = FileType::Regular;
        for (int at = 0; at < kFiles; ++at) {
            if (at == without) continue;
            file.size = static_cast<std::uint64_t>(at) + 1;
            file.content.bytes[0] = static_cast<std::uint8_t>(at);
            // Some deep, so that many directories lie around the first node of a part.
            builder.put(std::string(at % 3 == 0 ? "a/b/c/d/e" : "a/b") + "/" +
                            std::to_string(at % 500) + "/" + std::to_string(at),
                        file);
        }
        return builder.finish();
    };
    const Tree tree = build(-1);
    tree.verify_digests();  // one by one
    // The same by an edit, of which little is hashed anew.
    const Tree less = build(kFiles / 2);
    TreeBuilder edit(less);
    const auto path = "a/b/" + std::to_string(kFiles / 2 % 500) + "/" + std::to_string(kFiles / 2);
    ASSERT_NE(kFiles / 2 % 3, 0);
    edit.put(path, tree.entry(tree.find(path)).spec());
    const Tree edited = edit.finish();
    edited.verify_digests();
    EXPECT_EQ(edited.digest(), tree.digest());
    // And keys: small subtrees first, which one thread does, or all at once.
    for (NodeId node = static_cast<NodeId>(tree.size()); node-- > 0;)
        edited.key_digest(node);
    EXPECT_EQ(tree.key_digest(kRoot), edited.key_digest(kRoot));
    EXPECT_NE(tree.key_digest(kRoot), less.key_digest(kRoot));
}

// What the kernel makes of `path` in a root directory: the path it ends at, or an errno.
struct KernelAnswer {
    int error = 0;
    std::string path;
};

KernelAnswer kernel_resolve(int root_fd, const std::string& root, const std::string& path) {
    open_how how{};
    how.flags = O_PATH | O_CLOEXEC;
    how.resolve = RESOLVE_IN_ROOT;
    // EAGAIN: somewhere on the machine something was renamed or mounted while we passed a "..".
    UniqueFd fd;
    do
        fd = UniqueFd(static_cast<int>(
            ::syscall(SYS_openat2, root_fd, path.empty() ? "." : path.c_str(), &how, sizeof how)));
    while (!fd && errno == EAGAIN);
    if (!fd) return {errno, {}};
    char target[8192];
    const std::string link = "/proc/self/fd/" + std::to_string(fd.get());
    const ssize_t bytes = ::readlink(link.c_str(), target, sizeof target);
    if (bytes < 0) throw_errno("readlink", link);
    const std::string full(target, static_cast<std::size_t>(bytes));
    return {0, full == root ? "" : full.substr(root.size() + 1)};
}

TEST(TreeProperties, ResolveAgreesWithTheKernel) {
    TreeGenerator generator(testing::seed_for_test(38),
                            {.entries = 60, .max_depth = 4, .max_content = 5});
    int found = 0, dangling = 0;
    for (int round = 0; round < 15; ++round) {
        const TempDir dir;
        Model model = generator.tree();
        // Links that lead somewhere: to random paths of the tree, absolute, relative and with "..".
        std::vector<std::string> paths;
        for (const auto& [path, item] : model)
            paths.push_back(path);
        for (int link = 0; link < 25; ++link) {
            const std::string& target = paths[generator.below(paths.size())];
            const std::string at = "ln" + std::to_string(link);
            static const char* const kPrefix[] = {"/", "./", "../", "a/../", "ln3/", "/ln7/../"};
            Item item;
            item.spec.type = FileType::Symlink;
            item.spec.mode = 0777;
            item.spec.link_target = kPrefix[generator.below(6)] + target;
            model[at] = item;
            paths.push_back(at);
        }
        write_to_disk(model, dir.path());
        const Tree tree = tree_of(model);
        const UniqueFd root = open_file(dir.path(), O_PATH | O_DIRECTORY);
        for (int query = 0; query < 300; ++query) {
            std::string path = paths[generator.below(paths.size())];
            if (generator.below(3) == 0) path += "/../" + paths[generator.below(paths.size())];
            if (generator.below(3) == 0) path += "/" + paths[generator.below(paths.size())];
            if (generator.below(5) == 0) path += "/new";
            if (path.size() > 4000) continue;
            // Trailing slashes are ours to ignore; the kernel wants a directory then.
            while (path.ends_with('/'))
                path.pop_back();
            const KernelAnswer kernel = kernel_resolve(root.get(), dir.path(), path);
            if (kernel.error == ELOOP || kernel.error == ENAMETOOLONG) continue;  // its own limits
            std::string resolved;
            const NodeId node = tree.resolve(path, &resolved);
            if (kernel.error == 0) {
                ASSERT_NE(node, kNoNode) << path;
                ASSERT_EQ(tree.path(node), kernel.path) << path;
                ASSERT_EQ(resolved, kernel.path);
                ++found;
                continue;
            }
            ASSERT_EQ(node, kNoNode) << path << ": kernel says " << kernel.error;
            if (resolved.empty()) continue;
            // The place where the missing last component would be: creating it there makes the
            // whole path lead to it.
            const UniqueFd made(
                ::openat(root.get(), resolved.c_str(), O_CREAT | O_EXCL | O_CLOEXEC, 0600));
            ASSERT_TRUE(made) << resolved;
            ASSERT_EQ(kernel_resolve(root.get(), dir.path(), path).path, resolved) << path;
            ASSERT_EQ(::unlinkat(root.get(), resolved.c_str(), 0), 0);
            ++dangling;
        }
    }
    EXPECT_GT(found, 100);
    EXPECT_GT(dangling, 20);
}

}  // namespace
}  // namespace shale::snapshot
