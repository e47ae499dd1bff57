// Other tools judge our archives: GNU tar and bsdtar extract them, Python's tarfile reads every
// field.
#include "archives.hpp"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

namespace shale::tar {
namespace {

using namespace testing;
using namespace std::string_literals;

const std::string kLongPath = std::string(120, 'd') + "/" + std::string(180, 'f');

std::vector<Item> sample() {
    Member directory;
    directory.path = std::string(120, 'd');
    directory.type = MemberType::Directory;
    directory.mode = 0755;
    directory.mtime_ns = 1'600'000'000'000'000'000;
    Item file{regular(kLongPath, 11), "hello there"};
    file.member.mtime_ns = 1'600'000'001'500'000'000;
    file.member.mode = 0640;
    file.member.xattrs = {{"user.note", "line\nwith=equals\0and nul"s}};
    Member hard = regular("hard", 0);
    hard.type = MemberType::Hardlink;
    hard.link_target = kLongPath;
    hard.mtime_ns = file.member.mtime_ns;
    hard.mode = 0640;
    Member symbolic = regular("symbolic", 0);
    symbolic.type = MemberType::Symlink;
    symbolic.mode = 0777;
    symbolic.link_target = kLongPath;
    Item bytes{regular("caf\xc3\xa9 \xff", 1), "x"};
    bytes.member.mtime_ns = -1'500'000'000;
    return {{directory, ""}, file, {hard, ""}, {symbolic, ""}, bytes};
}

// Writes the sample archive and returns its path.
std::string write_sample(const TempDir& dir) {
    const auto path = dir.path() + "/a.tar";
    std::ofstream(path) << archive_of(sample());
    return path;
}

void expect_extraction(const std::string& command, const TempDir& dir) {
    const auto root = dir.path() + "/out";
    make_directories(root);
    const auto [status, out] =
        run(command + " -xf '" + write_sample(dir) + "' -C '" + root + "' 2>&1");
    ASSERT_EQ(status, 0) << out;
    EXPECT_EQ(read_file(root + "/" + kLongPath), "hello there");
    struct stat file {
    }, hard{}, early{};
    ASSERT_EQ(::stat((root + "/" + kLongPath).c_str(), &file), 0);
    ASSERT_EQ(::stat((root + "/hard").c_str(), &hard), 0);
    ASSERT_EQ(::stat((root + "/caf\xc3\xa9 \xff").c_str(), &early), 0) << out;
    EXPECT_EQ(file.st_ino, hard.st_ino);
    EXPECT_EQ(file.st_mtim.tv_sec, 1'600'000'001);
    EXPECT_EQ(file.st_mtim.tv_nsec, 500'000'000);
    EXPECT_EQ(file.st_mode & 07777, 0640u);
    EXPECT_EQ(std::filesystem::read_symlink(root + "/symbolic"), kLongPath);
}

TEST(TarJudges, GnuTarExtracts) {
    if (!has_tool("tar")) GTEST_SKIP() << "tar is not installed";
    TempDir dir;
    expect_extraction("tar", dir);
}

TEST(TarJudges, BsdtarExtracts) {
    if (!has_tool("bsdtar")) GTEST_SKIP() << "bsdtar is not installed";
    TempDir dir;
    expect_extraction("bsdtar", dir);
}

TEST(TarJudges, PythonReadsEveryField) {
    if (!has_tool("python3")) GTEST_SKIP() << "python3 is not installed";
    TempDir dir;
    const auto archive = write_sample(dir);
    const auto script = dir.path() + "/list.py";
    std::ofstream(script) << R"(
import sys, tarfile
for m in tarfile.open(sys.argv[1], errors='surrogateescape'):
    name = m.name.encode('utf-8', 'surrogateescape')
    xattr = m.pax_headers.get('SCHILY.xattr.user.note', '')
    print(m.type.decode(), repr(name[-8:]), len(name), oct(m.mode), m.size, '%.1f' % m.mtime,
          len(m.linkname), repr(xattr), repr(m.uname + m.gname))
)";
    const auto [status, out] = run("python3 '" + script + "' '" + archive + "' 2>&1");
    EXPECT_EQ(status, 0);
    EXPECT_EQ(out, "5 b'dddddddd' 120 0o755 0 1600000000.0 0 '' ''\n"
                   "0 b'ffffffff' 301 0o640 11 1600000001.5 0 "
                   "'line\\nwith=equals\\x00and nul' ''\n"
                   "1 b'hard' 4 0o640 0 1600000001.5 301 '' ''\n"
                   "2 b'symbolic' 8 0o777 0 0.0 301 '' ''\n"
                   "0 b'caf\\xc3\\xa9 \\xff' 7 0o644 1 -1.5 0 '' ''\n");
}

}  // namespace
}  // namespace shale::tar
