// Image configs: every field both ways, what Docker adds, what nobody knows, and what is refused.
#include <shale/oci.hpp>

#include <gtest/gtest.h>

namespace shale::oci {
namespace {

const std::string kDiffId = "sha256:" + std::string(64, 'c');

std::string document(const std::string& config, const std::string& more = {}) {
    return R"({"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":)" +
           config + more + "}";
}

ImageConfig full_config() {
    ImageConfig out;
    out.created_ns = 1'700'000'000'123'456'789;
    out.author = "me";
    out.platform = {"linux", "arm", "v7"};
    out.os_version = "1.2";
    out.os_features = {"f"};
    auto& run = out.config;
    run.user = "1000:1000";
    run.exposed_ports = {"53/udp", "80/tcp"};
    run.env = {"PATH=/bin", "A="};
    run.entrypoint = {"/bin/app"};
    run.cmd = std::vector<std::string>{};
    run.shell = {"/bin/bash", "-c"};
    run.volumes = {"/data"};
    run.working_dir = "/w";
    run.labels = {{"l", "v"}};
    run.stop_signal = "SIGINT";
    run.args_escaped = true;
    run.healthcheck = Healthcheck{{"CMD", "x"}, 1, 2, 3, 4, 5};
    run.onbuild = {"RUN x"};
    out.diff_ids = {Digest::parse(kDiffId)};
    out.history = {{0, "RUN x", "me", "buildkit.dockerfile.v0", false},
                   {std::nullopt, "ENV A=", "", "", true}};
    out.unknown_top = {{"docker_version", "\"24\""}, {"x", "{\"deep\":[1,null,2.5]}"}};
    out.unknown_config = {{"Hostname", "\"h\""}, {"StopTimeout", "10"}};
    return out;
}

TEST(ImageConfig, FullFormIsCompactAndSorted) {
    EXPECT_EQ(
        encode(full_config()),
        R"({"architecture":"arm","author":"me","config":{"ArgsEscaped":true,"Cmd":[],)"
        R"("Entrypoint":["/bin/app"],"Env":["PATH=/bin","A="],"ExposedPorts":{"53/udp":{},"80/tcp":{}},)"
        R"("Healthcheck":{"Interval":1,"Retries":5,"StartInterval":4,"StartPeriod":3,"Test":["CMD","x"],)"
        R"("Timeout":2},"Hostname":"h","Labels":{"l":"v"},"OnBuild":["RUN x"],)"
        R"("Shell":["/bin/bash","-c"],"StopSignal":"SIGINT","StopTimeout":10,"User":"1000:1000",)"
        R"("Volumes":{"/data":{}},"WorkingDir":"/w"},"created":"2023-11-14T22:13:20.123456789Z",)"
        R"("docker_version":"24","history":[{"author":"me","comment":"buildkit.dockerfile.v0",)"
        R"("created":"1970-01-01T00:00:00Z","created_by":"RUN x"},{"created_by":"ENV A=",)"
        R"("empty_layer":true}],"os":"linux","os.features":["f"],"os.version":"1.2",)"
        R"("rootfs":{"diff_ids":[")" +
            kDiffId + R"("],"type":"layers"},"variant":"v7","x":{"deep":[1,null,2.5]}})");
}

TEST(ImageConfig, EveryFieldSurvivesTheRoundTrip) {
    const auto original = full_config();
    const auto text = encode(original);
    const auto again = decode_config(text);
    EXPECT_EQ(encode(again), text);
    EXPECT_EQ(again.created_ns, original.created_ns);
    EXPECT_EQ(again.platform, original.platform);
    EXPECT_EQ(again.config.cmd, original.config.cmd) << "an empty command is not a missing one";
    EXPECT_EQ(again.config.env, original.config.env) << "order is kept";
    EXPECT_EQ(again.history.at(0).created_ns, 0) << "the epoch is a time";
    EXPECT_FALSE(again.history.at(1).created_ns);
    EXPECT_EQ(again.unknown_top, original.unknown_top);
    EXPECT_EQ(again.unknown_config, original.unknown_config);
}

TEST(ImageConfig, EmptyConfigWritesOnlyWhatIsRequired) {
    ImageConfig config;
    config.platform.architecture = "amd64";
    EXPECT_EQ(encode(config), R"({"architecture":"amd64","config":{},"os":"linux",)"
                              R"("rootfs":{"diff_ids":[],"type":"layers"}})");
}

// What the classic Docker builder writes: null for every empty list, strings where lists belong in
// its oldest form, and Go's zero time for "never".
TEST(ImageConfig, ReadsDockersOwnForm) {
    const auto config = decode_config(
        R"({"architecture":"amd64","os":"linux","created":"0001-01-01T00:00:00Z",)"
        R"("config":{"Hostname":"","Env":["PATH=/bin"],"Cmd":"/bin/sh","Entrypoint":null,"Volumes":null,)"
        R"("ExposedPorts":null,"Labels":null,"OnBuild":null,"Healthcheck":null,"ArgsEscaped":true},)"
        R"("container_config":{"Cmd":null},"history":[{"created":"0001-01-01T00:00:00Z","created_by":"x"}],)"
        R"("rootfs":{"type":"layers","diff_ids":null},"docker_version":"1.9"})");
    EXPECT_EQ(config.config.cmd, std::vector<std::string>{"/bin/sh"});
    EXPECT_FALSE(config.config.entrypoint);
    EXPECT_FALSE(config.created_ns);
    EXPECT_FALSE(config.history.at(0).created_ns);
    EXPECT_TRUE(config.config.args_escaped);
    EXPECT_TRUE(config.config.labels.empty());
    EXPECT_EQ(config.unknown_config.at("Hostname"), "\"\"");
    EXPECT_EQ(config.unknown_top.at("container_config"), R"({"Cmd":null})");
    EXPECT_EQ(config.unknown_top.at("docker_version"), "\"1.9\"");
}

TEST(ImageConfig, UnknownMemberNeverReplacesAKnownOne) {
    ImageConfig config;
    config.platform.architecture = "amd64";
    config.unknown_top = {{"os", "\"plan9\""}};
    config.unknown_config = {{"User", "\"evil\""}};
    config.config.user = "me";
    const auto again = decode_config(encode(config));
    EXPECT_EQ(again.platform.os, "linux");
    EXPECT_EQ(again.config.user, "me");
}

TEST(ImageConfig, BytesThatAreNotUtf8AreReplaced) {
    ImageConfig config;
    config.config.env = {"A=\xc3("};
    EXPECT_EQ(decode_config(encode(config)).config.env.at(0), "A=\ufffd(");
}

struct Refusal {
    std::string text, message;
    ErrorKind kind = ErrorKind::Corrupt;
};

void PrintTo(const Refusal& c, std::ostream* out) {
    *out << c.message;
}

class RefusedConfig : public testing::TestWithParam<Refusal> {};

TEST_P(RefusedConfig, SaysWhere) {
    try {
        decode_config(GetParam().text);
        FAIL() << "accepted";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), GetParam().kind);
        EXPECT_EQ(error.what(), "image config: " + GetParam().message);
    }
}

INSTANTIATE_TEST_SUITE_P(
    ImageConfig, RefusedConfig,
    testing::Values(
        Refusal{"[]", "not an object"}, Refusal{"{}", "rootfs is missing"},
        Refusal{document("[]"), "config: not an object"},
        Refusal{document(R"({"Env":{}})"), "config.Env: not an array"},
        Refusal{document(R"({"Env":["A=1",2]})"), "config.Env[1]: not a string"},
        Refusal{document(R"({"Labels":{"a":1}})"), "config.Labels.a: not a string"},
        Refusal{document(R"({"ExposedPorts":["80"]})"), "config.ExposedPorts: not an object"},
        Refusal{document(R"({"Healthcheck":{"Interval":1.5}})"),
                "config.Healthcheck.Interval: not a whole number of 64 bits"},
        Refusal{document(R"({"Healthcheck":{"Retries":-1}})"),
                "config.Healthcheck: Retries is out of range"},
        Refusal{document(R"({"Healthcheck":{"Retries":4294967296}})"),
                "config.Healthcheck: Retries is out of range"},
        Refusal{document(R"({"ArgsEscaped":"yes"})"), "config.ArgsEscaped: neither true nor false"},
        Refusal{document("{}", R"(,"created":"yesterday")"),
                "created: not an RFC 3339 time between 1678 and 2261"},
        Refusal{document("{}", R"(,"history":[{},{"empty_layer":1}])"),
                "history[1].empty_layer: neither true nor false"},
        Refusal{document("{}", R"(,"history":{"a":1})"), "history: not an array"},
        Refusal{document("{}", R"(,"os":"again")"), "duplicate member \"os\""},
        Refusal{R"({"rootfs":{"type":"layers","diff_ids":["md5:1"]}})",
                "rootfs.diff_ids[0]: not a sha256 digest"},
        Refusal{R"({"rootfs":{"type":"zfs"}})", "root file system of type \"zfs\"",
                ErrorKind::Unsupported},
        Refusal{std::string(kMaxConfigBytes + 1, ' '), "larger than 8.39 MB"}));

}  // namespace
}  // namespace shale::oci
