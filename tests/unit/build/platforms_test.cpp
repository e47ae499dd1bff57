// One build for several platforms: what is shared, what differs, and what comes out.
#include "build_fixture.hpp"

#include <sys/stat.h>

namespace shale::build {
namespace {

using snapshot::kNoNode;

std::string foreign() {
    return oci::Platform::host().architecture == "arm64" ? "linux/amd64" : "linux/arm64";
}

struct Platforms : testing::Test {
    MemoryRegistry registry;
    Builder machine{registry};
    TempDir out;
    const std::string host = oci::Platform::host().str();
    const std::string other = foreign();

    Request request(const std::string& dockerfile, std::vector<std::string> platforms = {}) {
        auto made = machine.request(dockerfile);
        made.tags = {oci::Reference::parse("it")};
        if (platforms.empty()) platforms = {host, other};
        for (const auto& platform : platforms)
            made.platforms.push_back(oci::Platform::parse(platform));
        return made;
    }
    oci::Index index() {
        const auto descriptor = machine.store.resolve(oci::Reference::parse("it"));
        return oci::decode_index(
            machine.store.read_document(descriptor->digest, oci::kMaxManifestBytes));
    }
    static std::string directory(std::string platform) {
        std::replace(platform.begin(), platform.end(), '/', '_');
        return platform;
    }
};

constexpr const char* kArguments = "FROM scratch\nARG TARGETPLATFORM\nARG BUILDPLATFORM\n"
                                   "COPY <<E /p\n$TARGETPLATFORM on $BUILDPLATFORM\nE\n";

TEST_F(Platforms, SeveralMakeAnIndexWithOneImageEach) {
    const auto result = machine.build(request(kArguments));
    const auto made = index();
    ASSERT_EQ(made.manifests.size(), 2u);
    EXPECT_EQ(made.manifests[0].platform->str(), host);
    EXPECT_EQ(made.manifests[1].platform->str(), other);
    for (const auto& manifest : made.manifests)
        EXPECT_EQ(machine.store.config(machine.store.manifest(manifest)).platform,
                  *manifest.platform);
    EXPECT_TRUE(result.is_index);
    EXPECT_EQ(result.image_id, result.manifest.digest);
}

TEST_F(Platforms, ArgumentsAreThoseOfEachPlatform) {
    auto wanted = request(kArguments);
    wanted.outputs = {output("type=local,dest=" + out.path())};
    machine.build(wanted);
    EXPECT_EQ(read_file(out.path() + "/" + directory(host) + "/p"), host + " on " + host + "\n");
    EXPECT_EQ(read_file(out.path() + "/" + directory(other) + "/p"), other + " on " + host + "\n");
}

TEST_F(Platforms, StepsOfTheBuildPlatformAreSharedAndShownOnce) {
    machine.file("f", "F");
    const auto result = machine.build(
        request("FROM --platform=$BUILDPLATFORM scratch AS tools\nCOPY f /a\nCOPY f /b\n"
                "FROM scratch\nARG TARGETARCH\nCOPY --from=tools /a /$TARGETARCH\n"));
    EXPECT_EQ(machine.progress.count("COPY f /a"), 2u);  // scratch is of the target, so are titles
    EXPECT_EQ(machine.progress.count("COPY --from=tools"), 2u);
    EXPECT_EQ(result.steps, 6u);
    EXPECT_EQ(result.cached_steps, 2u);
}

TEST_F(Platforms, AStageOnAnImageOfTheBuildPlatformIsOneForAll) {
    machine.file("f", "F");
    auto base = request("FROM scratch\nCOPY f /base\n");
    base.tags = {oci::Reference::parse("registry.test/base:1")};
    base.outputs = {output("type=registry")};
    machine.build(base);
    const auto result =
        machine.build(request("FROM --platform=$BUILDPLATFORM registry.test/base:1 AS tools\n"
                              "COPY f /a\n"
                              "FROM scratch\nCOPY --from=tools /a /a\n"));
    EXPECT_EQ(machine.progress.count("COPY f /a"), 1u);
    EXPECT_EQ(machine.progress.count("load metadata"), 1u);
    EXPECT_EQ(machine.progress.count("[" + host + " tools 2/2] COPY f /a"), 1u);
    EXPECT_EQ(result.steps, 3u);
}

TEST_F(Platforms, ABaseIsTakenForItsPlatform) {
    auto base = request(kArguments);
    base.tags = {oci::Reference::parse("registry.test/base:1")};
    base.outputs = {output("type=registry")};
    machine.build(base);
    Builder second(registry);
    auto wanted = second.request("FROM registry.test/base:1\nWORKDIR /w\n");
    wanted.tags = {oci::Reference::parse("it")};
    wanted.platforms = {oci::Platform::parse(other)};
    second.build(wanted);
    EXPECT_EQ(second.text("it", "p"), other + " on " + host + "\n");
}

TEST_F(Platforms, TitlesNameThePlatformAndACrossBuild) {
    machine.build(request("FROM scratch\nWORKDIR /a\n"));
    EXPECT_EQ(machine.progress.count("[" + other + " 1/1] WORKDIR /a"), 1u);
    auto base = request("FROM scratch\nWORKDIR /base\n");
    base.tags = {oci::Reference::parse("registry.test/base:1")};
    base.outputs = {output("type=registry")};
    machine.build(base);
    machine.build(request("FROM --platform=$BUILDPLATFORM registry.test/base:1\nWORKDIR /a\n"
                          "ARG TARGETARCH\nWORKDIR /b\n"));
    EXPECT_EQ(machine.progress.count("[" + host + " 2/3] WORKDIR /a"), 1u);
    EXPECT_EQ(machine.progress.count("[" + host + "->" + oci::Platform::parse(other).architecture +
                                     " 3/3] WORKDIR"),
              1u);
}

TEST_F(Platforms, OnePlatformIsAnIndexIfThatIsAskedFor) {
    auto wanted = request(kArguments, {other});
    wanted.build_args = {{"BUILDKIT_MULTI_PLATFORM", "1"}};
    EXPECT_TRUE(machine.build(wanted).is_index);
    EXPECT_EQ(index().manifests.size(), 1u);
    wanted.build_args = {{"BUILDKIT_MULTI_PLATFORM", "0"}};
    EXPECT_FALSE(machine.build(wanted).is_index);
    wanted.platforms.push_back(oci::Platform::host());
    EXPECT_NE(machine.error_of(wanted).find("returning multiple target platforms is not allowed"),
              std::string::npos);
}

TEST_F(Platforms, TheSamePlatformTwiceIsOne) {
    EXPECT_FALSE(machine.build(request(kArguments, {other, other})).is_index);
}

TEST_F(Platforms, TreesCanBeMergedIfTheyDoNotMeet) {
    auto wanted = request("FROM scratch\nARG TARGETARCH\nCOPY <<E /bin/$TARGETARCH\nE\n");
    wanted.outputs = {output("type=local,platform-split=false,dest=" + out.path())};
    machine.build(wanted);
    EXPECT_TRUE(path_exists(out.path() + "/bin/amd64"));
    EXPECT_TRUE(path_exists(out.path() + "/bin/arm64"));
    auto meeting = request("FROM scratch\nCOPY <<E /f\nE\n");
    meeting.outputs = wanted.outputs;
    EXPECT_NE(machine.error_of(meeting).find("/f of " + other), std::string::npos);
}

TEST_F(Platforms, SplittingCanBeAskedForWithOnePlatform) {
    auto wanted = request(kArguments, {other});
    wanted.outputs = {output("type=local,platform-split=true,dest=" + out.path())};
    machine.build(wanted);
    EXPECT_TRUE(path_exists(out.path() + "/" + directory(other) + "/p"));
}

TEST_F(Platforms, AnIndexIsPushedAfterAllItLists) {
    auto wanted = request(kArguments);
    wanted.tags = {oci::Reference::parse("registry.test/app:1")};
    wanted.outputs = {output("type=registry")};
    const auto result = machine.build(wanted);
    const auto pushed = oci::decode_index(registry.manifests.at("app/1"));
    ASSERT_EQ(pushed.manifests.size(), 2u);
    for (const auto& manifest : pushed.manifests) {
        const auto image =
            oci::decode_manifest(registry.manifests.at("app/" + manifest.digest.str()));
        for (const auto& layer : image.layers)
            EXPECT_TRUE(registry.blobs.contains("app/" + layer.digest.str()));
    }
    EXPECT_EQ(codec::sha256(registry.manifests.at("app/1")), result.manifest.digest);
}

TEST_F(Platforms, AnIndexWithoutThisMachinesPlatformIsStillListedInTheStore) {
    machine.build(request(kArguments, {other, "linux/riscv64"}));
    const auto descriptor = machine.store.resolve(oci::Reference::parse("it"));
    EXPECT_EQ(machine.store.config(machine.store.manifest(*descriptor)).platform.str(), other);
}

TEST_F(Platforms, AFailureIsToldOnceWithItsLines) {
    const auto error = machine.error_of(request("FROM scratch\nCOPY nothing /\n"));
    EXPECT_NE(error.find("\"/nothing\": not found"), std::string::npos) << error;
}

}  // namespace
}  // namespace shale::build
