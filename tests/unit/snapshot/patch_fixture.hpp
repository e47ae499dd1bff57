// What the tests of trees that share with others have in common: sharing from two nodes on, a small
// tree to edit, and a comparison of everything that can be asked of two trees.
#pragma once

#include <shale/codec.hpp>
#include <shale/snapshot.hpp>
#include <shale/snapshot_file.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace shale::snapshot {

class PatchTest : public ::testing::Test {
  protected:
    PatchTest() { set_least_shared(2); }
    ~PatchTest() override { set_least_shared(kLeastShared); }
};

inline EntrySpec file_of(std::uint64_t size, const std::string& content) {
    EntrySpec spec;
    spec.type = FileType::Regular;
    spec.mode = 0644;
    spec.size = size;
    spec.content = codec::sha256(content);
    return spec;
}

// d0/f0 ... d9/f9, and whatever `more` puts.
inline Tree ten_by_ten(const std::function<void(TreeBuilder&)>& more = {}) {
    TreeBuilder builder;
    for (int d = 0; d < 10; ++d)
        for (int f = 0; f < 10; ++f)
            builder.put("d" + std::to_string(d) + "/f" + std::to_string(f),
                        file_of(1, std::to_string(d) + std::to_string(f)));
    if (more) more(builder);
    return builder.finish();
}

inline Tree copy_of(const Tree& tree) {
    return Tree::parse(as_bytes(tree.serialise()));
}

// Everything that can be asked of a tree, asked of both.
inline void expect_same(const Tree& tree, const Tree& copy) {
    ASSERT_EQ(tree.size(), copy.size());
    ASSERT_EQ(tree.digest(), copy.digest());
    for (NodeId node = 0; node < tree.size(); ++node) {
        ASSERT_EQ(tree.name(node), copy.name(node)) << node;
        ASSERT_EQ(tree.path(node), copy.path(node)) << node;
        ASSERT_EQ(tree.parent(node), copy.parent(node)) << node;
        ASSERT_EQ(tree.end(node), copy.end(node)) << node;
        ASSERT_EQ(tree.first_child(node), copy.first_child(node)) << node;
        ASSERT_EQ(tree.next_sibling(node), copy.next_sibling(node)) << node;
        ASSERT_EQ(tree.digest(node), copy.digest(node)) << node;
        ASSERT_EQ(tree.find(tree.path(node)), node);
        ASSERT_EQ(tree.child(node, "no such name"), kNoNode);
        ASSERT_EQ(tree.entry(node).spec(), copy.entry(node).spec()) << tree.path(node);
    }
    for (const bool owner : {false, true})
        for (NodeId node = 0; node < tree.size(); node += 3)
            ASSERT_EQ(tree.key_digest(node, {owner, true}), copy.key_digest(node, {owner, true}));
    ASSERT_NO_THROW(tree.verify_digests());
    if (const auto base = base_tree_of(tree)) {
        const std::string patch = serialise_patch(tree);
        ASSERT_EQ(serialise_patch(parse_patch(as_bytes(patch), *base)), patch);
    }
    ASSERT_EQ(tree.serialise(), copy.serialise());
}

}  // namespace shale::snapshot
