// Plain copies of contents: whole and right, or not there.
#include "store_fixture.hpp"

#include <shale/local_contents.hpp>

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
};

TEST_F(LocalContentsTest, KeepsWhatItIsGiven) {
    Store store(root());
    LocalContents contents(store);
    EXPECT_FALSE(contents.has(digest, text.size()));
    EXPECT_TRUE(contents.put(digest, text.size(), source_of(text)));
    EXPECT_TRUE(contents.has(digest, text.size()));
    EXPECT_FALSE(contents.has(digest, text.size() - 1)) << "of another length it is another";
    EXPECT_EQ(read_file(join_path(contents.directory(), digest.hex())), text);
    EXPECT_TRUE(contents.put(digest, text.size(), source_of("is not read again")));
}

TEST_F(LocalContentsTest, WrongBytesLeaveNothing) {
    Store store(root());
    LocalContents contents(store);
    error_of(ErrorKind::Corrupt, [&] { contents.put(digest, text.size(), source_of("other")); });
    EXPECT_TRUE(names_in(contents.directory()).empty());
}

TEST_F(LocalContentsTest, ThereIsOnlySoMuchRoom) {
    Store store(root());
    LocalContents contents(store);
    EXPECT_FALSE(contents.put(digest, LocalContents::kMostBytes + 1, source_of(text)));
    make_directories(contents.directory());
    const auto other = join_path(contents.directory(), codec::sha256("other").hex());
    write_file_atomic(other, {});
    ASSERT_EQ(::truncate(other.c_str(), static_cast<off_t>(LocalContents::kMostBytes)), 0);
    EXPECT_FALSE(contents.put(digest, text.size(), source_of(text)));
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
