// What RUNs left as files: there for the next build, or not at all.
#include "store_fixture.hpp"

#include <shale/unpacked_steps.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace shale::store::test {
namespace {

Digest digest_of(int number) {
    return codec::sha256(std::to_string(number));
}

class UnpackedStepsTest : public StoreTest {
  protected:
    static constexpr std::uint64_t kGiB = 1ull << 30;

    // A directory on the store's file system, as a RUN leaves one.
    std::string make_upper(const std::string& text = "written") {
        const auto upper = root() + "/upper" + std::to_string(++uppers_);
        make_directories(upper);
        write_file_atomic(upper + "/file", as_bytes(text));
        return upper;
    }
    bool put(UnpackedSteps& steps, int after, std::uint64_t bytes = 4096) {
        return steps.put(digest_of(after), {digest_of(after - 1), bytes, "RUN make"}, make_upper());
    }
    std::string path_of(int after) const { return root() + "/unpacked/" + digest_of(after).hex(); }
    void was_used(int after, std::time_t seconds) const {
        const timespec times[2] = {{seconds, 0}, {seconds, 0}};
        ASSERT_EQ(::utimensat(AT_FDCWD, (path_of(after) + ".lock").c_str(), times, 0), 0);
    }

  private:
    int uppers_ = 0;
};

TEST_F(UnpackedStepsTest, ADirectoryIsMovedAndFound) {
    Store store(root());
    UnpackedSteps steps(store);
    EXPECT_FALSE(steps.find(digest_of(1)));
    const auto upper = make_upper();
    ASSERT_TRUE(steps.put(digest_of(1), {digest_of(0), 4096, "RUN make"}, upper));
    EXPECT_FALSE(path_exists(upper));
    const auto found = UnpackedSteps(store).find(digest_of(1));
    ASSERT_TRUE(found);
    EXPECT_EQ(found->before, digest_of(0));
    EXPECT_EQ(read_file(found->upper + "/file"), "written");
    EXPECT_FALSE(steps.find(digest_of(0)));
}

// Programs in it may be set-user-ID, and have the faults of their image.
TEST_F(UnpackedStepsTest, NoOtherUserGetsAtTheFiles) {
    Store store(root());
    UnpackedSteps steps(store);
    ASSERT_TRUE(put(steps, 1));
    struct stat status {};
    ASSERT_EQ(::stat((root() + "/unpacked").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777u, 0700u);
    ASSERT_EQ(::chmod((root() + "/unpacked").c_str(), 0755), 0);
    ASSERT_TRUE(put(steps, 2));
    ASSERT_EQ(::stat((root() + "/unpacked").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777u, 0700u) << "whatever it was";
}

TEST_F(UnpackedStepsTest, ALockWithoutADirectoryGoes) {
    Store store(root());
    UnpackedSteps steps(store);
    ASSERT_TRUE(put(steps, 1));
    write_file_atomic(path_of(2) + ".lock", {});  // of a process that was killed
    ASSERT_TRUE(put(steps, 3));
    EXPECT_FALSE(path_exists(path_of(2) + ".lock"));
    EXPECT_TRUE(steps.has(digest_of(1)));
}

TEST_F(UnpackedStepsTest, TheNameOfAStepMayBeAScript) {
    Store store(root());
    UnpackedSteps steps(store);
    ASSERT_TRUE(
        steps.put(digest_of(1), {digest_of(0), 4096, std::string(1 << 20, 'x')}, make_upper()));
    EXPECT_TRUE(steps.find(digest_of(1)));
}

TEST_F(UnpackedStepsTest, TheFirstOfTwoStays) {
    Store store(root());
    UnpackedSteps steps(store);
    ASSERT_TRUE(put(steps, 1));
    const auto second = make_upper("other");
    EXPECT_FALSE(steps.put(digest_of(1), {digest_of(0), 4096, ""}, second));
    EXPECT_EQ(read_file(second + "/file"), "other");
    EXPECT_EQ(read_file(steps.find(digest_of(1))->upper + "/file"), "written");
}

TEST_F(UnpackedStepsTest, WhatMayHaveLostSomethingIsNotFound) {
    Store store(root());
    UnpackedSteps steps(store);
    const auto about = [&] { return path_of(1) + "/about.json"; };
    const auto replace = [&](const std::string& from, const std::string& to) {
        auto text = read_file(about());
        const auto at = text.find(from);
        ASSERT_NE(at, std::string::npos) << text;
        write_file_atomic(about(), as_bytes(text.replace(at, from.size(), to)));
    };
    ASSERT_TRUE(put(steps, 1));
    replace(R"("boot":")", R"("boot":"of another start)");
    EXPECT_FALSE(steps.has(digest_of(1)) || steps.find(digest_of(1)));
    ASSERT_TRUE(put(steps, 2)) << "which makes room";
    EXPECT_FALSE(path_exists(path_of(1)));

    ASSERT_TRUE(put(steps, 1));
    replace(R"("users":")", R"("users":"of another namespace)");
    EXPECT_FALSE(steps.find(digest_of(1)));
    ASSERT_TRUE(put(steps, 3));

    ASSERT_TRUE(put(steps, 1));
    make_directories(path_of(1) + "/copy");
    ASSERT_EQ(::rename((path_of(1) + "/upper").c_str(), (path_of(1) + "/gone").c_str()), 0);
    EXPECT_FALSE(steps.find(digest_of(1)));
    ASSERT_EQ(::rename((path_of(1) + "/copy").c_str(), (path_of(1) + "/upper").c_str()), 0);
    EXPECT_FALSE(steps.find(digest_of(1))) << "another directory of that name";

    ASSERT_TRUE(put(steps, 4));
    ASSERT_EQ(::chmod((path_of(4) + "/upper").c_str(), 0700), 0);
    EXPECT_FALSE(steps.find(digest_of(4))) << "chmod -R of the store, say";

    for (const char* text : {"", "{", "[]", R"({"before": 7})", R"({"before": "x"})"}) {
        write_file_atomic(path_of(2) + "/about.json", as_bytes(text));
        EXPECT_FALSE(steps.find(digest_of(2))) << text;
    }
}

TEST_F(UnpackedStepsTest, TheLongestUnusedMakeRoomButNoneInUse) {
    Store store(root());
    UnpackedSteps steps(store);
    ASSERT_EQ(UnpackedSteps::kMostBytes, 4 * kGiB);
    for (int after : {1, 2, 3, 4})
        ASSERT_TRUE(put(steps, after, kGiB));
    for (int after : {1, 2, 3, 4})
        was_used(after, 1000 + after);
    auto held = steps.find(digest_of(2));
    was_used(2, 500);
    EXPECT_TRUE(put(steps, 5, kGiB));
    EXPECT_TRUE(steps.has(digest_of(2))) << "somebody stands on it";
    EXPECT_FALSE(steps.has(digest_of(1)));
    EXPECT_FALSE(path_exists(path_of(1)) || path_exists(path_of(1) + ".lock"));
    held.reset();
    EXPECT_TRUE(put(steps, 6, kGiB));
    EXPECT_FALSE(steps.has(digest_of(2)));
    EXPECT_TRUE(steps.has(digest_of(3)) && steps.has(digest_of(4)) && steps.has(digest_of(5)));
    EXPECT_FALSE(put(steps, 7, 2 * kGiB + 1)) << "one that would push out too many others";
    EXPECT_TRUE(steps.has(digest_of(3)));
}

TEST_F(UnpackedStepsTest, ThereAreNotTooManyToLookAt) {
    Store store(root());
    UnpackedSteps steps(store);
    for (int after = 1; after <= 260; ++after)
        ASSERT_TRUE(put(steps, after));
    std::size_t directories = 0;
    for (const auto& name : names_in(root() + "/unpacked"))
        directories += name.ends_with(".lock") ? 0 : 1;
    EXPECT_EQ(directories, 256u);
    EXPECT_TRUE(steps.has(digest_of(260)));
}

TEST_F(UnpackedStepsTest, AnEditIsKnownByWhatItWasMadeOf) {
    Store store(root());
    UnpackedSteps steps(store);
    steps.note_edit(digest_of(9), digest_of(1));
    EXPECT_FALSE(steps.origin_of(digest_of(9))) << "of nothing that is here";
    ASSERT_TRUE(put(steps, 1));
    ASSERT_TRUE(put(steps, 2));
    steps.note_edit(digest_of(9), digest_of(1));
    EXPECT_EQ(steps.origin_of(digest_of(9)), digest_of(1));
    EXPECT_FALSE(steps.origin_of(digest_of(8)));
    for (int edited = 100; edited < 300; ++edited)
        steps.note_edit(digest_of(edited), digest_of(1));
    EXPECT_EQ(steps.origin_of(digest_of(299)), digest_of(1));
    EXPECT_LE(names_in(path_of(1) + "/edits").size(), 64u) << "one for each build would pile up";
}

TEST_F(UnpackedStepsTest, IsCountedAndCollectedAsARecord) {
    Store store(root());
    UnpackedSteps steps(store);
    ASSERT_TRUE(put(steps, 1));
    const auto usage = store.usage();
    EXPECT_GE(usage.unpacked, 4096u);
    ASSERT_EQ(usage.records.size(), 1u);
    EXPECT_EQ(usage.records[0].kind, RecordKind::UnpackedStep);
    EXPECT_EQ(usage.records[0].name, "files of RUN make");
    EXPECT_EQ(usage.records[0].bytes, usage.unpacked);
    CollectOptions options;
    options.may_remove = [](const CacheRecord&) { return true; };
    const auto collected = store.collect(options, std::chrono::milliseconds(5000));
    EXPECT_EQ(collected.records.size(), 1u);
    EXPECT_FALSE(path_exists(path_of(1)) || path_exists(path_of(1) + ".lock"));
    EXPECT_EQ(store.usage().unpacked, 0u);
    EXPECT_FALSE(steps.find(digest_of(1)));
}

// A RUN gets a little slower without; a cache mount has to be filled by somebody.
TEST_F(UnpackedStepsTest, GoesFirstWhereTheDiskIsShort) {
    Store store(root());
    UnpackedSteps steps(store);
    const auto cache = store.cache_mounts_path() + "/" + digest_of(50).hex();
    make_directories(cache + "/0");
    write_file_atomic(cache + "/0/file", as_bytes(std::string(1 << 20, 'x')));
    write_file_atomic(cache + "/0.lock", {});
    ASSERT_TRUE(steps.put(digest_of(1), {digest_of(0), 1 << 20, "RUN make"},
                          make_upper(std::string(1 << 20, 'x'))));
    CollectOptions options;
    options.may_remove = [](const CacheRecord&) { return true; };
    options.max_used = store.usage().total() - (1 << 19);
    const auto collected = store.collect(options, std::chrono::milliseconds(5000));
    ASSERT_EQ(collected.records.size(), 1u);
    EXPECT_EQ(collected.records[0].kind, RecordKind::UnpackedStep);
}

}  // namespace
}  // namespace shale::store::test
