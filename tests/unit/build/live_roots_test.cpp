// LiveRoots: what is mounted and what lies on what. Nothing is mounted here; tests/integration runs
// the same over a kernel.
#include "build_fixture.hpp"
#include "live_roots.hpp"

#include <shale/mount.hpp>
#include <shale/walk.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include <algorithm>

namespace shale::build {
namespace {

using snapshot::EntrySpec;
using snapshot::Tree;
using snapshot::TreeBuilder;

class CountingMounter : public TreeMounter {
  public:
    class Shown : public MountedTree {
      public:
        Shown(CountingMounter& mounter, std::string at) : mounter_(mounter), at_(std::move(at)) {
            ++mounter_.now;
        }
        ~Shown() override { --mounter_.now; }
        sandbox::OverlayBase base() const override { return {{at_}, {}}; }

      private:
        CountingMounter& mounter_;
        std::string at_;
    };
    std::unique_ptr<MountedTree> mount(std::shared_ptr<mount::View> view,
                                       const std::string& target) override {
        views.push_back(std::move(view));
        return std::make_unique<Shown>(*this, target);
    }
    std::vector<std::shared_ptr<mount::View>> views;  // in order of mounting
    int now = 0;
};

class LiveRootsTest : public ::testing::Test {
  protected:
    static constexpr std::int64_t kSecond = 1'000'000'000;

    static EntrySpec file(std::uint64_t size = 3, std::int64_t seconds = 7) {
        EntrySpec spec;
        spec.type = FileType::Regular;
        spec.mode = 0644;
        spec.size = size;
        spec.mtime_ns = seconds * kSecond;
        spec.content.bytes[0] = static_cast<std::uint8_t>(size + 1);
        return spec;
    }
    static std::shared_ptr<const Tree> tree(const std::vector<std::string>& paths) {
        TreeBuilder builder;
        for (const auto& path : paths)
            builder.put(path, file());
        return std::make_shared<const Tree>(builder.finish());
    }
    template <typename Edit>
    static std::shared_ptr<const Tree> edited(const Tree& base, const Edit& edit) {
        TreeBuilder builder(base);
        edit(builder);
        return std::make_shared<const Tree>(builder.finish());
    }
    // A scratch directory with an upper directory that holds these files.
    TempDir scratch_with(const std::vector<std::string>& paths) const {
        TempDir scratch(dir_.path());
        make_directories(scratch.path() + "/upper");
        for (const auto& path : paths)
            write_file_atomic(scratch.path() + "/upper/" + path, as_bytes("abc"));
        return scratch;
    }
    void keep(std::shared_ptr<const LiveRoot> below, std::shared_ptr<const Tree> before,
              std::shared_ptr<const Tree> after, const std::vector<std::string>& files) {
        auto scratch = scratch_with(files);
        const std::string upper = scratch.path() + "/upper";
        roots_.keep(std::move(below),
                    {"RUN make", std::move(before), std::move(after), std::move(scratch), upper});
    }

    TempDir dir_;
    store::Store store_{dir_.path() + "/store"};
    CountingMounter mounter_;
    LiveRoots roots_{store_, mounter_};
    const std::shared_ptr<const Tree> base_ = tree({"bin/sh", "etc/passwd"});
};

TEST_F(LiveRootsTest, ATreeIsMountedOnceWhoeverAsks) {
    const auto first = roots_.show({base_, {}});
    const auto second = roots_.show({tree({"bin/sh", "etc/passwd"}), {}});
    EXPECT_EQ(first, second);
    EXPECT_EQ(mounter_.views.size(), 1u);
}

TEST_F(LiveRootsTest, WhatARunLeftLiesOnWhatItStoodOn) {
    const auto below = roots_.show({base_, {}});
    const auto after = edited(*base_, [](TreeBuilder& builder) { builder.put("new", file()); });
    keep(below, base_, after, {"new"});
    const auto above = roots_.show({after, {}});
    ASSERT_EQ(above->layers.lowers.size(), 2u);
    EXPECT_TRUE(above->layers.lowers[0].ends_with("/upper"));
    EXPECT_EQ(above->layers.lowers[1], below->layers.lowers[0]);
    EXPECT_EQ(mounter_.views.size(), 1u);
    // And has the times that the tree has.
    struct stat status {};
    ASSERT_EQ(::stat((above->layers.lowers[0] + "/new").c_str(), &status), 0);
    EXPECT_EQ(status.st_mtim.tv_sec, 7);
    EXPECT_EQ(status.st_mtim.tv_nsec, 0);
}

TEST_F(LiveRootsTest, WhatTheTreeDoesNotHaveIsNotShown) {
    const auto below = roots_.show({base_, {}});
    const auto after = edited(*base_, [](TreeBuilder& builder) { builder.put("new", file()); });
    keep(below, base_, after, {"new", "stray"});
    const auto above = roots_.show({after, {}});
    EXPECT_EQ(above->layers.lowers.size(), 1u);
    ASSERT_EQ(mounter_.views.size(), 2u);
    EXPECT_EQ(mounter_.views[1]->tree().digest(), after->digest());
}

TEST_F(LiveRootsTest, AnEditIsMountedAloneBetween) {
    const auto below = roots_.show({base_, {}});
    const auto copied = edited(*base_, [](TreeBuilder& builder) {
        builder.put("app/src/main", file(5));
        builder.put("etc/passwd", file(9));
    });
    const auto made = edited(*copied, [](TreeBuilder& builder) { builder.put("work", {}); });
    roots_.note_edit(base_, *copied);
    roots_.note_edit(copied, *made);
    const auto above = roots_.show({made, {}});
    ASSERT_EQ(above->layers.lowers.size(), 2u);
    EXPECT_EQ(above->layers.lowers[1], below->layers.lowers[0]);
    const Tree& between = mounter_.views.back()->tree();
    std::vector<std::string> paths;
    for (snapshot::NodeId node = 0; node < between.size(); ++node)
        paths.push_back(between.path(node));
    EXPECT_EQ(paths, (std::vector<std::string>{"", "app", "app/src", "app/src/main", "etc",
                                               "etc/passwd", "work"}));
}

TEST_F(LiveRootsTest, WhatALayerCannotSayIsMountedAsAWhole) {
    roots_.show({base_, {}});
    const auto is_whole = [&](const auto& edit) {
        const auto after = edited(*base_, edit);
        roots_.note_edit(base_, *after);
        return roots_.show({after, {}})->layers.lowers.size() == 1 &&
               mounter_.views.back()->tree().digest() == after->digest();
    };
    EXPECT_TRUE(is_whole([](TreeBuilder& builder) { builder.remove("etc/passwd"); }));
    EXPECT_TRUE(is_whole([](TreeBuilder& builder) { builder.put("bin", file()); }));
    EXPECT_TRUE(is_whole([](TreeBuilder& builder) { builder.put("bin/sh", {}); }));
    EXPECT_TRUE(is_whole([](TreeBuilder& builder) {
        auto linked = file();
        linked.link_group = builder.new_link_group();
        builder.put("x", linked);
        builder.put("y", linked);
    }));
}

class LeftForLaterTest : public LiveRootsTest {
  protected:
    // A build with a RUN that makes `new`, and what else `more` does with it.
    template <typename More>
    void build(const More& more) {
        LiveRoots roots(store_, mounter_);
        store_.put_tree(*base_);
        store_.put_tree(*after_);
        auto scratch = scratch_with({"new"});
        const auto upper = scratch.path() + "/upper";
        roots.keep(roots.show({base_, {}}), {"RUN make", base_, after_, std::move(scratch), upper});
        more(roots);
        mounter_.views.clear();
    }
    std::size_t count_unpacked() {
        return static_cast<std::size_t>(std::ranges::count(
            store_.usage().records, store::RecordKind::UnpackedStep, &store::CacheRecord::kind));
    }
    const std::shared_ptr<const Tree> after_ =
        edited(*base_, [](TreeBuilder& builder) { builder.put("new", file()); });
};

TEST_F(LeftForLaterTest, ALaterBuildStandsOnTheSameFiles) {
    build([&](LiveRoots& roots) {
        roots.show({after_, {}});
        roots.clear();
    });
    const auto above = roots_.show({after_, {}});
    ASSERT_EQ(above->layers.lowers.size(), 2u);
    EXPECT_TRUE(above->layers.lowers[0].starts_with(store_.unpacked_steps_path()));
    EXPECT_EQ(read_file(above->layers.lowers[0] + "/new"), "abc");
    ASSERT_EQ(mounter_.views.size(), 1u);
    EXPECT_EQ(mounter_.views[0]->tree().digest(), base_->digest());
}

// What an upper hides need not be in the sources of what is above.
TEST_F(LeftForLaterTest, WhatLiesBelowIsShownToNobodyElse) {
    build([&](LiveRoots& roots) {
        roots.show({after_, {}});
        roots.clear();
    });
    const auto above = roots_.show({after_, {}});
    EXPECT_NE(roots_.show({base_, {}})->layers.lowers[0], above->layers.lowers[1]);
    EXPECT_EQ(mounter_.views.size(), 2u);
}

TEST_F(LeftForLaterTest, SoItIsAfterABuildThatFailed) {
    build([&](LiveRoots& roots) { roots.show({after_, {}}); });
    EXPECT_EQ(roots_.show({after_, {}})->layers.lowers.size(), 2u);
}

TEST_F(LeftForLaterTest, WhatNobodyStoodOnIsNotKept) {
    build([&](LiveRoots& roots) { roots.clear(); });
    EXPECT_EQ(count_unpacked(), 0u);
    EXPECT_EQ(roots_.show({after_, {}})->layers.lowers.size(), 1u);
}

TEST_F(LeftForLaterTest, AnEditStandsOnItInTheSameBuildAndInALaterOne) {
    const auto copied =
        edited(*after_, [](TreeBuilder& builder) { builder.put("app/main", file(5)); });
    const auto other =
        edited(*after_, [](TreeBuilder& builder) { builder.put("app/main", file(6)); });
    build([&](LiveRoots& roots) {
        roots.note_edit(after_, *copied);
        EXPECT_EQ(roots.show({copied, {}})->layers.lowers.size(), 3u);
        roots.clear();
    });
    EXPECT_EQ(roots_.show({copied, {}})->layers.lowers.size(), 3u) << "noted by the earlier build";
    roots_.note_edit(after_, *other);
    EXPECT_EQ(roots_.show({other, {}})->layers.lowers.size(), 3u) << "made by this one";
}

TEST_F(LeftForLaterTest, WithoutTheTreeBelowAllIsMounted) {
    build([&](LiveRoots& roots) {
        roots.show({after_, {}});
        roots.clear();
    });
    ASSERT_EQ(::unlink((dir_.path() + "/store/trees/" + base_->digest().hex()).c_str()), 0);
    const auto above = roots_.show({after_, {}});
    EXPECT_EQ(above->layers.lowers.size(), 1u);
    EXPECT_EQ(mounter_.views.back()->tree().digest(), after_->digest());
}

// Two RUNs of different builds, one of which takes back what the other did.
TEST_F(LeftForLaterTest, StepsThatStandOnEachOtherEnd) {
    store_.put_tree(*base_);
    store_.put_tree(*after_);
    store::UnpackedSteps steps(store_);
    const auto put = [&](const Tree& after, const Tree& before) {
        const auto scratch = scratch_with({});
        return steps.put(after.digest(), {before.digest(), 4096, ""}, scratch.path() + "/upper");
    };
    ASSERT_TRUE(put(*after_, *base_) && put(*base_, *after_));
    EXPECT_TRUE(roots_.show({after_, {}}));
}

TEST_F(LeftForLaterTest, AStepAndAnEditThatTakesItBackEnd) {
    build([&](LiveRoots& roots) {
        roots.show({after_, {}});
        roots.note_edit(after_, *base_);
        roots.clear();
    });
    EXPECT_TRUE(roots_.show({base_, {}}));
    EXPECT_TRUE(roots_.show({after_, {}}));
}

// In the order of asking: what hides one name of an inode leaves the count of the other too high.
TEST_F(LiveRootsTest, NamesOfOneInodeAreOneInodeOrTheStackIsNotUsed) {
    const auto linked = edited(*base_, [](TreeBuilder& builder) {
        auto spec = file();
        spec.link_group = builder.new_link_group();
        builder.put("x", spec);
        builder.put("y", spec);
    });
    const auto scratch = scratch_with({"x"});
    const std::string upper = scratch.path() + "/upper";
    EXPECT_FALSE(settle_upper(upper, *base_, *linked)) << "one name of two";
    ASSERT_EQ(::link((upper + "/x").c_str(), (upper + "/y").c_str()), 0);
    EXPECT_TRUE(settle_upper(upper, *base_, *linked));
    EXPECT_FALSE(settle_upper(upper, *linked, *linked)) << "names that were there are hidden";
    ASSERT_EQ(::unlink((upper + "/y").c_str()), 0);
    write_file_atomic(upper + "/y", as_bytes("abc"));
    EXPECT_FALSE(settle_upper(upper, *base_, *linked)) << "two inodes";

    // An edit that replaces one of them.
    EXPECT_FALSE(tree_of_edit(
        *linked, *edited(*linked, [](TreeBuilder& builder) { builder.put("y", file(8)); })));
    EXPECT_TRUE(tree_of_edit(
        *linked, *edited(*linked, [](TreeBuilder& builder) { builder.put("z", file(8)); })));
}

TEST_F(LiveRootsTest, AttributesThatTheTreeDoesNotHaveAreFound) {
    const auto after = edited(*base_, [](TreeBuilder& builder) { builder.put("new", file()); });
    const auto scratch = scratch_with({"new"});
    const std::string upper = scratch.path() + "/upper";
    const auto set = [&](const char* name) {
        return ::lsetxattr((upper + "/new").c_str(), name, "y", 1, 0) == 0;
    };
    if (::geteuid() != 0 || !set("trusted.overlay.origin"))
        GTEST_SKIP() << "trusted attributes need root and a file system that has them";
    EXPECT_TRUE(settle_upper(upper, *base_, *after)) << "overlayfs's own";
    ASSERT_TRUE(set("trusted.overlay.redirect"));
    EXPECT_FALSE(settle_upper(upper, *base_, *after)) << "shows what lies elsewhere";
    ASSERT_EQ(::lremovexattr((upper + "/new").c_str(), "trusted.overlay.redirect"), 0);
    if (set("user.overlay.opaque")) {
        EXPECT_FALSE(settle_upper(upper, *base_, *after));
    }
}

TEST_F(LiveRootsTest, AWholeMountTakesThePlaceOfAStack) {
    const auto below = roots_.show({base_, {}});
    const auto after = edited(*base_, [](TreeBuilder& builder) { builder.put("new", file()); });
    keep(below, base_, after, {"new"});
    EXPECT_EQ(roots_.show({after, {}})->layers.lowers.size(), 2u);
    const auto whole = roots_.show_whole({after, {}});
    EXPECT_EQ(whole->layers.lowers.size(), 1u);
    EXPECT_EQ(roots_.show({after, {}}), whole);
    roots_.clear();
    EXPECT_EQ(mounter_.now, 2) << "what is in use stays";
}

TEST_F(LiveRootsTest, AStackDoesNotGrowForEver) {
    auto last = base_;
    std::size_t most = 0;
    for (int at = 0; at < 60; ++at) {
        const auto below = roots_.show({last, {}});
        most = std::max(most, below->layers.lowers.size());
        const std::string name = "f" + std::to_string(at);
        const auto next = edited(*last, [&](TreeBuilder& builder) { builder.put(name, file()); });
        keep(below, last, next, {name});
        last = next;
    }
    EXPECT_LE(most, 12u);
    EXPECT_GT(mounter_.views.size(), 1u);
    EXPECT_LE(mounter_.views.size(), 6u);
}

TEST_F(LiveRootsTest, IdleOnesGoAndUsedOnesStay) {
    const auto used = roots_.show({base_, {}});
    for (int at = 0; at < 30; ++at)
        roots_.show({tree({"other" + std::to_string(at)}), {}});
    EXPECT_LE(mounter_.now, 1 + 3 + 1);  // and the last one, while it was being shown
    EXPECT_EQ(roots_.show({base_, {}}), used);
}

TEST_F(LiveRootsTest, SocketsAndStraysAreFoundInAnUpperDirectory) {
    const auto after = edited(*base_, [](TreeBuilder& builder) { builder.put("new", file()); });
    const auto scratch = scratch_with({"new"});
    const std::string upper = scratch.path() + "/upper";
    EXPECT_TRUE(settle_upper(upper, *base_, *after));
    if (::mknod((upper + "/gone").c_str(), S_IFCHR, makedev(0, 0)) == 0) {
        EXPECT_TRUE(settle_upper(upper, *base_, *after)) << "a whiteout is no stray";
    }
    const UniqueFd folder = open_file(upper, O_PATH | O_DIRECTORY);
    const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string name = "/proc/self/fd/" + std::to_string(folder.get()) + "/s";
    name.copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_FALSE(settle_upper(upper, *base_, *after));
}

}  // namespace
}  // namespace shale::build
