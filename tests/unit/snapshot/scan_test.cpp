// scan: what it reads, what it need not read, and what it must never miss.
#include <shale/codec.hpp>
#include <shale/snapshot.hpp>

#include <gtest/gtest.h>

namespace shale::snapshot {
namespace {

TEST(Scan, Smoke) {
    const TempDir dir;
    make_directories(dir.path() + "/a/b");
    write_file_atomic(dir.path() + "/a/b/f", as_bytes("hello"));
    write_file_atomic(dir.path() + "/z", as_bytes(std::string(1000000, 'z')));
    ScanStats stats;
    const Tree tree = scan(dir.path(), {}, &stats);
    EXPECT_EQ(tree.size(), 5u);
    EXPECT_EQ(tree.entry(tree.find("a/b/f")).content, codec::sha256("hello"));
    EXPECT_EQ(tree.entry(tree.find("z")).content, codec::sha256(std::string(1000000, 'z')));
    EXPECT_EQ(stats.engine, "io_uring");
    EXPECT_EQ(stats.walk.entries, 5u);
}

}  // namespace
}  // namespace shale::snapshot
