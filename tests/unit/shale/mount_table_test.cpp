#include "mount_table.hpp"

#include <gtest/gtest.h>

namespace shale::cli {
namespace {

TEST(MountTable, FindsOurMountsAmongOthers) {
    const auto rows = parse_mountinfo(
        "22 1 0:20 / / rw,relatime shared:1 - ext4 /dev/sda rw\n"
        "30 22 0:44 / /mnt/app\\040one ro,nosuid shared:7 master:2 - fuse.shale app:prod ro\n"
        "31 22 0:45 / /mnt/x ro - fuse.sshfs host:/ ro\n"
        "32 22 0:46 / /mnt/b\\134s ro - fuse.shale b:latest ro\n"
        "33 22 0:47 / /mnt/rw rw - overlay overlay rw,lowerdir=/a\n");
    ASSERT_EQ(rows.size(), 3u);
    EXPECT_EQ(rows[0].row.source, "app:prod");
    EXPECT_EQ(rows[0].row.target, "/mnt/app one");
    EXPECT_EQ(rows[0].row.device, "0:44");
    EXPECT_EQ(rows[1].row.target, "/mnt/b\\s");
    EXPECT_TRUE(rows[0].is_ours && rows[1].is_ours);
    EXPECT_FALSE(rows[2].is_ours) << "only a record makes an overlay ours";
}

TEST(MountTable, StandsLinesThatEndEarly) {
    EXPECT_TRUE(parse_mountinfo("").empty());
    EXPECT_TRUE(
        parse_mountinfo("30 22 0:44 / /mnt ro\n\n30 22 0:44 / /mnt ro - fuse.shale").empty());
}

TEST(MountTable, ReadsThisMachine) {
    EXPECT_NO_THROW(shale_mounts("/nonexistent"));
}

}  // namespace
}  // namespace shale::cli
