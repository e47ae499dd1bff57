// The reader on archives of other tools: offsets, sparse files, long names of every dialect. GNU
// tar makes the archives; the members' bytes are found again at the offsets the reader reports.
#include "archives.hpp"

#include <fstream>

namespace shale::tar {
namespace {

using namespace testing;
using namespace std::string_literals;

// A directory with a long-named, a small, an empty and a sparse file, a symlink and a hardlink.
class GnuTar : public ::testing::TestWithParam<const char*> {
  protected:
    void SetUp() override {
        if (!has_tool("tar")) GTEST_SKIP() << "GNU tar is not installed";
        write("small", "small content\n");
        write("empty", "");
        write(std::string(200, 'n'), std::string(70000, 'L'));
        ASSERT_EQ(run("cd '" + dir_.path() +
                      "' && truncate -s 1M sparse && printf middle | "
                      "dd of=sparse bs=1 seek=500000 conv=notrunc 2>/dev/null && truncate -s 300k "
                      "hole && ln -s small "
                      "symbolic && ln small zhard")
                      .first,
                  0);
    }
    void write(const std::string& name, const std::string& content) {
        std::ofstream(dir_.path() + "/" + name) << content;
    }
    std::string make(const std::string& flags) {
        const auto [status, bytes] =
            run("tar -C '" + dir_.path() + "' --sort=name " + flags + " -cf - .");
        EXPECT_EQ(status, 0);
        return bytes;
    }
    TempDir dir_;
};

TEST_P(GnuTar, OffsetsPointAtHeaderAndContent) {
    const auto bytes = make(GetParam());
    Reader reader(source_of(bytes, 777), "gnu tar");
    std::size_t members = 0, contiguous = 0;
    std::optional<std::uint64_t> previous_end = 0;  // not known after a sparse file
    while (const auto member = reader.next()) {
        ++members;
        if (previous_end) {
            EXPECT_EQ(reader.header_offset(), *previous_end) << member->path;
        }
        EXPECT_TRUE(looks_like_tar(as_bytes(bytes).subspan(reader.header_offset())));
        const auto content = read_content(reader);
        EXPECT_EQ(content.size(), member->size) << member->path;
        previous_end = reader.content_offset() + member->size + padding(member->size);
        if (member->type != MemberType::Regular) continue;
        if (reader.content_is_contiguous()) {
            ++contiguous;
            EXPECT_TRUE(bytes.substr(reader.content_offset(), member->size) == content)
                << member->path;
        } else {
            previous_end.reset();
            if (member->path == "hole") continue;
            EXPECT_EQ(member->path, "sparse");
            EXPECT_TRUE(content == std::string(500000, '\0') + "middle" +
                                       std::string((1 << 20) - 500006, '\0'));
        }
    }
    EXPECT_EQ(members, 8u);
    EXPECT_GE(contiguous, 3u);
}

TEST_P(GnuTar, MembersAreComplete) {
    std::string listing;
    for (const Item& item : read_archive(make(GetParam()), 4099)) {
        listing += item.member.path.substr(0, 8) + ":" +
                   std::to_string(static_cast<int>(item.member.type)) + ":" +
                   std::to_string(item.member.size) + ":" + item.member.link_target + "\n";
    }
    EXPECT_EQ(listing, ":3:0:\n"
                       "empty:0:0:\n"
                       "hole:0:307200:\n"
                       "nnnnnnnn:0:70000:\n"
                       "small:0:14:\n"
                       "sparse:0:1048576:\n"
                       "symbolic:2:0:small\n"
                       "zhard:1:0:small\n");
}

INSTANTIATE_TEST_SUITE_P(Dialects, GnuTar,
                         ::testing::Values("--format=gnu", "--format=pax", "--format=gnu -S",
                                           "--format=pax -S --sparse-version=1.0",
                                           "--format=pax -S --sparse-version=0.1",
                                           "--format=pax -S --sparse-version=0.0"));

TEST(TarReader, EmptyStreamAndZeroBlocksAreEmptyArchives) {
    EXPECT_TRUE(read_archive("").empty());
    EXPECT_TRUE(read_archive(std::string(1024, '\0')).empty());
    EXPECT_TRUE(read_archive(std::string(10240, '\0')).empty());
}

TEST(TarReader, ArchiveWithoutTrailerIsAccepted) {
    const auto bytes = archive_of({{regular("f", 3), "abc"}});
    const auto items = read_archive(bytes.substr(0, bytes.size() - kTrailerBytes));
    ASSERT_EQ(items.size(), 1u);
    EXPECT_EQ(items[0].content, "abc");
}

TEST(TarReader, SkipsContentThatNobodyReads) {
    const auto bytes =
        archive_of({{regular("a", 5000), std::string(5000, 'a')}, {regular("b", 1), "b"}});
    Reader reader(source_of(bytes), "test");
    ASSERT_EQ(reader.next()->path, "a");
    ASSERT_EQ(reader.next()->path, "b");
    EXPECT_EQ(reader.header_offset(), 512u + 5120u);
    EXPECT_EQ(read_content(reader), "b");
    EXPECT_FALSE(reader.next());
    EXPECT_FALSE(reader.next()) << "stays at the end";
}

TEST(TarReader, NamesAreNormalised) {
    for (const auto& [raw, clean] : {std::pair{"./a//b/./c", "a/b/c"}, std::pair{"/etc/x", "etc/x"},
                                     std::pair{"./x", "x"}, std::pair{"a/..b/...", "a/..b/..."}}) {
        // The encoder refuses absolute paths, so the name is put in by hand and resealed.
        auto header = encode_header(regular(std::string(std::strlen(raw), 'x'), 0));
        std::copy_n(raw, std::strlen(raw), header.begin());
        reseal(header);
        const auto items = read_archive(header + std::string(1024, '\0'));
        ASSERT_EQ(items.size(), 1u);
        EXPECT_EQ(items[0].member.path, clean);
    }
}

// umoci's `insert` ends its layers so.
TEST(TarReader, PaddingOfTheLastContentMayBeMissing) {
    for (const std::size_t bytes : {1u, 6u, 511u, 512u, 513u, 200'000u}) {
        Item item;
        item.member.path = "f";
        item.member.mode = 0644;
        item.member.size = bytes;
        item.content.assign(bytes, 'x');
        const std::string whole = archive_of({item, item});
        const std::size_t end = whole.size() - kTrailerBytes - padding(bytes);
        const auto items = read_archive(whole.substr(0, end), 700);
        ASSERT_EQ(items.size(), 2u) << bytes;
        EXPECT_EQ(items[1].content, item.content);
        Reader skipping(source_of(whole.substr(0, end)), "test archive");
        EXPECT_TRUE(skipping.next() && skipping.next() && !skipping.next()) << bytes;
        // But not the last byte of the content itself, be it read or skipped.
        const std::string cut = whole.substr(0, end - 1);
        EXPECT_THROW(read_archive(cut), Error) << bytes;
        Reader cut_short(source_of(cut), "test archive");
        cut_short.next();
        cut_short.next();
        EXPECT_THROW(cut_short.next(), Error) << bytes;
    }
}

}  // namespace
}  // namespace shale::tar
