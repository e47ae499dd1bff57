// Archives that no honest tool writes. Each case names what a reader that lets it through would do.
#include "archives.hpp"

#include <fmt/format.h>

namespace shale::tar {
namespace {

using namespace testing;
using namespace std::string_literals;

ErrorKind read_error(const std::string& bytes, std::string* text = nullptr) {
    try {
        read_archive(bytes);
    } catch (const Error& error) {
        if (text != nullptr) *text = error.what();
        return error.kind();
    }
    ADD_FAILURE() << "the archive was read";
    return ErrorKind::System;
}

std::string record(std::string_view key, std::string_view value) {
    for (std::size_t length = 1;; ++length) {
        auto line = fmt::format("{} {}={}\n", length, key, value);
        if (line.size() == length) return line;
    }
}

// A PAX header with the given records in front of a small regular file.
std::string with_pax(const std::string& records, const Item& item = {regular("f", 3), "abc"}) {
    auto header = encode_header(regular("PaxHeaders.0/f", records.size()));
    header[156] = 'x';
    reseal(header);
    return header + records + std::string(padding(records.size()), '\0') + archive_of({item});
}

TEST(HostileTar, DotDotInANameEscapesTheRoot) {
    for (const char* path : {"..", "../x", "a/../../x", "a/..", "./../x"}) {
        std::string text;
        EXPECT_EQ(read_error(archive_of({{regular(path, 0), ""}}), &text), ErrorKind::Corrupt);
        EXPECT_EQ(text,
                  fmt::format("test archive: tar offset 0: archive member \"{}\" escapes the root",
                              path));
    }
}

TEST(HostileTar, DotDotInAPaxPathEscapesTheRoot) {
    EXPECT_EQ(read_error(with_pax(record("path", "../../etc/passwd"))), ErrorKind::Corrupt);
    EXPECT_EQ(
        read_error(with_pax(record("GNU.sparse.name", "../x") + record("GNU.sparse.size", "3") +
                            record("GNU.sparse.numblocks", "0"))),
        ErrorKind::Corrupt);
}

TEST(HostileTar, DotDotInAHardlinkTargetEscapesTheRoot) {
    Member link = regular("l", 0);
    link.type = MemberType::Hardlink;
    link.link_target = "../../etc/shadow";
    std::string text;
    EXPECT_EQ(read_error(archive_of({{link, ""}}), &text), ErrorKind::Corrupt);
    EXPECT_NE(text.find("\"../../etc/shadow\" escapes the root"), std::string::npos) << text;
    link.link_target = "";
    EXPECT_EQ(read_error(archive_of({{link, ""}})), ErrorKind::Corrupt);
}

TEST(HostileTar, SymlinkTextIsData) {
    Member link = regular("l", 0);
    link.type = MemberType::Symlink;
    link.link_target = "../../../etc/passwd";
    const auto items = read_archive(archive_of({{link, ""}}));
    ASSERT_EQ(items.size(), 1u);
    EXPECT_EQ(items[0].member.link_target, "../../../etc/passwd");
}

TEST(HostileTar, RootThatIsNotADirectoryIsCorrupt) {
    auto bytes = archive_of({{regular("..", 0), ""}});
    bytes[1] = '\0';
    reseal(bytes);
    std::string text;
    EXPECT_EQ(read_error(bytes, &text), ErrorKind::Corrupt);
    EXPECT_NE(text.find("replaces the root"), std::string::npos) << text;
}

TEST(HostileTar, NamesBeyondTheLimitsAreCorrupt) {
    EXPECT_EQ(read_error(archive_of({{regular(std::string(256, 'n'), 0), ""}})),
              ErrorKind::Corrupt);
    std::string deep;
    while (deep.size() <= kMaxPathBytes)
        deep += "d/";
    EXPECT_EQ(read_error(archive_of({{regular(deep + "f", 0), ""}})), ErrorKind::Corrupt);
}

TEST(HostileTar, DamagedHeaderIsCorruptAndNamesTheOffset) {
    auto bytes = archive_of({{regular("a", 3), "abc"}, {regular("b", 0), ""}});
    bytes[1024] = 'X';
    std::string text;
    EXPECT_EQ(read_error(bytes, &text), ErrorKind::Corrupt);
    EXPECT_NE(text.find("tar offset"), std::string::npos) << text;
}

TEST(HostileTar, TruncationInsideAMemberIsCorrupt) {
    const auto bytes = archive_of({{regular("a", 700), std::string(700, 'a')}});
    for (const std::size_t length : {1u, 511u, 513u, 600u, 1100u})
        EXPECT_EQ(read_error(bytes.substr(0, length)), ErrorKind::Corrupt) << length;
}

TEST(HostileTar, GarbageIsCorrupt) {
    EXPECT_EQ(read_error(std::string(2048, 'g')), ErrorKind::Corrupt);
    EXPECT_EQ(read_error("short"), ErrorKind::Corrupt);
}

// Other readers stop at the bad record or fail; libarchive drops it and carries on.
TEST(HostileTar, MalformedPaxRecordsAreCorrupt) {
    for (const auto& records :
         {"5 x\n"s, "99 path=evil\n"s, "zz path=evil\n"s, "12 path=evil!"s, "6 =xy\n\n"s, "0 \n"s})
        EXPECT_EQ(read_error(with_pax(records)), ErrorKind::Corrupt) << records;
}

TEST(HostileTar, SizesThatDisagreeAreCorrupt) {
    const Item item{regular("f", 3), "abc"};
    // More than there is, less than there is, negative, beyond 63 bits.
    EXPECT_EQ(read_error(with_pax(record("GNU.sparse.realsize", "4000"), item)),
              ErrorKind::Corrupt);
    EXPECT_EQ(read_error(with_pax(record("SCHILY.realsize", "2"), item)), ErrorKind::Corrupt);
    EXPECT_EQ(read_error(with_pax(record("size", "99999999"), item)), ErrorKind::Corrupt);
    EXPECT_EQ(read_error(with_pax(record("size", "-5"), item)), ErrorKind::Corrupt);
}

TEST(HostileTar, IdsOutOfRangeAreCorrupt) {
    EXPECT_EQ(read_error(with_pax(record("uid", "4294967296"))), ErrorKind::Corrupt);
    EXPECT_EQ(read_error(with_pax(record("gid", "-1"))), ErrorKind::Corrupt);
}

TEST(HostileTar, ExabytesOfHolesAreRefused) {
    const auto records = record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0") +
                         record("GNU.sparse.name", "f") +
                         record("GNU.sparse.realsize", "4611686018427387904");
    std::string map = "1\n4611686018427387904\n0\n";
    map.resize(512, '\0');
    EXPECT_EQ(read_error(with_pax(records, {regular("f", 512), map})), ErrorKind::Unsupported);
}

// Each is allowed; whoever hashes them would have to hash all.
TEST(HostileTar, HolesAreCountedTogether) {
    const std::string size = std::to_string(40ull << 30);
    const auto records = record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0") +
                         record("GNU.sparse.name", "f") + record("GNU.sparse.realsize", size);
    std::string map = "1\n" + size + "\n0\n";
    map.resize(512, '\0');
    const auto one = with_pax(records, {regular("f", 512), map});
    const auto bytes = one.substr(0, one.size() - kTrailerBytes) + one;
    Reader reader(source_of(bytes), "holes");
    EXPECT_TRUE(reader.next());
    try {
        reader.next();
        ADD_FAILURE() << "two of 40 GiB are as good as one of 80";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::Unsupported) << error.what();
    }
}

TEST(HostileTar, EndlessHeadersAreCorrupt) {
    std::string bytes;
    for (int i = 0; i < 100; ++i) {
        const auto one = with_pax(record("comment", "again"));
        bytes += one.substr(0, 1024);
    }
    EXPECT_EQ(read_error(bytes + archive_of({{regular("f", 0), ""}})), ErrorKind::Corrupt);
}

TEST(HostileTar, TimesBeyondNanosecondsAreClamped) {
    const auto items = read_archive(with_pax(record("mtime", "99999999999999.5")));
    EXPECT_EQ(items.at(0).member.mtime_ns, INT64_MAX);
}

TEST(HostileTar, ErrorsOfTheSourcePassThrough) {
    const auto bytes = archive_of({{regular("f", 70000), std::string(70000, 'x')}});
    for (const std::size_t good : {std::size_t{0}, std::size_t{600}, std::size_t{40000}}) {
        Reader reader(
            [&, at = std::size_t{0}](MutableBytes out) mutable -> std::size_t {
                if (at >= good) fail(ErrorKind::Network, "peer went away");
                const std::size_t count = std::min(out.size(), good - at);
                std::copy_n(as_bytes(bytes).begin() + static_cast<std::ptrdiff_t>(at), count,
                            out.begin());
                at += count;
                return count;
            },
            "network archive");
        try {
            while (reader.next())
                read_content(reader);
            ADD_FAILURE() << "read to the end after " << good;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::Network);
        }
    }
}

}  // namespace
}  // namespace shale::tar
