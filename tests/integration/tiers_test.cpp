// Both ways of showing a tree, FUSE alone and a metadata image over contents by digest, against the
// kernel: each must be the tree, take an upper layer, survive what users do to mounts, and ask us
// no more often than it has to.
#include "../support/changes.hpp"
#include "mount_fixture.hpp"
#include "tree_generator.hpp"

#include <shale/erofs.hpp>
#include <shale/fuse.hpp>
#include <shale/sandbox.hpp>
#include <shale/store.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

namespace shale::fuse {
namespace {

enum class Tier { Fuse, Image };

// A view at a directory, in one of the two ways, for reading or with an upper.
class Shown {
  public:
    Shown(Tier tier, std::shared_ptr<mount::View> view, const std::string& top,
          const std::string& target, bool writable = false) {
        sandbox::OverlayLayers layers;
        if (tier == Tier::Image) {
            image_ = std::make_unique<ImageLayers>(view, view->tree(), top);
            layers.lowers = {image_->lower()};
            layers.data = image_->data();
        } else {
            Options options;
            options.allow_set_id_and_devices = true;
            layers.lowers = {writable ? top + "/lower" : target};
            make_directories(layers.lowers.front());
            plain_ = std::make_unique<Mounted>(view, layers.lowers.front(), options);
        }
        if (writable) {
            layers.upper = top + "/upper";
            layers.work = top + "/work";
            for (const auto& path : {layers.upper, layers.work}) {
                remove_tree(path);
                make_directories(path);
            }
        }
        if (writable || image_) overlay_.emplace(layers, target);
        if (image_) image_->release();
    }
    void wait() { image_ ? image_->wait() : plain_->wait(); }
    Mounted::Stats stats() const { return image_ ? image_->stats() : plain_->stats(); }
    void unmount_overlay() { overlay_->unmount(); }
    void forget() {
        if (overlay_) overlay_->forget();
    }

  private:
    std::unique_ptr<Mounted> plain_;
    std::unique_ptr<ImageLayers> image_;
    std::optional<sandbox::OverlayMount> overlay_;
};

struct TiersTest : testing::MountTest, ::testing::WithParamInterface<Tier> {
    Shown show(std::shared_ptr<mount::View> view, bool writable = false) {
        return {GetParam(), std::move(view), top.path(), target, writable};
    }
    int shell(const std::string& script) const {
        return std::system(
            ("cd " + target + " && { " + script + "; } >" + top.path() + "/out 2>&1").c_str());
    }
    std::string output() const { return read_file(top.path() + "/out"); }
    // Files of a few bytes in `directories` directories, five in each.
    void make_small_files(int directories) const {
        for (int i = 0; i < directories; ++i) {
            const auto directory = disk + "/d" + std::to_string(i);
            make_directories(directory);
            for (int k = 0; k < 5; ++k)
                std::ofstream(directory + "/f" + std::to_string(k)) << i << " " << k;
        }
    }
};

INSTANTIATE_TEST_SUITE_P(Tiers, TiersTest, ::testing::Values(Tier::Fuse, Tier::Image),
                         [](const auto& tier) {
                             return tier.param == Tier::Fuse ? "Fuse" : "Image";
                         });

TEST_P(TiersTest, ATreeScansAsItself) {
    testing::Shape shape;
    shape.needs_root = true;
    shape.entries = 400;
    const auto seed = testing::seed_for_test(20261);
    for (std::uint64_t round = 0; round < 3; ++round) {
        remove_tree(disk);
        make_directories(disk);
        testing::TreeGenerator generator(seed + round, shape);
        testing::write_to_disk(generator.tree(), disk);
        const auto view = view_of_disk();
        const auto shown = show(view);
        const auto seen = snapshot::scan(target);
        EXPECT_EQ(seen.digest(), view->tree().digest())
            << testing::changes_between(view->tree(), seen);
    }
}

TEST_P(TiersTest, ManyReadersSeeTheSameBytes) {
    std::string text;
    for (int i = 0; text.size() < (8u << 20); ++i)
        text += std::to_string(i * 7919) + "\n";
    std::ofstream(disk + "/large") << text;
    const auto shown = show(view_of_disk());
    std::vector<std::jthread> threads;
    std::atomic<int> equal{0};
    for (int i = 0; i < 8; ++i)
        threads.emplace_back([&] { equal += read_file(target + "/large") == text ? 1 : 0; });
    threads.clear();
    EXPECT_EQ(equal, 8);
}

TEST_P(TiersTest, DamageIsAnInputOutputErrorOfThatFileOnly) {
    std::ofstream(disk + "/bad") << std::string(100'000, 'x') << "end";
    std::ofstream(disk + "/empty");
    const auto view = view_of_disk();
    {
        const UniqueFd fd = open_file(store->blob_path(blob), O_RDWR);
        const std::string noise(32, '\x5a');
        ASSERT_EQ(::pwrite(fd.get(), noise.data(), noise.size(), 40), 32);
    }
    const auto shown = show(view);
    const UniqueFd fd = open_file(target + "/bad", O_RDONLY);
    char buffer[16];
    EXPECT_EQ(::read(fd.get(), buffer, sizeof buffer), -1);
    EXPECT_EQ(errno, EIO);
    EXPECT_EQ(read_file(target + "/empty"), "");
}

TEST_P(TiersTest, UnmountingFromOutsideEndsTheWait) {
    std::ofstream(disk + "/f") << "x";
    auto shown = show(view_of_disk());
    std::jthread waiter([&] { shown.wait(); });
    ASSERT_EQ(::umount2(target.c_str(), 0), 0);
    waiter.join();
    shown.forget();
    EXPECT_FALSE(path_exists(target + "/f"));
}

TEST_P(TiersTest, ABusyMountIsStillTakenDown) {
    std::ofstream(disk + "/f") << "x";
    UniqueFd open;
    {
        const auto shown = show(view_of_disk());
        open = open_file(target + "/f", O_RDONLY);
    }
    EXPECT_FALSE(path_exists(target + "/f"));
}

TEST_P(TiersTest, SpaceIsReportedAsFull) {
    std::ofstream(disk + "/f") << "x";
    const auto shown = show(view_of_disk());
    struct statvfs status {};
    ASSERT_EQ(::statvfs(target.c_str(), &status), 0);
    EXPECT_EQ(status.f_bavail, 0u);
    EXPECT_TRUE(status.f_flag & ST_RDONLY);
}

// What users do to roots, done over each tier and over the directory itself: the upper layers must
// say the same.
constexpr const char* kChanges = R"(
    set -e
    chmod 600 one; chown 7:8 two; touch -d @1000 three; echo more >> four; : > five
    mv six seven; rm eight; ln nine link-of-nine; ln -s one symlink
    chown -R 9:9 dir; mv dir moved; rm -r gone; mkdir gone; echo new > gone/file
    cp -a ten eleven; setfattr -n user.new -v value twelve; chmod u+s suid
    echo x >> twin-a)";

TEST_P(TiersTest, AnUpperLayerHoldsWholeFilesWhateverIsBelow) {
    for (const char* name : {"one", "two", "three", "four", "five", "six", "eight", "nine", "ten",
                             "twelve", "suid", "twin-a"})
        std::ofstream(disk + "/" + name) << "content of " << name;
    ASSERT_EQ(::link((disk + "/twin-a").c_str(), (disk + "/twin-b").c_str()), 0);
    make_directories(disk + "/dir/a/b");
    make_directories(disk + "/gone/deep");
    std::ofstream(disk + "/dir/a/b/f") << std::string(300'000, 'd');
    std::ofstream(disk + "/gone/deep/f") << "x";
    const auto view = view_of_disk();
    auto shown = show(view, true);
    ASSERT_EQ(shell(kChanges), 0) << output();
    EXPECT_EQ(read_file(target + "/moved/a/b/f"), std::string(300'000, 'd'));
    shown.unmount_overlay();
    const auto upper = snapshot::scan(top.path() + "/upper");
    for (snapshot::NodeId node = 0; node < upper.size(); ++node)
        for (const auto& xattr : upper.entry(node).xattrs) {
            EXPECT_NE(xattr.name, "trusted.overlay.metacopy") << upper.path(node);
            EXPECT_NE(xattr.name, "trusted.overlay.redirect") << upper.path(node);
        }
    const auto result = diff::merge_upper(view->tree(), top.path() + "/upper");

    ASSERT_EQ(::mount(disk.c_str(), target.c_str(), nullptr, MS_BIND, nullptr), 0);
    const auto code = shell(kChanges);
    ASSERT_EQ(::umount2(target.c_str(), 0), 0);
    ASSERT_EQ(code, 0) << output();
    // overlayfs without an index breaks a link that is written to; its names stay equal otherwise.
    ASSERT_EQ(std::system(("cd " + disk +
                           " && rm twin-b && printf 'content of twin-a' > twin-b && "
                           "touch -r one twin-b")
                              .c_str()),
              0);
    const auto expected = snapshot::scan(disk);
    for (const auto& change : diff::compare(expected, result)) {
        const auto path = change.path(result);
        const auto node = result.find(path);
        ASSERT_NE(node, snapshot::kNoNode) << path;
        auto seen = result.entry(node).spec();
        auto wanted = expected.entry(expected.find(path)).spec();
        seen.mtime_ns = wanted.mtime_ns = 0;  // when it was done
        seen.link_group = wanted.link_group = 0;
        EXPECT_EQ(seen, wanted) << path;
    }
}

TEST_P(TiersTest, ProgramsRunMapAndKeepTheirRights) {
    ASSERT_EQ(std::system(("cp /bin/sleep " + disk + "/sleep && cp /usr/bin/id " + disk +
                           "/id && chown 12345 " + disk + "/id && chmod 4755 " + disk + "/id")
                              .c_str()),
              0);
    const auto shown = show(view_of_disk(), true);
    EXPECT_EQ(shell("./sleep 0"), 0) << output();
    EXPECT_EQ(shell("./id -u"), 0);
    EXPECT_EQ(output(), "12345\n");
    EXPECT_EQ(shell("chmod 755 id && ./id -u && ./sleep 0"), 0);
    EXPECT_EQ(output(), "0\n");
}

TEST_P(TiersTest, DeepPathsAndLongNames) {
    std::string path = disk;
    while (path.size() < 3500) {
        path += "/" + std::string(200, 'd');
        make_directories(path);
    }
    std::ofstream(path + "/f") << "deep";
    const auto shown = show(view_of_disk(), true);
    const auto deep = target + path.substr(disk.size());
    EXPECT_EQ(read_file(deep + "/f"), "deep");
    std::ofstream(deep + "/f") << "changed";
    EXPECT_EQ(read_file(deep + "/f"), "changed");
}

TEST_P(TiersTest, NamesAreAskedForOnceOrNever) {
    constexpr int kDirectories = 40;
    make_small_files(kDirectories);
    const auto shown = show(view_of_disk());
    const auto start = shown.stats().requests;
    ASSERT_EQ(shell("ls -lR"), 0) << output();
    const auto first = shown.stats().requests - start;
    if (GetParam() == Tier::Image)
        EXPECT_EQ(first, 0u) << "the kernel knows all names";
    else
        EXPECT_LE(first, 3u * (kDirectories + 1));
    ASSERT_EQ(shell("ls -lR"), 0) << output();
    EXPECT_EQ(shown.stats().requests - start, first) << "nothing is asked twice";
}

TEST_P(TiersTest, ASecondOpenAsksForNothing) {
    make_small_files(10);
    const auto shown = show(view_of_disk());
    ASSERT_EQ(shell("cat d*/*"), 0) << output();
    EXPECT_LE(shown.stats().opens, 2u);  // one for files, one for directories
    const auto before = shown.stats().requests;
    ASSERT_EQ(shell("cat d*/*"), 0);
    EXPECT_EQ(shown.stats().requests, before);
}

TEST_P(TiersTest, TheFirstByteCostsOneFrame) {
    std::ofstream file(disk + "/large");
    std::mt19937_64 random(1);
    for (int i = 0; i < 4'000'000; ++i)
        file << static_cast<char>(random());
    file.close();
    const auto view = view_of_disk();
    const auto shown = show(view);
    const UniqueFd fd = open_file(target + "/large", O_RDONLY);
    ASSERT_EQ(::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_RANDOM), 0);
    char byte = 0;
    ASSERT_EQ(::read(fd.get(), &byte, 1), 1);
    EXPECT_EQ(view->contents().stats().frames_fetched, 1u);
}

// overlayfs looks for a content in all layers below the image first.
TEST_P(TiersTest, AFileNamedAsAContentIsNotTakenForIt) {
    if (GetParam() == Tier::Fuse) GTEST_SKIP() << "has no contents by digest";
    std::ofstream(disk + "/f") << "x";
    const auto view = view_of_disk();
    const auto content = view->tree().entry(view->tree().find("f")).content;
    sandbox::OverlayLayers layers;
    layers.upper = top.path() + "/upper";
    layers.work = top.path() + "/work";
    const auto below = top.path() + "/below";
    for (const auto& path : {layers.upper, layers.work, below})
        make_directories(path);
    std::ofstream(below + "/" + erofs::content_name(content, "")) << "y";
    ImageLayers image(view, view->tree(), top.path());
    layers.lowers = {image.lower(), below};
    layers.data = image.data();
    layers.notes = true;
    const sandbox::OverlayMount overlay(layers, target);
    EXPECT_EQ(read_file(target + "/f"), "x");
}

TEST_P(TiersTest, ContentsAreNeitherListedNorGuessed) {
    if (GetParam() == Tier::Fuse) GTEST_SKIP() << "has no contents by digest";
    std::ofstream(disk + "/f") << "x";
    Mounted contents(std::make_shared<mount::ContentView>(view_of_disk(), "p-"));
    const auto place = contents.release_mount();
    const auto path = "/proc/self/fd/" + std::to_string(place.get()) + "/";
    const auto good = erofs::content_name(
        Digest::parse("sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"),
        "");  // of "x"
    EXPECT_EQ(read_file(path + "p-" + good), "x");
    EXPECT_FALSE(path_exists(path + good));
    EXPECT_FALSE(path_exists(path + "p-" + std::string(64, '0')));
    EXPECT_FALSE(path_exists(path + "f"));
    const std::filesystem::directory_iterator listing(path);
    EXPECT_EQ(listing, std::filesystem::directory_iterator());
}

}  // namespace
}  // namespace shale::fuse
