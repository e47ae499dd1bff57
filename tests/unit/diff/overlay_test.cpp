// merge_upper against the kernel: random operations in a mounted overlay, then the merged tree must
// be what a scan of the mount sees. Needs root and overlayfs.
#include "../../support/changes.hpp"
#include "../../support/tree_generator.hpp"

#include <shale/diff.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <vector>

namespace shale::diff {
namespace {

using snapshot::EntrySpec;
using snapshot::NodeId;
using snapshot::Tree;
using snapshot::TreeBuilder;
using testing::Model;
using testing::TreeGenerator;

// An overlay of fresh upper and work directories over `lower`, all on a tmpfs of its own
// (unmounting an overlay syncs its upper file system). Everything is unmounted at destruction.
class Overlay {
  public:
    Overlay(const std::string& base, const std::string& extra_options) : base_(base) {
        if (::mount("tmpfs", base_.c_str(), "tmpfs", 0, "size=256m") != 0)
            throw_errno("mount tmpfs", base_);
        for (const char* name : {"lower", "upper", "work", "merged"})
            make_directories(dir(name));
        options_ = "lowerdir=" + dir("lower") + ",upperdir=" + dir("upper") +
                   ",workdir=" + dir("work") + extra_options;
    }
    ~Overlay() {
        if (mounted_) ::umount2(dir("merged").c_str(), MNT_DETACH);
        ::umount2(base_.c_str(), MNT_DETACH);
    }
    Overlay(const Overlay&) = delete;
    Overlay& operator=(const Overlay&) = delete;
    // 0 or an errno.
    int mount() {
        mounted_ = ::mount("overlay", dir("merged").c_str(), "overlay", 0, options_.c_str()) == 0;
        return mounted_ ? 0 : errno;
    }
    std::string dir(const std::string& name) const { return base_ + "/" + name; }

  private:
    std::string base_, options_;
    bool mounted_ = false;
};

// A user of the merged directory. Operations that make no sense where they hit are simply refused
// by the kernel; what happened is whatever the mount shows afterwards.
class User {
  public:
    User(TreeGenerator& random, std::string root) : random_(random), root_(std::move(root)) {}

    void operate() {
        const std::string path = any_path(), full = root_ + "/" + path;
        switch (random_.below(15)) {
        case 0:
            return void(::mkdir(fresh().c_str(), 0750));
        case 1:
            return write(fresh(), O_CREAT | O_TRUNC);
        case 2:
            return write(full, O_TRUNC);
        case 3:
            return write(full, O_APPEND);
        case 4:
            return void(::chmod(full.c_str(), static_cast<mode_t>(0700 | random_.below(64))));
        case 5:
            return void(::lchown(full.c_str(), 1000, static_cast<gid_t>(random_.below(9))));
        case 6:
            return void(::rename(full.c_str(), fresh().c_str()));
        case 7:
            return void(::rename(full.c_str(), (root_ + "/" + any_path()).c_str()));
        case 8:
            return void(path.empty() || remove_tree(full));
        case 9:
            return void(::link(full.c_str(), fresh().c_str()));
        case 10:
            return void(::symlink(path.c_str(), fresh().c_str()));
        case 11:
            return void(::lsetxattr(full.c_str(), "user.n", path.data(), path.size() / 2, 0));
        case 12:
            return recreate(path, full);
        default:
            return void(::mknod(fresh().c_str(), S_IFCHR | 0600, makedev(1, 3)));
        }
    }

  private:
    void write(const std::string& path, int flags) {
        const int fd =
            ::open(path.c_str(), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags, 0640);
        if (fd < 0) return;
        const std::string text(1 + random_.below(5000), static_cast<char>('a' + random_.below(26)));
        EXPECT_GE(::write(fd, text.data(), text.size()), 0);
        ::close(fd);
    }

    // What makes opaque directories: removing one and making it anew.
    void recreate(const std::string& path, const std::string& full) {
        if (path.empty()) return;
        remove_tree(full);
        ::mkdir(full.c_str(), 0755);
        write(full + "/again", O_CREAT);
    }

    std::string any_path(bool directories_only = false) {
        std::vector<std::string> paths;
        walk::Options options;
        options.read_xattrs = false;
        options.threads = 1;
        walk::walk(root_, options, [&](const walk::Entry& entry) {
            if (!directories_only || entry.type == FileType::Directory)
                paths.emplace_back(entry.path);
        });
        return paths[random_.below(paths.size())];
    }

    std::string fresh() {
        return root_ + "/" + any_path(true) + "/n" + std::to_string(random_.below(40));
    }

    TreeGenerator& random_;
    std::string root_;
};

Tree without_links(const Tree& tree) {
    TreeBuilder builder(tree);
    for (NodeId node = 0; node < tree.size(); ++node) {
        EntrySpec spec = tree.entry(node).spec();
        if (spec.link_group == 0) continue;
        spec.link_group = 0;
        builder.put(tree.path(node), spec);
    }
    return builder.finish();
}

// Names that the mount shows as one inode must be one group. The reverse need not hold: a copy that
// stayed equal keeps the parent's link group, though overlayfs has parted it from the others.
void expect_links_kept(const Tree& result, const Tree& seen) {
    std::map<std::uint64_t, std::uint64_t> group_of;
    for (NodeId node = 0; node < seen.size(); ++node) {
        const std::uint64_t group = seen.entry(node).link_group;
        if (group == 0) continue;
        const std::string path = seen.path(node);
        const std::uint64_t ours = result.entry(result.find(path)).link_group;
        EXPECT_NE(ours, 0u) << path;
        EXPECT_EQ(group_of.try_emplace(group, ours).first->second, ours) << path;
    }
}

// How often overlayfs left each of its marks in an upper directory.
std::map<std::string, int> count_marks(const std::string& upper) {
    std::map<std::string, int> counts;
    walk::walk(upper, {}, [&](const walk::Entry& entry) {
        if (entry.type == FileType::CharDevice && entry.device_major == 0) ++counts["whiteout"];
        if (!entry.xattrs) return;
        for (const Xattr& xattr : *entry.xattrs)
            ++counts[xattr.name];
    });
    return counts;
}

struct Mode {
    const char* name;
    const char* options;
    std::vector<std::string> marks;  // that must have occurred, or the test proves little
};

class OverlayMerge : public ::testing::TestWithParam<Mode> {};

TEST_P(OverlayMerge, EqualsScanOfTheMount) {
    if (::geteuid() != 0) GTEST_SKIP() << "mounting an overlay needs root";
    TreeGenerator generator(
        testing::seed_for_test(4242),
        {.entries = 80, .max_depth = 4, .max_content = 4000, .needs_root = true});
    std::map<std::string, int> marks;
    for (int round = 0; round < 12; ++round) {
        const TempDir dir;
        Overlay overlay(dir.path(), GetParam().options);
        write_to_disk(generator.tree(), overlay.dir("lower"));
        // The lower's root is what a container sees; the upper starts as its copy.
        struct stat root {};
        ASSERT_EQ(::stat(overlay.dir("lower").c_str(), &root), 0);
        ASSERT_EQ(::chown(overlay.dir("upper").c_str(), root.st_uid, root.st_gid), 0);
        ASSERT_EQ(::chmod(overlay.dir("upper").c_str(), root.st_mode & 07777), 0);
        const Tree parent = snapshot::scan(overlay.dir("lower"));
        if (const int error = overlay.mount())
            GTEST_SKIP() << "overlayfs: " << std::strerror(error);

        User user(generator, overlay.dir("merged"));
        for (int step = 0; step < 60; ++step)
            user.operate();

        const Tree seen = snapshot::scan(overlay.dir("merged"));
        const Tree result = merge_upper(parent, overlay.dir("upper"));
        ASSERT_EQ(without_links(result).digest(), without_links(seen).digest())
            << "round " << round << "\n"
            << testing::changes_between(without_links(result), without_links(seen));
        expect_links_kept(result, seen);
        for (const auto& [mark, count] : count_marks(overlay.dir("upper")))
            marks[mark] += count;
        ASSERT_NO_THROW(result.verify_digests());
    }
    for (const std::string& mark : GetParam().marks)
        EXPECT_GT(marks[mark], 0) << mark;
}

INSTANTIATE_TEST_SUITE_P(
    Modes, OverlayMerge,
    ::testing::Values(Mode{"plain",
                           ",redirect_dir=off,metacopy=off,index=off",
                           {"whiteout", "trusted.overlay.opaque"}},
                      Mode{"redirect",
                           ",redirect_dir=on,metacopy=off,index=off",
                           {"whiteout", "trusted.overlay.opaque", "trusted.overlay.redirect"}},
                      Mode{"metacopy",
                           ",redirect_dir=on,metacopy=on,index=off",
                           {"whiteout", "trusted.overlay.opaque", "trusted.overlay.redirect",
                            "trusted.overlay.metacopy"}}),
    [](const auto& mode) { return std::string(mode.param.name); });

TEST(OverlayMerge, MetadataOnlyChangesReadNoContent) {
    if (::geteuid() != 0) GTEST_SKIP() << "mounting an overlay needs root";
    const TempDir dir;
    Overlay overlay(dir.path(), ",redirect_dir=on,metacopy=on,index=off");
    for (int at = 0; at < 20; ++at)
        write_file_atomic(overlay.dir("lower") + "/f" + std::to_string(at),
                          as_bytes(std::string(100000, 'x')));
    const Tree parent = snapshot::scan(overlay.dir("lower"));
    if (const int error = overlay.mount()) GTEST_SKIP() << "overlayfs: " << std::strerror(error);
    for (int at = 0; at < 20; ++at)
        ASSERT_EQ(::chown((overlay.dir("merged") + "/f" + std::to_string(at)).c_str(), 7, 7), 0);
    snapshot::ScanStats stats;
    const Tree result =
        merge_upper(parent, overlay.dir("upper"), Times::Exact, Marks::Either, &stats);
    EXPECT_EQ(result.entry(result.find("f3")).uid, 7u);
    EXPECT_EQ(result.entry(result.find("f3")).content, parent.entry(parent.find("f3")).content);
    EXPECT_EQ(compare(parent, result, {.ignore_mtime = true}).size(), 20u);
    EXPECT_EQ(stats.files_hashed, 0u);
    EXPECT_EQ(stats.engine, "none");
}

}  // namespace
}  // namespace shale::diff
