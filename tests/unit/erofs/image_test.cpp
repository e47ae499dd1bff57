// What an image is without asking the kernel: refusals, sizes, and the format's own checker.
#include "../../support/tree_generator.hpp"

#include <shale/codec.hpp>
#include <shale/erofs.hpp>

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

namespace shale::erofs {
namespace {

using snapshot::EntrySpec;
using snapshot::TreeBuilder;

EntrySpec file_of(std::uint64_t size) {
    EntrySpec spec;
    spec.type = FileType::Regular;
    spec.size = size;
    spec.content = codec::sha256(std::to_string(size));
    return spec;
}

snapshot::Tree tree_with(const std::string& path, const EntrySpec& spec) {
    TreeBuilder builder;
    builder.put(path, spec);
    return builder.finish();
}

// Empty if it was written.
std::string refusal(const snapshot::Tree& tree) {
    try {
        image_of(tree, "");
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::Unsupported);
        return error.what();
    }
    return {};
}

TEST(ErofsImage, EqualTreesGiveEqualBytes) {
    testing::TreeGenerator generator(testing::seed_for_test(5), {});
    const auto model = generator.tree();
    const auto image = image_of(testing::tree_of(model), "");
    EXPECT_EQ(image.size() % 4096, 0u);
    EXPECT_EQ(image, image_of(testing::tree_of(model), ""));
}

TEST(ErofsImage, NamesOfContentsBeginWithThePrefix) {
    const auto file = file_of(1);
    const auto image = image_of(tree_with("f", file), "prefix-");
    EXPECT_NE(image.find("/prefix-" + file.content.hex()), std::string::npos);
    EXPECT_EQ(image.find("/" + file.content.hex()), std::string::npos);
}

TEST(ErofsImage, AFileCostsTheSameWhateverItsSize) {
    const auto small = image_of(tree_with("f", file_of(1)), "");
    EXPECT_EQ(small.size(), image_of(tree_with("f", file_of(1ull << 40)), "").size());
}

TEST(ErofsImage, WhatItCannotShowIsRefusedByName) {
    EntrySpec device;
    device.type = FileType::CharDevice;
    EXPECT_NE(refusal(tree_with("dev/hole", device)).find("/dev/hole: device 0:0"),
              std::string::npos);
    device.device_major = 0x1000;
    EXPECT_NE(refusal(tree_with("d", device)).find("device numbers"), std::string::npos);
    device.device_major = 0xfff;
    device.device_minor = 0xfffff;
    EXPECT_EQ(refusal(tree_with("d", device)), "");

    auto file = file_of(3);
    file.xattrs = {{"system.nfs4_acl", "x"}};
    EXPECT_NE(refusal(tree_with("f", file)).find("/f: attribute 'system.nfs4_acl'"),
              std::string::npos);
    file.xattrs = {{"user.large", std::string(65536, 'x')}};
    EXPECT_NE(refusal(tree_with("f", file)).find("65536 bytes"), std::string::npos);
    file.xattrs = {{"user.large", std::string(65535, 'x')}};
    EXPECT_EQ(refusal(tree_with("f", file)), "");
    file.xattrs = {{"trusted.overlay." + std::string(239, 'n'), "x"}};  // 8 more when escaped
    EXPECT_NE(refusal(tree_with("f", file)).find("too long"), std::string::npos);
    file.xattrs.clear();
    for (char letter = 'a'; letter <= 'e'; ++letter)
        file.xattrs.push_back({std::string("user.") + letter, std::string(65000, letter)});
    EXPECT_NE(refusal(tree_with("f", file)).find("more attributes"), std::string::npos);
}

TEST(ErofsImage, TheFormatsCheckerAgrees) {
    if (std::system("command -v fsck.erofs >/dev/null") != 0)
        GTEST_SKIP() << "needs fsck.erofs (Debian: erofs-utils)";
    const TempDir top;
    const auto path = join_path(top.path(), "image");
    testing::Shape shape;
    shape.entries = 600;
    const auto seed = testing::seed_for_test(77);
    for (std::uint64_t round = 0; round < 5; ++round) {
        testing::TreeGenerator generator(seed + round, shape);
        std::ofstream(path, std::ios::binary) << image_of(testing::tree_of(generator.tree()), "");
        EXPECT_EQ(std::system(("fsck.erofs " + path + " >/dev/null").c_str()), 0);
    }
}

}  // namespace
}  // namespace shale::erofs
