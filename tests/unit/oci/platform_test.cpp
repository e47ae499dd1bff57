// Platforms: spellings, and which manifest of an index is chosen.
#include <shale/oci.hpp>

#include <gtest/gtest.h>

namespace shale::oci {
namespace {

struct Spelling {
    std::string text, normal;
};

void PrintTo(const Spelling& c, std::ostream* out) {
    *out << c.text;
}

class PlatformSpelling : public testing::TestWithParam<Spelling> {};

TEST_P(PlatformSpelling, IsNormalised) {
    const auto platform = Platform::parse(GetParam().text);
    EXPECT_EQ(platform.str(), GetParam().normal);
    EXPECT_EQ(platform.normalized(), platform) << "normal form is a fixed point";
    EXPECT_EQ(Platform::parse(platform.str()), platform);
}

INSTANTIATE_TEST_SUITE_P(
    Platform, PlatformSpelling,
    testing::Values(
        Spelling{"amd64", "linux/amd64"}, Spelling{"x86_64", "linux/amd64"},
        Spelling{"x86-64", "linux/amd64"}, Spelling{"linux/x86_64", "linux/amd64"},
        Spelling{"linux/amd64/v1", "linux/amd64"}, Spelling{"linux/amd64/2", "linux/amd64/v2"},
        Spelling{"linux/amd64/v3", "linux/amd64/v3"}, Spelling{"aarch64", "linux/arm64"},
        Spelling{"linux/arm64/v8", "linux/arm64"}, Spelling{"linux/arm64/8", "linux/arm64"},
        Spelling{"linux/arm64/v9", "linux/arm64/v9"}, Spelling{"arm", "linux/arm/v7"},
        Spelling{"armhf", "linux/arm/v7"}, Spelling{"armel", "linux/arm/v6"},
        Spelling{"armv7l", "linux/arm/v7"}, Spelling{"linux/arm/6", "linux/arm/v6"},
        Spelling{"linux/armv6l", "linux/arm/v6"}, Spelling{"i686", "linux/386"},
        Spelling{"LINUX/AMD64", "linux/amd64"}, Spelling{"ppc64le", "linux/ppc64le"},
        Spelling{"riscv64", "linux/riscv64"}, Spelling{"s390x", "linux/s390x"},
        Spelling{"macos/arm64", "darwin/arm64"}, Spelling{"windows/amd64", "windows/amd64"}));

TEST(Platform, RefusesWhatIsNone) {
    for (const std::string text : {"", "/", "foo", "foo/", "/amd64", "a/b/c/d", "linux/am d64"}) {
        try {
            Platform::parse(text);
            FAIL() << text;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::Invalid) << text;
            EXPECT_TRUE(std::string(error.what()).starts_with("\"" + text + "\": "))
                << error.what();
        }
    }
}

TEST(Platform, OsVersionIsUnsupported) {
    try {
        Platform::parse("windows(10.0.17763)/amd64");
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::Unsupported);
    }
}

TEST(Platform, HostIsLinuxInNormalForm) {
    const auto host = Platform::host();
    EXPECT_EQ(host.os, "linux");
    EXPECT_EQ(host, host.normalized());
    EXPECT_EQ(Platform::parse("linux"), host) << "a bare system name takes the host's architecture";
}

Descriptor manifest_for(const std::string& platform, std::uint8_t id) {
    Descriptor out;
    out.media_type = media::kManifest;
    out.digest.bytes[0] = id;
    if (platform.empty()) return out;
    // Spelled as images spell it, not normalised.
    const auto first = platform.find('/'), second = platform.find('/', first + 1);
    out.platform =
        Platform{platform.substr(0, first), platform.substr(first + 1, second - first - 1),
                 second == std::string::npos ? "" : platform.substr(second + 1)};
    return out;
}

struct Choice {
    std::string name;
    std::vector<std::string> offered;
    std::string wanted;
    int chosen;  // index into offered, -1 for none
};

void PrintTo(const Choice& c, std::ostream* out) {
    *out << c.name;
}

class PlatformChoice : public testing::TestWithParam<Choice> {};

TEST_P(PlatformChoice, TakesTheNearest) {
    const auto& c = GetParam();
    Index index;
    for (std::size_t i = 0; i < c.offered.size(); ++i)
        index.manifests.push_back(manifest_for(c.offered[i], static_cast<std::uint8_t>(i + 1)));
    const auto chosen = select_platform(index, Platform::parse(c.wanted));
    if (c.chosen < 0)
        EXPECT_FALSE(chosen);
    else {
        ASSERT_TRUE(chosen);
        EXPECT_EQ(chosen->digest.bytes[0], c.chosen + 1);
    }
}

INSTANTIATE_TEST_SUITE_P(
    Platform, PlatformChoice,
    testing::Values(
        Choice{"exact", {"linux/amd64", "linux/arm64"}, "linux/arm64", 1},
        Choice{"v8 is arm64", {"linux/amd64", "linux/arm64/v8"}, "linux/arm64", 1},
        Choice{"arm without variant is v7", {"linux/arm/v5", "linux/arm"}, "linux/arm/v7", 1},
        Choice{"exact beats order", {"linux/arm/v6", "linux/arm/v7"}, "linux/arm/v7", 1},
        Choice{"newest older", {"linux/arm/v5", "linux/arm/v6", "linux/arm/v8"}, "linux/arm/v7", 1},
        Choice{"plain beats older", {"linux/amd64/v2", "linux/amd64"}, "linux/amd64/v3", 1},
        Choice{"newer is none", {"linux/amd64/v3"}, "linux/amd64", -1},
        Choice{
            "newer is none of ARM's either", {"linux/arm/v7", "linux/arm64"}, "linux/arm/v6", -1},
        Choice{"older among newer", {"linux/arm/v7", "linux/arm/v5"}, "linux/arm/v6", 1},
        Choice{"other system", {"windows/amd64"}, "linux/amd64", -1},
        Choice{"other architecture", {"linux/s390x"}, "linux/amd64", -1},
        Choice{"unstated platform", {"linux/s390x", ""}, "linux/amd64", 1},
        Choice{"stated beats unstated", {"", "linux/amd64"}, "linux/amd64", 1},
        Choice{"first of equals", {"linux/amd64", "linux/amd64"}, "linux/amd64", 0},
        Choice{"empty index", {}, "linux/amd64", -1}));

TEST(Platform, AttestationIsNeverChosen) {
    Index index;
    index.manifests.push_back(manifest_for("", 1));
    index.manifests[0].annotations["vnd.docker.reference.type"] = "attestation-manifest";
    EXPECT_FALSE(select_platform(index, Platform::parse("linux/amd64")));
}

}  // namespace
}  // namespace shale::oci
