#include "image_lookup.hpp"

#include <shale/codec.hpp>

#include <gmock/gmock.h>
#include <unistd.h>

namespace shale::cli {
namespace {

using testing::HasSubstr;

std::string error_of(const std::function<void()>& body) {
    try {
        body();
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

class ImageLookup : public testing::Test {
  protected:
    // An image whose single layer is not in the store.
    oci::Descriptor put(const std::string& author) {
        oci::ImageConfig config;
        config.platform = oci::Platform::host();
        config.config.labels["author"] = author;
        config.diff_ids = {codec::sha256("tar")};
        oci::Manifest manifest;
        manifest.config = put_document(oci::encode(config), oci::media::kConfig);
        manifest.layers = {
            {std::string(oci::media::kLayerGzip), codec::sha256("layer"), 5, {}, {}}};
        id_ = manifest.config.digest.hex();
        return put_document(oci::encode(manifest), oci::media::kManifest);
    }
    oci::Descriptor put_document(const std::string& json, std::string_view media_type) {
        return {std::string(media_type), store().put_blob(as_bytes(json)), json.size(), {}, {}};
    }
    store::Store& store() { return workspace_.store(); }
    static Globals globals(const std::string& root) {
        Globals globals;
        globals.root = root;
        return globals;
    }

    TempDir directory_;
    Workspace workspace_{globals(directory_.path() + "/store")};
    std::string id_;  // of the image put last
};

TEST_F(ImageLookup, FindsAnUnnamedImageByItsId) {
    store().keep(put("a"));
    const auto image = find_image(store(), id_.substr(0, 12));
    ASSERT_TRUE(image);
    EXPECT_FALSE(image->name);
    EXPECT_EQ(shown_name(*image), id_.substr(0, 12));
    EXPECT_TRUE(find_image(store(), "sha256:" + id_));
}

// An index of two images, the second for this machine.
class IndexLookup : public ImageLookup {
  protected:
    IndexLookup() {
        oci::Index index;
        for (const char* architecture : {"s390x", "host"}) {
            auto descriptor = put(architecture);
            descriptor.platform = oci::Platform::host();
            if (architecture != std::string("host"))
                descriptor.platform->architecture = architecture;
            ids_.push_back(id_);
            index.manifests.push_back(descriptor);
        }
        oci::Descriptor attestation = put("attestation");
        attestation.platform = oci::Platform{"unknown", "unknown", {}};
        attestation.annotations["vnd.docker.reference.type"] = "attestation-manifest";
        index.manifests.push_back(attestation);
        index_ = put_document(oci::encode(index), oci::media::kIndex);
        store().tag(oci::Reference::parse("multi:1"), index_);
    }
    oci::Descriptor index_;
    std::vector<std::string> ids_;
};

TEST_F(IndexLookup, TakesThisMachinesImageUnlessTold) {
    const auto image = find_image(store(), "multi:1");
    ASSERT_TRUE(image);
    EXPECT_EQ(image->manifest.config.digest.hex(), ids_[1]);
    EXPECT_EQ(image->platforms.size(), 2u);
    EXPECT_EQ(image->named().digest, index_.digest);
    EXPECT_NE(image->descriptor.digest, index_.digest);
    const auto other = load_image(store(), std::nullopt, index_, oci::Platform::parse("s390x"));
    EXPECT_EQ(other.manifest.config.digest.hex(), ids_[0]);
}

TEST_F(IndexLookup, NamesThePlatformsThereAre) {
    const auto error =
        error_of([&] { find_image(store(), "multi:1", oci::Platform::parse("riscv64")); });
    EXPECT_THAT(error, HasSubstr("multi:1 has no image for linux/riscv64; --platform chooses one "
                                 "of linux/s390x, " +
                                 oci::Platform::host().str()));
}

TEST_F(IndexLookup, IsFoundByEveryDigestButTheAttestations) {
    EXPECT_EQ(images_with_id(store(), index_.digest.str()).size(), 2u);
    EXPECT_EQ(find_image(store(), index_.digest.hex())->manifest.config.digest.hex(), ids_[1]);
    EXPECT_EQ(find_image(store(), ids_[0])->manifest.config.digest.hex(), ids_[0]);
    EXPECT_FALSE(find_image(store(), id_.substr(0, 12)));
    EXPECT_EQ(images_of(store(), std::nullopt, index_).size(), 2u);
}

TEST_F(IndexLookup, ListsOnlyWhatTheStoreHas) {
    ASSERT_EQ(::unlink(store().blob_path(find_image(store(), ids_[0])->descriptor.digest).c_str()),
              0);
    const auto images = images_of(store(), std::nullopt, index_);
    ASSERT_EQ(images.size(), 1u);
    EXPECT_EQ(images.front().manifest.config.digest.hex(), ids_[1]);
}

TEST_F(ImageLookup, AnImageForAnotherPlatformIsNotTheOneAskedFor) {
    store().tag(oci::Reference::parse("one:1"), put("a"));
    EXPECT_TRUE(find_image(store(), "one:1", oci::Platform::host()));
    const auto error =
        error_of([&] { find_image(store(), "one:1", oci::Platform::parse("s390x")); });
    EXPECT_THAT(error, HasSubstr("one:1 in the store is for " + oci::Platform::host().str() +
                                 ", not for linux/s390x"));
}

TEST_F(ImageLookup, ABrokenImageHidesNoOther) {
    const auto broken = put("broken");
    store().tag(oci::Reference::parse("a-broken:1"), broken);
    store().tag(oci::Reference::parse("good:1"), put("good"));
    ASSERT_EQ(::unlink(store().blob_path(broken.digest).c_str()), 0);
    const auto image = find_image(store(), id_.substr(0, 12));
    ASSERT_TRUE(image);
    EXPECT_EQ(image->name->familiar(), "good:1");
}

TEST_F(ImageLookup, WhatIsFoundByIdIsNotPulled) {
    store().keep(put("a"));
    const auto text = error_of([&] { obtain_image(workspace_, id_.substr(0, 12)); });
    EXPECT_THAT(text, HasSubstr(id_.substr(0, 12) + " lacks layers"));
    EXPECT_THAT(text, HasSubstr("build it again"));
    store().tag(oci::Reference::parse("app:1"), put("a"));
    EXPECT_THAT(error_of([&] { obtain_image(workspace_, id_); }), HasSubstr("`shale pull app:1`"));
}

TEST_F(ImageLookup, OneImageUnderTwoNamesIsNotAmbiguous) {
    const auto image = put("a");
    store().tag(oci::Reference::parse("a:1"), image);
    store().tag(oci::Reference::parse("b:1"), image);
    EXPECT_EQ(images_with_id(store(), id_).size(), 2u);
    EXPECT_EQ(find_image(store(), id_)->name->familiar(), "a:1");
    EXPECT_TRUE(images_with_id(store(), id_.substr(0, 3)).empty()) << "too few digits";
}

TEST_F(ImageLookup, SizesAreToldWithoutReadingLayers) {
    store().tag(oci::Reference::parse("a:1"), put("a"));
    const auto image = *find_image(store(), "a:1");
    EXPECT_FALSE(unpacked_bytes(store(), image));
    auto noted = image;
    noted.descriptor.annotations[std::string(build::kAnnotationUnpackedBytes)] = "7";
    EXPECT_EQ(unpacked_bytes(store(), noted), 7u);
}

}  // namespace
}  // namespace shale::cli
