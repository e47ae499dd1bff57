// Plain copies of contents: whole and right, or not there.
#include "store_fixture.hpp"

#include <shale/local_contents.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace shale::store::test {
namespace {

codec::Source source_of(const std::string& text) {
    return [text, at = std::size_t{0}](MutableBytes out) mutable {
        const auto count = std::min(out.size(), text.size() - at);
        std::copy_n(as_bytes(text).begin() + static_cast<std::ptrdiff_t>(at), count, out.begin());
        at += count;
        return count;
    };
}

class LocalContentsTest : public StoreTest {
  protected:
    const std::string text = std::string(3'000'000, 'x') + "end";
    const Digest digest = codec::sha256(text);
    std::string path() const { return root() + "/contents/" + digest.hex(); }
};

TEST_F(LocalContentsTest, KeepsWhatItIsGiven) {
    Store store(root());
    LocalContents contents(store);
    EXPECT_FALSE(contents.has(digest, text.size()));
    EXPECT_TRUE(contents.put(digest, text.size(), source_of(text)));
    EXPECT_TRUE(contents.has(digest, text.size()));
    EXPECT_FALSE(contents.has(digest, text.size() - 1)) << "of another length it is another";
    EXPECT_EQ(read_file(path()), text);
    EXPECT_TRUE(contents.put(digest, text.size(), source_of("is not read again")));
    struct stat status {};
    ASSERT_EQ(::stat(path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode, S_IFREG | 0644u) << "whatever the umask";
    EXPECT_TRUE(names_in(root() + "/tmp").empty() ||
                names_in(root() + "/tmp/" + names_in(root() + "/tmp").front()).empty());
}

TEST_F(LocalContentsTest, ASecondNameOutlivesTheFirst) {
    Store store(root());
    LocalContents contents(store);
    const auto second = root() + "/second";
    EXPECT_FALSE(contents.link(digest, text.size(), second));
    contents.put(digest, text.size(), source_of(text));
    EXPECT_TRUE(contents.link(digest, text.size(), second));
    store.collect({}, std::chrono::milliseconds(5000));
    EXPECT_EQ(read_file(second), text);
}

TEST_F(LocalContentsTest, OneThatSomebodyWroteToIsNotBelieved) {
    Store store(root());
    LocalContents contents(store);
    const auto damage = [&](const std::function<void()>& how) {
        ASSERT_TRUE(contents.put(digest, text.size(), source_of(text)));
        ASSERT_TRUE(contents.has(digest, text.size()));
        how();
        EXPECT_FALSE(contents.has(digest, text.size()));
    };
    damage([&] {
        const UniqueFd file = open_file(path(), O_WRONLY);
        write_all(file.get(), as_bytes("y"), path());
    });
    damage([&] { ::chmod(path().c_str(), 0666); });
    damage([&] { ::truncate(path().c_str(), 10); });
    EXPECT_TRUE(contents.put(digest, text.size(), source_of(text)));
    EXPECT_EQ(read_file(path()), text);
}

TEST_F(LocalContentsTest, WrongBytesLeaveNothing) {
    Store store(root());
    LocalContents contents(store);
    error_of(ErrorKind::Corrupt, [&] { contents.put(digest, text.size(), source_of("other")); });
    EXPECT_TRUE(names_in(root() + "/contents").empty());
}

TEST_F(LocalContentsTest, ThereIsOnlySoMuchRoom) {
    Store store(root());
    LocalContents contents(store);
    EXPECT_FALSE(contents.put(digest, LocalContents::kMostBytes + 1, source_of(text)));
    make_directories(root() + "/contents");
    const auto sparse = [&](const char* name, std::uint64_t bytes, std::int64_t used) {
        const auto file = root() + "/contents/" + codec::sha256(name).hex();
        write_file_atomic(file, {});
        ASSERT_EQ(::truncate(file.c_str(), static_cast<off_t>(bytes)), 0);
        const timespec times[2] = {{used, 0}, {used, 0}};
        ASSERT_EQ(::utimensat(AT_FDCWD, file.c_str(), times, 0), 0);
    };
    sparse("older", 1 << 20, 1'000'000);
    sparse("newer", LocalContents::kMostBytes - text.size(), 2'000'000);
    EXPECT_TRUE(contents.put(digest, text.size(), source_of(text)));
    EXPECT_EQ(names_in(root() + "/contents").size(), 2u) << "the longest unused went";
    EXPECT_FALSE(path_exists(root() + "/contents/" + codec::sha256("older").hex()));
}

TEST_F(LocalContentsTest, AreCountedAndCollected) {
    Store store(root());
    LocalContents contents(store);
    contents.put(digest, text.size(), source_of(text));
    EXPECT_GE(store.usage().unreferenced, text.size());
    EXPECT_EQ(store.collect({}, std::chrono::milliseconds(5000)).files, 1u);
    EXPECT_FALSE(contents.has(digest, text.size()));
    EXPECT_EQ(store.usage().unreferenced, 0u);
}

}  // namespace
}  // namespace shale::store::test
