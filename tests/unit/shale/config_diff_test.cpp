// What two images tell a runtime differently.
#include "config_diff.hpp"
#include "json_text.hpp"

#include <gtest/gtest.h>

namespace shale::cli {
namespace {

oci::ImageConfig image() {
    oci::ImageConfig image;
    image.platform.os = "linux";
    image.platform.architecture = "amd64";
    image.config.env = {"PATH=/bin", "A=1"};
    image.config.cmd = {"a", "b"};
    image.config.labels = {{"version", "1"}};
    image.config.exposed_ports = {"80/tcp"};
    return image;
}

std::string lines(const oci::ImageConfig& before, const oci::ImageConfig& after) {
    return to_lines(compare_configs(before, after));
}

TEST(ConfigDiff, EqualConfigsHaveNoDifference) {
    auto later = image();
    later.created_ns = 7;
    later.history.push_back({7, "RUN x", "", "", true});
    later.diff_ids.push_back({});
    std::swap(later.config.env[0], later.config.env[1]);  // no container can tell
    EXPECT_EQ(lines(image(), later), "");
}

TEST(ConfigDiff, NamesEveryFieldThatDiffers) {
    auto other = image();
    other.platform.architecture = "arm64";
    other.config.user = "1";
    other.config.working_dir = "/w";
    other.config.entrypoint = {"e"};
    other.config.cmd = {"a b"};
    other.config.shell = {"sh"};
    other.config.env = {"PATH=/bin", "B="};
    other.config.exposed_ports = {"81/tcp"};
    other.config.volumes = {"/v"};
    other.config.labels = {{"version", "2"}};
    other.config.stop_signal = "SIGINT";
    other.config.healthcheck = oci::Healthcheck{.test = {"CMD", "x"}};
    other.config.onbuild = {"RUN x"};
    other.author = "me";
    other.unknown_config["Memory"] = "5";
    EXPECT_EQ(lines(image(), other),
              "C Platform\nC Cmd\nC Env.A\nC ExposedPorts.80/tcp\nC Labels.version\nC User\n"
              "C WorkingDir\nC Entrypoint\nC Shell\nC Env.B\nC ExposedPorts.81/tcp\nC Volumes./v\n"
              "C StopSignal\nC Healthcheck\nC OnBuild.1\nC Author\nC Memory\n");
}

TEST(ConfigDiff, ShowsBothValuesAndMovesNoCursor) {
    auto other = image();
    other.config.env = {"PATH=/bin", "A=\x1b[2J2"};
    other.config.user = "root";
    other.config.exposed_ports.clear();
    EXPECT_EQ(to_text(compare_configs(image(), other)), "C Env.A                1 -> 2\n"
                                                        "C ExposedPorts.80/tcp  set -> not set\n"
                                                        "C User                 not set -> root\n");
}

TEST(ConfigDiff, RepeatedNamesAreEqualToThemselves) {
    auto twice = image();
    twice.config.env = {"A=1", "A=2"};
    EXPECT_EQ(lines(twice, twice), "");
    EXPECT_EQ(lines(image(), twice), "C Env.PATH\nC Env.A\n");
}

// A word in a list is not several words.
TEST(ConfigDiff, ListsAreCompared) {
    auto other = image();
    other.config.cmd = {"a", "b", ""};
    const auto changes = compare_configs(image(), other);
    ASSERT_EQ(changes.size(), 1u);
    EXPECT_EQ(changes[0].before, R"(["a","b"])");
    EXPECT_EQ(changes[0].after, R"(["a","b",""])");
}

TEST(JsonText, EscapesWhatATerminalObeys) {
    EXPECT_EQ(escape_controls("{\"a\":\"x\xc2\x9b"
                              "31m\x7f\xc2\xa0\xc3\x9b\"}"),
              "{\"a\":\"x\\u009b31m\\u007f\xc2\xa0\xc3\x9b\"}");
    EXPECT_EQ(json_text(nlohmann::json{{"a", "\xff"}}, -1), "{\"a\":\"\xef\xbf\xbd\"}\n");
}

}  // namespace
}  // namespace shale::cli
