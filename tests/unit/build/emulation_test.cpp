// Which handler of binfmt_misc takes a platform's programs: registrations as qemu-user-static
// leaves them, in a directory of our own.
#include "emulation.hpp"

#include <gtest/gtest.h>

namespace shale::build {
namespace {

struct Emulation : testing::Test {
    TempDir directory;
    void handler(const std::string& name, const std::string& text) {
        write_file_atomic(directory.path() + "/" + name, as_bytes(text));
    }
    std::optional<Emulator> find(const std::string& platform) {
        return find_emulator(oci::Platform::parse(platform), directory.path());
    }
};

constexpr const char* kArm64 =
    "interpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: POCF\noffset 0\n"
    "magic 7f454c460201010000000000000000000200b700\n"
    "mask ffffffffffffff00fffffffffffffffffeffffff\n";
constexpr const char* kS390x =
    "enabled\ninterpreter /usr/bin/qemu-s390x-static\nflags: \noffset 0\n"
    "magic 7f454c4602020100000000000000000000020016\n"
    "mask ffffffffffffff00fffffffffffffffffffeffff\n";

TEST_F(Emulation, HandlersAreMatchedByMagicAndMask) {
    handler("qemu-aarch64", std::string("enabled\n") + kArm64);
    handler("status", "enabled\n");
    const auto found = find("linux/arm64");
    ASSERT_TRUE(found);
    EXPECT_EQ(found->name, "qemu-aarch64");
    EXPECT_TRUE(found->is_preloaded);
    EXPECT_FALSE(find("linux/arm/v7"));
    EXPECT_FALSE(find("linux/s390x"));
}

TEST_F(Emulation, BigEndianProgramsToo) {
    handler("qemu-s390x", kS390x);
    const auto found = find("linux/s390x");
    ASSERT_TRUE(found);
    EXPECT_FALSE(found->is_preloaded);
}

TEST_F(Emulation, ADisabledHandlerIsNone) {
    handler("qemu-aarch64", std::string("disabled\n") + kArm64);
    EXPECT_FALSE(find("linux/arm64"));
}

TEST_F(Emulation, AdviceNamesWhatIsMissing) {
    const auto platform = oci::Platform::parse("linux/s390x");
    EXPECT_NE(how_to_run(platform, directory.path()).find("qemu-user-static"), std::string::npos);
    handler("qemu-s390x", kS390x);
    EXPECT_NE(how_to_run(platform, directory.path()).find("flag F"), std::string::npos);
}

TEST(Native, ThisMachineAndWhatItsProcessorUnderstands) {
    EXPECT_TRUE(is_native(oci::Platform::host()));
    EXPECT_FALSE(is_native(oci::Platform::parse("linux/s390x")));
    EXPECT_FALSE(is_native(oci::Platform::parse("windows/amd64")));
}

}  // namespace
}  // namespace shale::build
