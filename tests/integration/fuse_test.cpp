// The mount against the kernel: a generated tree, written as a layer and mounted, must scan back as
// the same tree; an overlay must work on top; damage must be an I/O error.
#include "mount_fixture.hpp"
#include "tree_generator.hpp"

#include <shale/fuse.hpp>
#include <shale/store.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

namespace shale::fuse {
namespace {

using FuseTest = testing::MountTest;

// With their attributes, which are asked for one by one.
std::vector<std::string> names_in(const std::string& directory) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory))
        if (std::filesystem::file_size(entry.path()) > 0) names.push_back(entry.path().filename());
    return names;
}

TEST_F(FuseTest, AMountedTreeScansAsItself) {
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
        Options options;
        options.allow_set_id_and_devices = true;
        const Mounted mounted(view, target, options);
        const auto seen = snapshot::scan(target);
        const auto changes = diff::compare(view->tree(), seen);
        EXPECT_TRUE(changes.empty()) << diff::to_text(changes, seen);
        EXPECT_EQ(seen.digest(), view->tree().digest());
    }
}

TEST_F(FuseTest, OpensAreAnsweredOnceForTheWholeMount) {
    for (int i = 0; i < 50; ++i)
        std::ofstream(disk + "/f" + std::to_string(i)) << i;
    const Mounted mounted(view_of_disk(), target);
    for (int i = 0; i < 50; ++i)
        EXPECT_EQ(read_file(target + "/f" + std::to_string(i)), std::to_string(i));
    EXPECT_LE(mounted.stats().opens, 2u);  // one for files, one for directories
    const auto before = mounted.stats().requests;
    for (int i = 0; i < 50; ++i)
        read_file(target + "/f" + std::to_string(i));
    EXPECT_EQ(mounted.stats().requests, before) << "what was read once stays in the page cache";
}

TEST_F(FuseTest, ManyReadersSeeTheSameBytes) {
    std::string text;
    for (int i = 0; text.size() < (8u << 20); ++i)
        text += std::to_string(i * 7919) + "\n";
    std::ofstream(disk + "/large") << text;
    const Mounted mounted(view_of_disk(), target);
    std::vector<std::jthread> threads;
    std::atomic<int> equal{0};
    for (int i = 0; i < 8; ++i)
        threads.emplace_back([&] { equal += read_file(target + "/large") == text ? 1 : 0; });
    threads.clear();
    EXPECT_EQ(equal, 8);
}

TEST_F(FuseTest, AnOverlayOnTopExecutesCopiesUpAndRenames) {
    if (!path_exists("/bin/busybox") && !path_exists("/usr/bin/busybox"))
        GTEST_SKIP() << "needs busybox";
    const std::string busybox = path_exists("/bin/busybox") ? "/bin/busybox" : "/usr/bin/busybox";
    ASSERT_EQ(std::system(("cp " + busybox + " " + disk + "/busybox && mkdir " + disk +
                           "/d && echo lower > " + disk + "/d/f")
                              .c_str()),
              0);
    Options options;
    options.allow_set_id_and_devices = true;
    const Mounted mounted(view_of_disk(), target, options);
    const auto upper = top.path() + "/upper", work = top.path() + "/work",
               root = top.path() + "/root";
    for (const auto& path : {upper, work, root})
        make_directories(path);
    const auto data = "lowerdir=" + target + ",upperdir=" + upper + ",workdir=" + work;
    ASSERT_EQ(::mount("overlay", root.c_str(), "overlay", 0, data.c_str()), 0)
        << std::strerror(errno);
    EXPECT_EQ(std::system((root + "/busybox echo works > " + top.path() + "/out").c_str()), 0);
    EXPECT_EQ(read_file(top.path() + "/out"), "works\n");
    EXPECT_EQ(std::system(("echo more >> " + root + "/d/f").c_str()), 0);
    EXPECT_EQ(read_file(root + "/d/f"), "lower\nmore\n");
    EXPECT_EQ(::rename((root + "/busybox").c_str(), (root + "/d/busybox").c_str()), 0);
    EXPECT_EQ(read_file(target + "/d/f"), "lower\n");
    ASSERT_EQ(::umount2(root.c_str(), 0), 0);
}

// Contents may come from a registry that takes minutes, or for ever.
TEST_F(FuseTest, ReadsThatWaitKeepNobodyElseWaiting) {
    constexpr int kFiles = 6;
    for (int i = 0; i < kFiles; ++i)
        std::ofstream(disk + "/f" + std::to_string(i)) << i;
    std::atomic<int> reading{0}, most{0};
    std::atomic<bool> may_go_on{false};
    const auto view =
        std::make_shared<mount::View>(std::make_shared<snapshot::Tree>(snapshot::scan(disk)),
                                      [&](snapshot::NodeId, std::uint64_t, MutableBytes out) {
                                          const int now = ++reading;
                                          most = std::max(most.load(), now);
                                          may_go_on.wait(false);
                                          --reading;
                                          std::fill(out.begin(), out.end(), std::byte{'x'});
                                          return out.size();
                                      });
    Options options;
    options.threads = 3;
    options.reading_threads = 2;
    const Mounted mounted(view, target, options);
    std::vector<UniqueFd> files;
    for (int i = 0; i < kFiles; ++i)
        files.push_back(open_file(target + "/f" + std::to_string(i), O_RDONLY));
    const auto before = mounted.stats().requests;
    std::vector<std::future<char>> readers;
    for (const auto& file : files)
        readers.push_back(std::async(std::launch::async, [fd = file.get()] {
            char byte = 0;
            return ::read(fd, &byte, 1) == 1 ? byte : '-';
        }));
    while (mounted.stats().requests < before + kFiles)
        std::this_thread::yield();

    auto list = std::async(std::launch::async, [&] { return names_in(target); });
    const bool is_listed = list.wait_for(std::chrono::seconds(60)) == std::future_status::ready;
    may_go_on = true;
    may_go_on.notify_all();
    EXPECT_TRUE(is_listed);
    EXPECT_EQ(list.get().size(), static_cast<std::size_t>(kFiles));
    for (auto& reader : readers)
        EXPECT_EQ(reader.get(), 'x');
    EXPECT_EQ(most, 2);
}

TEST_F(FuseTest, DamageIsAnInputOutputErrorNeverZeros) {
    std::ofstream(disk + "/f") << std::string(100'000, 'x') << "end";
    const auto view = view_of_disk();
    {
        const UniqueFd fd = open_file(store->blob_path(blob), O_RDWR);
        const std::string noise(32, '\x5a');
        ASSERT_EQ(::pwrite(fd.get(), noise.data(), noise.size(), 40), 32);
    }
    const Mounted mounted(view, target);
    const UniqueFd fd = open_file(target + "/f", O_RDONLY);
    char buffer[16];
    EXPECT_EQ(::read(fd.get(), buffer, sizeof buffer), -1);
    EXPECT_EQ(errno, EIO);
}

TEST_F(FuseTest, UnmountFromOutsideEndsTheWait) {
    std::ofstream(disk + "/f") << "x";
    Mounted mounted(view_of_disk(), target);
    std::jthread waiter([&] { mounted.wait(); });
    ASSERT_EQ(::umount2(target.c_str(), 0), 0);
    waiter.join();
    EXPECT_FALSE(path_exists(target + "/f"));
}

TEST_F(FuseTest, ABusyMountIsStillTakenDown) {
    std::ofstream(disk + "/f") << "x";
    UniqueFd open;
    {
        const Mounted mounted(view_of_disk(), target);
        open = open_file(target + "/f", O_RDONLY);
    }
    EXPECT_FALSE(path_exists(target + "/f"));
}

TEST_F(FuseTest, ATargetThatIsNotEmptyIsRefused) {
    std::ofstream(target + "/mine") << "x";
    EXPECT_THROW(Mounted(view_of_disk(), target), Error);
    EXPECT_EQ(read_file(target + "/mine"), "x");
}

}  // namespace
}  // namespace shale::fuse
