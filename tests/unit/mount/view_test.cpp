#include <shale/mount.hpp>

#include <gtest/gtest.h>

#include <map>

namespace shale::mount {
namespace {

using snapshot::EntrySpec;
using snapshot::TreeBuilder;

// A store of one layer blob, in memory.
class MemoryBlobs final : public oci::BlobSource {
  public:
    std::uint64_t blob_size(const Digest& blob) override { return blobs.at(blob).size(); }
    void read_blob(const Digest& blob, std::uint64_t offset, MutableBytes out) override {
        ++reads;
        const auto& bytes = blobs.at(blob);
        if (offset + out.size() > bytes.size()) fail(ErrorKind::Corrupt, "blob ends early");
        std::copy_n(as_bytes(bytes).begin() + static_cast<std::ptrdiff_t>(offset), out.size(),
                    out.begin());
    }
    std::map<Digest, std::string> blobs;
    std::uint64_t reads = 0;
};

EntrySpec regular(const std::string& content) {
    EntrySpec spec;
    spec.type = FileType::Regular;
    spec.mode = 0644;
    spec.size = content.size();
    spec.content = codec::sha256(content);
    return spec;
}

struct Fixture : testing::Test {
    MemoryBlobs blobs;
    std::unique_ptr<View> view;
    std::map<Digest, std::string> contents;

    void file(TreeBuilder& builder, const std::string& path, const std::string& content,
              std::uint64_t group = 0) {
        auto spec = regular(content);
        spec.link_group = group;
        contents[spec.content] = content;
        builder.put(path, spec);
    }

    void show(TreeBuilder& builder) {
        auto tree = std::make_shared<snapshot::Tree>(builder.finish());
        const auto empty = TreeBuilder().finish();
        std::string blob;
        const layer::OpenContent open = [&](std::string_view, const snapshot::Entry& entry) {
            auto at = std::make_shared<std::size_t>(0);
            return [text = contents.at(entry.content), at](MutableBytes out) {
                const auto count = std::min(out.size(), text.size() - *at);
                std::copy_n(as_bytes(text).begin() + static_cast<std::ptrdiff_t>(*at), count,
                            out.begin());
                *at += count;
                return count;
            };
        };
        const auto written = layer::write_layer(diff::compare(empty, *tree), *tree, open, {},
                                                [&](Bytes bytes) { blob += as_text(bytes); });
        blobs.blobs[written.blob] = blob;
        layer::ContentIndex index;
        index.add(written.blob, written.toc);
        view = std::make_unique<View>(tree, index, blobs);
    }

    std::string read(std::string_view name, std::uint64_t offset, std::size_t size) {
        std::string out(size, '?');
        const auto found = view->lookup(kRootInode, name);
        out.resize(
            view->fetch(found.value().inode, offset, std::as_writable_bytes(std::span(out))));
        return out;
    }
};

TEST_F(Fixture, ReadsAnyRangeOfAFile) {
    TreeBuilder builder;
    std::string large;
    for (int i = 0; large.size() < 3'000'000; ++i)
        large += std::to_string(i) + "\n";
    file(builder, "large", large);
    show(builder);
    EXPECT_EQ(read("large", 0, 10), large.substr(0, 10));
    EXPECT_EQ(read("large", 1'048'570, 100'000), large.substr(1'048'570, 100'000));
    EXPECT_EQ(read("large", large.size() - 5, 100), large.substr(large.size() - 5));
    EXPECT_EQ(read("large", large.size() + 5, 100), "");
}

TEST_F(Fixture, TouchesOnlyTheFramesItNeeds) {
    TreeBuilder builder;
    file(builder, "a", std::string(4'000'000, 'a'));
    file(builder, "b", "small");
    show(builder);
    blobs.reads = 0;
    EXPECT_EQ(read("b", 0, 100), "small");
    EXPECT_EQ(blobs.reads, 1u);
    EXPECT_EQ(read("b", 1, 2), "ma");
    EXPECT_EQ(blobs.reads, 1u) << "a decompressed frame is kept";
}

TEST_F(Fixture, HardlinksAreOneInode) {
    TreeBuilder builder;
    file(builder, "first", "x", 7);
    file(builder, "second", "x", 7);
    file(builder, "third", "x");
    show(builder);
    const auto first = view->lookup(kRootInode, "first").value();
    const auto second = view->lookup(kRootInode, "second").value();
    EXPECT_EQ(first.inode, second.inode);
    EXPECT_EQ(first.nlink, 2u);
    EXPECT_NE(view->lookup(kRootInode, "third").value().inode, first.inode);
    EXPECT_EQ(view->lookup(kRootInode, "third").value().nlink, 1u);
}

TEST_F(Fixture, DirectoriesListInOrderAndCountTheirSubdirectories) {
    TreeBuilder builder;
    builder.put("d/x", EntrySpec{});
    builder.put("d/y", EntrySpec{});
    file(builder, "d/a", "a");
    show(builder);
    const auto d = view->lookup(kRootInode, "d").value();
    EXPECT_EQ(d.nlink, 4u);
    std::string names;
    auto position = view->first_child(d.inode);
    while (const auto entry = view->directory_entry(d.inode, position))
        names += entry->name;
    EXPECT_EQ(names, "axy");
    // A position comes from whoever lists: it may not lead into another directory.
    position = view->first_child(d.inode);
    EXPECT_FALSE(view->directory_entry(kRootInode, position));
    position = snapshot::kRoot;
    EXPECT_FALSE(view->directory_entry(kRootInode, position));
    EXPECT_EQ(view->parent(d.inode), kRootInode);
    EXPECT_EQ(view->parent(kRootInode), kRootInode);
}

TEST_F(Fixture, UnknownNumbersAndNamesAreAbsent) {
    TreeBuilder builder;
    file(builder, "f", "x");
    show(builder);
    EXPECT_FALSE(view->attributes(InodeId{0}));
    EXPECT_FALSE(view->attributes(InodeId{99}));
    EXPECT_FALSE(view->lookup(kRootInode, "g"));
    EXPECT_FALSE(view->lookup(view->lookup(kRootInode, "f")->inode, "g")) << "not a directory";
}

TEST_F(Fixture, ADamagedFrameIsAnErrorNeverZeros) {
    TreeBuilder builder;
    file(builder, "f", "precious");
    show(builder);
    auto& blob = blobs.blobs.begin()->second;
    blob[blob.size() > 40 ? 30 : 0] ^= 1;
    EXPECT_THROW(read("f", 0, 8), Error);
}

TEST_F(Fixture, OpenFileFollowsLinksInsideTheTree) {
    TreeBuilder builder;
    file(builder, "d/f", "content");
    EntrySpec link;
    link.type = FileType::Symlink;
    link.link_target = "/../d/f";
    builder.put("l", link);
    show(builder);
    const auto source = open_file(view->tree(), view->contents(), "l");
    std::string out(100, '\0');
    out.resize(source(std::as_writable_bytes(std::span(out))));
    EXPECT_EQ(out, "content");
    EXPECT_THROW(open_file(view->tree(), view->contents(), "d"), Error);
    EXPECT_THROW(open_file(view->tree(), view->contents(), "none"), Error);
}

}  // namespace
}  // namespace shale::mount
