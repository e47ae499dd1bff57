// write_layer: the blob is an ordinary layer, the same on any number of threads, and turns the tree
// before into the tree after.
#include "trees.hpp"

namespace shale::layer {
namespace {

using namespace testing;

snapshot::Tree empty_tree() {
    return snapshot::TreeBuilder().finish();
}

std::string listing(const std::string& tar_bytes) {
    tar::Reader reader(source_of(tar_bytes), "layer");
    std::string out;
    while (const auto member = reader.next()) {
        out += member->path;
        if (member->type == tar::MemberType::Directory) out += "/";
        if (!member->link_target.empty()) out += " -> " + member->link_target;
        out += "\n";
    }
    return out;
}

TEST(WriteLayer, BlobIsAPlainTarWithTheStatedDigests) {
    Contents contents;
    snapshot::TreeBuilder builder;
    builder.put("etc/passwd", file_spec(contents, "root:x:0:0\n"));
    builder.put("bin", link_spec("usr/bin"));
    const auto after = builder.finish();
    const auto layer = write(empty_tree(), after, contents);
    const auto tar_bytes = plain_tar(layer.blob);
    EXPECT_EQ(codec::sha256(layer.blob), layer.written.blob);
    EXPECT_EQ(layer.blob.size(), layer.written.blob_bytes);
    EXPECT_EQ(codec::sha256(tar_bytes), layer.written.diff_id);
    EXPECT_EQ(tar_bytes.size(), layer.written.toc.tar_bytes);
    EXPECT_EQ(tar_bytes.substr(tar_bytes.size() - 1024), std::string(1024, '\0'));
    EXPECT_EQ(listing(tar_bytes), "bin -> usr/bin\netc/\netc/passwd\n");
}

TEST(WriteLayer, EmptyChangeListIsAnEmptyArchive) {
    Contents contents;
    const auto tree = empty_tree();
    const auto layer = write(tree, tree, contents);
    EXPECT_EQ(plain_tar(layer.blob), std::string(1024, '\0'));
    EXPECT_TRUE(layer.written.toc.entries.empty());
}

TEST(WriteLayer, LawApplyingTheDifferenceGivesAfter) {
    for (unsigned seed = 0; seed < 150; ++seed) {
        Contents contents;
        TreeGenerator generator(seed, contents, {.devices = true});
        snapshot::TreeBuilder first;
        generator.fill(first, 40);
        const auto before = first.finish();
        snapshot::TreeBuilder second(before);
        generator.edit(second, 15);
        const auto after = second.finish();
        WriteOptions options;
        options.frame_bytes = 4096;
        const auto layer = write(before, after, contents, options);
        const auto merged = merge(before, layer.written.toc);
        ASSERT_EQ(describe(merged), describe(after)) << "seed " << seed;
        ASSERT_EQ(merged.digest(), after.digest()) << "seed " << seed;
    }
}

}  // namespace
}  // namespace shale::layer
