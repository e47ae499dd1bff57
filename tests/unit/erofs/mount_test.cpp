// Images against the kernel: mounted with their contents behind them, as overlayfs puts the two
// together, they must scan as the tree they were written from. Needs root and Linux 6.16.
#include "../../support/changes.hpp"
#include "../../support/tree_generator.hpp"

#include <shale/codec.hpp>
#include <shale/diff.hpp>
#include <shale/erofs.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <fstream>

namespace shale::erofs {
namespace {

using snapshot::EntrySpec;

constexpr const char* kPrefix = "of-this-test-";

struct ErofsMount : ::testing::Test {
    TempDir top;
    std::string contents, target;
    bool mounted = false;

    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root";
        contents = top.path() + "/contents";
        target = top.path() + "/mnt";
        make_directories(contents);
        make_directories(target);
    }
    void TearDown() override { unmount(); }

    void unmount() {
        if (mounted) ::umount2(target.c_str(), MNT_DETACH);
        mounted = false;
    }

    UniqueFd image_mount(const snapshot::Tree& tree) {
        const auto image = anonymous_file(top.path());
        write_all(image.get(), as_bytes(image_of(tree, kPrefix)), "image");
        return mount_detached(image.get());
    }

    // The image of the model over its contents, at `target`.
    void show(const testing::Model& model) {
        for (const auto& [path, item] : model)
            if (item.spec.type == FileType::Regular)
                std::ofstream(contents + "/" + content_name(item.spec.content, kPrefix))
                    << item.content;
        const auto image = image_mount(testing::tree_of(model));
        const auto options = "lowerdir=/proc/self/fd/" + std::to_string(image.get()) +
                             "::" + contents + ",redirect_dir=nofollow,metacopy=off";
        unmount();
        ASSERT_EQ(::mount("overlay", target.c_str(), "overlay", MS_RDONLY, options.c_str()), 0)
            << std::strerror(errno);
        mounted = true;
    }

    void expect_shown(const testing::Model& model) {
        show(model);
        const auto tree = testing::tree_of(model);
        snapshot::ScanOptions options;
        options.walk.read_xattrs = true;
        const auto seen = snapshot::scan(target, options);
        EXPECT_EQ(seen.digest(), tree.digest()) << testing::changes_between(tree, seen);
    }
};

testing::Item file(const std::string& content) {
    testing::Item item;
    item.content = content;
    item.spec.type = FileType::Regular;
    item.spec.size = content.size();
    item.spec.content = codec::sha256(content);
    return item;
}

testing::Item link_to(const std::string& target) {
    testing::Item item;
    item.spec.type = FileType::Symlink;
    item.spec.mode = 0777;
    item.spec.link_target = target;
    return item;
}

TEST_F(ErofsMount, GeneratedTreesScanAsThemselves) {
    testing::Shape shape;
    shape.needs_root = true;
    shape.entries = 300;
    const auto seed = testing::seed_for_test(404);
    for (std::uint64_t round = 0; round < 6; ++round)
        expect_shown(testing::TreeGenerator(seed + round, shape).tree());
}

TEST_F(ErofsMount, NothingAtAll) {
    expect_shown({{"", {}}});
}

TEST_F(ErofsMount, DirectoriesOfEverySizeAroundABlock) {
    testing::Model model{{"", {}}};
    for (int count = 0; count < 280; count += 3) {  // 15 bytes an entry: up to 4200
        const auto directory = "d" + std::to_string(count);
        model[directory] = {};
        for (int i = 0; i < count; ++i)
            model[directory + "/" + std::to_string(100 + i)] = link_to("x");
    }
    expect_shown(model);
}

TEST_F(ErofsMount, NamesOnBothSidesOfTheDots) {
    testing::Model model{{"", {}}};
    for (const char* name : {"!", "-", "..a", "...", ".a", "\x01", "a", "\xff", "+."})
        model[name] = file(name);
    expect_shown(model);
}

TEST_F(ErofsMount, ALargeDirectoryOfLongNames) {
    testing::Model model{{"", {}}};
    for (int i = 0; i < 3000; ++i)
        model[std::to_string(i) + std::string(static_cast<std::size_t>(i % 250), 'n')] =
            file(std::to_string(i % 7));
    expect_shown(model);
}

TEST_F(ErofsMount, LinkTargetsUpToTheLongest) {
    testing::Model model{{"", {}}};
    for (const std::size_t bytes : {1u, 59u, 60u, 3000u, 4031u, 4032u, 4033u, 4095u})
        model["l" + std::to_string(bytes)] = link_to(std::string(bytes, 't'));
    expect_shown(model);
}

TEST_F(ErofsMount, AttributesOwnAndShared) {
    testing::Model model{{"", {}}};
    for (int i = 0; i < 300; ++i) {
        auto item = file(std::to_string(i));
        item.spec.xattrs = {{"security.capability", std::string("\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0"
                                                                "\0\0\0\0",
                                                                20)},
                            {"trusted.number", std::to_string(i)},
                            {"user.large", std::string(static_cast<std::size_t>(i) * 100, 'v')}};
        model["f" + std::to_string(i)] = item;
    }
    expect_shown(model);
}

TEST_F(ErofsMount, AttributesOfOverlayfsAreShownAndNotObeyed) {
    const auto secret = file("bytes that this image must not reach");
    std::ofstream(contents + "/" + content_name(secret.spec.content, kPrefix)) << secret.content;
    auto item = file("own");
    item.spec.xattrs = {
        {"trusted.overlay.opaque", "y"},
        {"trusted.overlay.redirect", "/" + content_name(secret.spec.content, kPrefix)}};
    show({{"", {}}, {"f", item}});
    EXPECT_EQ(read_file(target + "/f"), "own");
    char value[80];
    EXPECT_EQ(::getxattr((target + "/f").c_str(), "trusted.overlay.opaque", value, sizeof value),
              1);
}

TEST_F(ErofsMount, WhatHasNoNameIsStillMounted) {
    const auto mount = image_mount(testing::tree_of({{"", {}}, {"f", file("12345")}}));
    struct stat status {};
    ASSERT_EQ(::fstatat(mount.get(), "f", &status, 0), 0);
    EXPECT_EQ(status.st_size, 5);
}

TEST_F(ErofsMount, GarbageIsNotMounted) {
    const auto image = anonymous_file(top.path());
    write_all(image.get(), as_bytes(std::string(8192, 'g')), "image");
    EXPECT_THROW(mount_detached(image.get()), Error);
}

}  // namespace
}  // namespace shale::erofs
