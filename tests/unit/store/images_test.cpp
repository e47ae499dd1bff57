// Images: documents, platform selection, and merged trees against plain extraction.
#include "durable.hpp"
#include "store_fixture.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace shale::store::test {
namespace {

using tar::MemberType;

class ImageTest : public StoreTest {
  protected:
    // Three layers with everything that a merge must get right.
    const std::vector<std::string> tars_{
        make_tar({{"bin", "", MemberType::Directory},
                  {"bin/sh", "shell"},
                  {"bin/ash", "", MemberType::Hardlink, "bin/sh"},
                  {"etc", "", MemberType::Directory},
                  {"etc/motd", "hello"},
                  {"etc/skel", "", MemberType::Directory},
                  {"etc/skel/a", "a"},
                  {"lib", "", MemberType::Symlink, "usr/lib"},
                  {"var", "", MemberType::Directory},
                  {"var/old", "", MemberType::Directory},
                  {"var/old/x", "x"}}),
        make_tar({{"etc", "", MemberType::Directory},
                  {"etc/.wh.motd", ""},
                  {"etc/skel", "", MemberType::Directory},
                  {"etc/skel/.wh..wh..opq", ""},
                  {"etc/skel/b", "b"},
                  {"var", "", MemberType::Directory},
                  {"var/old", "now a file"}}),
        make_tar({{"bin", "", MemberType::Directory},
                  {"bin/sh", "another shell"},
                  {"etc", "", MemberType::Directory},
                  {"etc/motd", "back again"}}),
    };
};

// Everything of both trees but the root entry itself, whose metadata no layer states.
void expect_same_tree(const snapshot::Tree& found, const snapshot::Tree& wanted) {
    ASSERT_EQ(found.size(), wanted.size());
    for (snapshot::NodeId node = 1; node < found.size(); ++node) {
        ASSERT_EQ(found.path(node), wanted.path(node));
        EXPECT_EQ(found.entry(node).spec(), wanted.entry(node).spec()) << found.path(node);
    }
}

TEST_F(ImageTest, TheMergedTreeIsWhatExtractionGives) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to extract with owners";
    Store store(root());
    const TestImage image = put_image_of_tars(store, tars_);
    const ImageTree merged = store.image_tree(image.manifest, image.config);

    const TempDir extracted;
    for (const oci::Descriptor& layer : image.manifest.layers)
        layer::apply(layer::tar_stream(store.framed(), layer.digest, *store.toc(layer)), "layer",
                     extracted.path());
    expect_same_tree(*merged.tree, snapshot::scan(extracted.path()));

    // Nothing vacuous: the interesting paths are there, or gone.
    const auto has = [&](std::string_view path) {
        return merged.tree->find(path) != snapshot::kNoNode;
    };
    EXPECT_TRUE(has("bin/ash") && has("etc/motd") && has("etc/skel/b") && has("var/old"));
    EXPECT_FALSE(has("etc/skel/a") || has("var/old/x") || has("etc/.wh.motd"));
}

TEST_F(ImageTest, SourcesHoldEveryContentOfTheTree) {
    Store store(root());
    const TestImage image = put_image_of_tars(store, tars_);
    const ImageTree merged = store.image_tree(image.manifest, image.config);
    ASSERT_EQ(merged.sources.size(), 3u);
    for (std::size_t i = 0; i < 3; ++i)
        EXPECT_EQ(merged.sources[i], image.manifest.layers[i].digest);
    const auto index = store.content_index(merged.sources);
    for (snapshot::NodeId node = 0; node < merged.tree->size(); ++node) {
        const snapshot::Entry entry = merged.tree->entry(node);
        if (entry.type != FileType::Regular || entry.size == 0) continue;
        EXPECT_TRUE(index.find(entry.content)) << merged.tree->path(node);
    }
}

TEST_F(ImageTest, AKnownTreeIsToldWithoutReadingLayers) {
    Store store(root());
    const TestImage image = put_image_of_tars(store, tars_);
    EXPECT_EQ(store.known_tree(image.config), nullptr);
    EXPECT_TRUE(names_in(root() + "/frames").empty());
    const Digest digest = store.image_tree(image.manifest, image.config).tree->digest();
    const auto known = store.known_tree(image.config);
    ASSERT_NE(known, nullptr);
    EXPECT_EQ(known->digest(), digest);
    oci::ImageConfig longer = image.config;
    longer.diff_ids.push_back(codec::sha256("one more"));
    EXPECT_EQ(store.known_tree(longer), nullptr);
}

TEST_F(ImageTest, ATreeIsRememberedByItsChain) {
    Digest digest;
    TestImage image;
    {
        Store store(root());
        image = put_image_of_tars(store, tars_);
        digest = store.image_tree(image.manifest, image.config).tree->digest();
        EXPECT_TRUE(store.has_tree(digest));
    }
    // Had it been merged again, the twins would have come back.
    for (const std::string& hex : names_in(root() + "/frames"))
        std::filesystem::remove(root() + "/frames/" + hex);
    Store store(root());
    EXPECT_EQ(store.image_tree(image.manifest, image.config).tree->digest(), digest);
    EXPECT_EQ(names_in(root() + "/frames").size(), 0u);
}

TEST_F(ImageTest, ALostOrDamagedTreeIsMergedAgain) {
    Digest digest;
    TestImage image;
    {
        Store store(root());
        image = put_image_of_tars(store, tars_);
        digest = store.image_tree(image.manifest, image.config).tree->digest();
    }
    const std::string path = root() + "/trees/" + digest.hex();
    std::filesystem::remove(path);
    EXPECT_EQ(Store(root()).image_tree(image.manifest, image.config).tree->digest(), digest);
    std::filesystem::resize_file(path, 20);
    EXPECT_EQ(Store(root()).image_tree(image.manifest, image.config).tree->digest(), digest);
    EXPECT_EQ(Store(root()).tree(digest)->digest(), digest);
}

TEST_F(ImageTest, AnImageOnAKnownBaseMergesOnlyWhatIsNew) {
    Store store(root());
    const TestImage base = put_image_of_tars(store, {tars_[0], tars_[1]});
    const TestImage image = put_image_of_tars(store, tars_);
    const Digest wanted = store.image_tree(image.manifest, image.config).tree->digest();

    std::filesystem::remove(root() + "/trees/" + wanted.hex());
    store.image_tree(base.manifest, base.config);
    for (const std::string& hex : names_in(root() + "/frames"))
        if (hex != image.manifest.layers[2].digest.hex())
            std::filesystem::remove(root() + "/frames/" + hex);
    Store fresh(root());
    EXPECT_EQ(fresh.image_tree(image.manifest, image.config).tree->digest(), wanted);
    EXPECT_EQ(names_in(root() + "/frames").size(), 1u) << "the base's layers were not touched";
}

TEST_F(ImageTest, AnImageWithoutLayersIsAnEmptyRoot) {
    Store store(root());
    const TestImage image = put_image(store, {}, {});
    const ImageTree merged = store.image_tree(image.manifest, image.config);
    EXPECT_EQ(merged.tree->size(), 1u);
    EXPECT_TRUE(merged.sources.empty());
}

TEST_F(ImageTest, LayersAndDiffIdsMustMatchInNumber) {
    Store store(root());
    TestImage image = put_image_of_tars(store, tars_);
    image.config.diff_ids.pop_back();
    const std::string text =
        error_of(ErrorKind::Corrupt, [&] { store.image_tree(image.manifest, image.config); });
    EXPECT_NE(text.find("3 layers but 2 DiffIDs"), std::string::npos) << text;
    EXPECT_NE(text.find(image.manifest.config.digest.str()), std::string::npos) << text;
}

TEST_F(ImageTest, ABorrowedChainDoesNotLendItsTree) {
    Store store(root());
    const TestImage genuine = put_image_of_tars(store, tars_);
    store.image_tree(genuine.manifest, genuine.config);
    // The same DiffIDs, so the same chain, but over a layer that is something else.
    TestImage forged = genuine;
    forged.manifest.layers[1] = put_layer(store, make_tar({{"evil", "x"}}), oci::media::kLayerTar);
    const std::string text =
        error_of(ErrorKind::Corrupt, [&] { store.image_tree(forged.manifest, forged.config); });
    EXPECT_NE(text.find(forged.config.diff_ids[1].str()), std::string::npos) << text;
}

TEST_F(ImageTest, AMissingLayerIsNotFoundEvenIfTheTreeIsKnown) {
    Store store(root());
    const TestImage image = put_image_of_tars(store, tars_);
    store.image_tree(image.manifest, image.config);
    std::filesystem::remove(store.blob_path(image.manifest.layers[1].digest));
    Store fresh(root());
    const std::string text =
        error_of(ErrorKind::NotFound, [&] { fresh.image_tree(image.manifest, image.config); });
    EXPECT_NE(text.find(image.manifest.layers[1].digest.str()), std::string::npos) << text;
}

// ---------------------------------------------------------------------------------------------

TEST_F(ImageTest, ManifestAndConfigAreRead) {
    Store store(root());
    const TestImage image = put_image_of_tars(store, tars_);
    const oci::Manifest manifest = store.manifest(image.descriptor);
    ASSERT_EQ(manifest.layers.size(), 3u);
    EXPECT_EQ(manifest.layers[2].digest, image.manifest.layers[2].digest);
    EXPECT_EQ(store.config(manifest).diff_ids, image.config.diff_ids);
}

TEST_F(ImageTest, AnIndexIsFollowedToThePlatformsManifest) {
    Store store(root());
    const TestImage host = put_image_of_tars(store, tars_);
    const TestImage other = put_image(store, {}, {});
    oci::Index index;
    index.manifests = {other.descriptor, host.descriptor};
    index.manifests[0].platform = oci::Platform::parse("linux/s390x");
    index.manifests[1].platform = oci::Platform::host();
    auto descriptor = put_layer(store, oci::encode(index), oci::media::kIndex);
    EXPECT_EQ(store.manifest(descriptor).layers.size(), 3u);
    descriptor.platform = oci::Platform::parse("linux/s390x");
    EXPECT_EQ(store.manifest(descriptor).layers.size(), 0u);
    descriptor.platform = oci::Platform::parse("linux/riscv64");
    const std::string text = error_of(ErrorKind::NotFound, [&] { store.manifest(descriptor); });
    EXPECT_NE(text.find("riscv64"), std::string::npos) << text;
}

TEST_F(ImageTest, IndexesNestedWithoutEndAreCorrupt) {
    Store store(root());
    oci::Descriptor inner = put_image(store, {}, {}).descriptor;
    for (int depth = 0; depth < 6; ++depth) {
        oci::Index index;
        inner.platform = oci::Platform::host();
        index.manifests = {inner};
        inner = put_layer(store, oci::encode(index), oci::media::kIndex);
    }
    error_of(ErrorKind::Corrupt, [&] { store.manifest(inner); });
}

TEST_F(ImageTest, DocumentsThatAreNoneNameTheirDigest) {
    Store store(root());
    for (const char* text : {"", "{", "[]", "{\"schemaVersion\":2}", "\xff\xfe"}) {
        const auto descriptor = put_layer(store, text, oci::media::kManifest);
        const std::string message =
            error_of(ErrorKind::Corrupt, [&] { store.manifest(descriptor); });
        EXPECT_NE(message.find(descriptor.digest.str()), std::string::npos) << message;
    }
    oci::Manifest manifest;
    manifest.config = put_layer(store, "{\"rootfs\":7}", oci::media::kConfig);
    const std::string message = error_of(ErrorKind::Corrupt, [&] { store.config(manifest); });
    EXPECT_NE(message.find(manifest.config.digest.str()), std::string::npos) << message;
}

TEST_F(ImageTest, DocumentsBeyondTheLimitAreRefused) {
    Store store(root());
    const auto descriptor =
        put_layer(store, std::string(oci::kMaxManifestBytes + 1, ' '), oci::media::kManifest);
    error_of(ErrorKind::Invalid, [&] { store.manifest(descriptor); });
}

}  // namespace
}  // namespace shale::store::test
