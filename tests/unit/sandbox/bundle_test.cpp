// What config.json promises, read back from the generated text.
#include "bundle.hpp"
#include "devices.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <set>

namespace shale::sandbox {
namespace {

using Json = nlohmann::json;

Spec plain_spec() {
    Spec spec;
    spec.root = "/roots/one";
    spec.argv = {"/bin/sh", "-c", "echo hi"};
    spec.env = {"PATH=/bin", "A=b=c"};
    return spec;
}

Json config_of(const Spec& spec, const BundleOptions& options = {"/shale-1", "", 0, 0}) {
    return Json::parse(make_config_json(spec, options));
}

const Json* mount_at(const Json& config, const std::string& target) {
    for (const Json& mount : config["mounts"])
        if (mount["destination"] == target) return &mount;
    return nullptr;
}

bool has_option(const Json& mount, const std::string& option) {
    for (const Json& item : mount["options"])
        if (item == option) return true;
    return false;
}

void expect_invalid(const Spec& spec, const std::string& words) {
    try {
        make_config_json(spec, {});
        ADD_FAILURE() << "accepted, expected: " << words;
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::Invalid);
        EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    }
}

TEST(Bundle, ProcessIsTakenFromTheSpec) {
    Spec spec = plain_spec();
    spec.cwd = "/work";
    spec.uid = 7;
    spec.gid = 8;
    spec.additional_gids = {9, 10};
    spec.hostname = "builder";
    const Json config = config_of(spec);
    const Json& process = config["process"];
    EXPECT_EQ(process["args"], Json({"/bin/sh", "-c", "echo hi"}));
    EXPECT_EQ(process["env"], Json({"PATH=/bin", "A=b=c"}));
    EXPECT_EQ(process["cwd"], "/work");
    EXPECT_EQ(process["user"]["uid"], 7);
    EXPECT_EQ(process["user"]["gid"], 8);
    EXPECT_EQ(process["user"]["additionalGids"], Json({9, 10}));
    EXPECT_EQ(process["user"]["umask"], 022);
    EXPECT_EQ(process["terminal"], false);
    EXPECT_EQ(process["noNewPrivileges"], false);
    EXPECT_EQ(config["hostname"], "builder");
    EXPECT_EQ(config["root"]["path"], "/roots/one");
    EXPECT_EQ(config["root"]["readonly"], false);
}

TEST(Bundle, BoundingSetIsDockersDefault) {
    const std::set<std::string> expected = {
        "CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FSETID",      "CAP_FOWNER",          "CAP_MKNOD",
        "CAP_NET_RAW", "CAP_SETGID",       "CAP_SETUID",      "CAP_SETFCAP",         "CAP_SETPCAP",
        "CAP_KILL",    "CAP_SYS_CHROOT",   "CAP_AUDIT_WRITE", "CAP_NET_BIND_SERVICE"};
    const Json capabilities = config_of(plain_spec())["process"]["capabilities"];
    EXPECT_EQ(capabilities["bounding"].get<std::set<std::string>>(), expected);
    EXPECT_EQ(capabilities["effective"], capabilities["bounding"]);
    EXPECT_FALSE(capabilities.contains("inheritable"));
    EXPECT_FALSE(capabilities.contains("ambient"));
}

TEST(Bundle, OtherUsersStartWithoutCapabilities) {
    Spec spec = plain_spec();
    spec.uid = 1000;
    const Json capabilities = config_of(spec)["process"]["capabilities"];
    EXPECT_EQ(capabilities["bounding"].size(), 14u);
    EXPECT_FALSE(capabilities.contains("effective"));
    EXPECT_FALSE(capabilities.contains("permitted"));
}

TEST(Bundle, TerminalGetsTheCallersSize) {
    Spec spec = plain_spec();
    spec.terminal = true;
    BundleOptions options;
    options.console_rows = 33;
    options.console_columns = 99;
    const Json process = config_of(spec, options)["process"];
    EXPECT_EQ(process["terminal"], true);
    EXPECT_EQ(process["consoleSize"], Json({{"height", 33}, {"width", 99}}));
}

TEST(Bundle, NamespacesLeaveTheNetworkToTheRunner) {
    const Json config = config_of(plain_spec());
    std::set<std::string> types;
    for (const Json& item : config["linux"]["namespaces"]) {
        types.insert(item["type"]);
        EXPECT_FALSE(item.contains("path"));
    }
    EXPECT_EQ(types, (std::set<std::string>{"pid", "mount", "ipc", "uts", "cgroup"}));
}

TEST(Bundle, KernelFileSystemsAreDockers) {
    Spec spec = plain_spec();
    spec.shm_bytes = 1 << 20;
    const Json config = config_of(spec);
    EXPECT_TRUE(has_option(*mount_at(config, "/sys"), "ro"));
    EXPECT_TRUE(has_option(*mount_at(config, "/sys/fs/cgroup"), "ro"));
    EXPECT_TRUE(has_option(*mount_at(config, "/dev/shm"), "size=1048576"));
    EXPECT_TRUE(has_option(*mount_at(config, "/dev/shm"), "noexec"));
    EXPECT_TRUE(has_option(*mount_at(config, "/dev/pts"), "newinstance"));
    EXPECT_EQ((*mount_at(config, "/proc"))["type"], "proc");
    EXPECT_EQ((*mount_at(config, "/dev"))["type"], "tmpfs");
    EXPECT_EQ((*mount_at(config, "/dev/mqueue"))["type"], "mqueue");
}

TEST(Bundle, ContainerWithoutAGroupOfItsOwnSeesNoCgroups) {
    const Json config = config_of(plain_spec(), {});
    EXPECT_EQ(mount_at(config, "/sys/fs/cgroup"), nullptr);
    EXPECT_FALSE(config["linux"].contains("cgroupsPath"));
    EXPECT_FALSE(config["linux"].contains("resources"));
}

TEST(Bundle, UserNamespaceShowsTheHostsSysfsWithTheHostsNetwork) {
    BundleOptions options;
    options.in_user_namespace = true;
    Spec spec = plain_spec();
    EXPECT_EQ((*mount_at(config_of(spec, options), "/sys"))["type"], "sysfs");
    spec.network = Network::Host;
    const Json config = config_of(spec, options);
    const Json& sys = *mount_at(config, "/sys");
    EXPECT_EQ(sys["type"], "bind");
    EXPECT_EQ(sys["source"], "/sys");
    EXPECT_TRUE(has_option(sys, "rbind"));
    EXPECT_TRUE(has_option(sys, "rro")) << "what is mounted below it, too";
    EXPECT_EQ((*mount_at(config_of(spec), "/sys"))["type"], "sysfs");
}

TEST(Bundle, CallerMountsFollowInOrder) {
    Spec spec = plain_spec();
    spec.mounts = {{"/host/a", "/a", true}, {"/host/b", "/a/b", false}, {"", "/scratch", false}};
    spec.mounts[0].trusted = spec.mounts[0].executable = false;
    spec.mounts[2].tmpfs_bytes = 4096;
    const Json config = config_of(spec);
    const Json& mounts = config["mounts"];
    const Json& first = mounts[mounts.size() - 3];
    EXPECT_EQ(first["destination"], "/a");
    EXPECT_EQ(first["source"], "/host/a");
    for (const char* option : {"rbind", "rprivate", "ro", "nosuid", "nodev", "noexec"})
        EXPECT_TRUE(has_option(first, option)) << option;
    const Json& second = mounts[mounts.size() - 2];
    EXPECT_TRUE(has_option(second, "rw"));
    EXPECT_FALSE(has_option(second, "noexec"));
    const Json& scratch = mounts.back();
    EXPECT_EQ(scratch["type"], "tmpfs");
    EXPECT_TRUE(has_option(scratch, "size=4096"));
}

TEST(Bundle, LimitsAreTheRuntimesWords) {
    Spec spec = plain_spec();
    spec.limits = {{"nofile", 10, 20}, {"core", -1, -1}};
    spec.resources.memory_bytes = 1 << 20;
    spec.resources.memory_swap_bytes = -1;
    spec.resources.cpu_quota_us = 5000;
    spec.resources.cpus = "0-1";
    spec.resources.processes = 10;
    const Json config = config_of(spec);
    const Json& limits = config["process"]["rlimits"];
    EXPECT_EQ(limits[0], Json({{"type", "RLIMIT_NOFILE"}, {"soft", 10}, {"hard", 20}}));
    EXPECT_EQ(limits[1]["hard"], UINT64_MAX);
    const Json& resources = config["linux"]["resources"];
    EXPECT_EQ(resources["memory"], Json({{"limit", 1 << 20}, {"swap", -1}}));
    EXPECT_EQ(resources["cpu"], Json({{"quota", 5000}, {"cpus", "0-1"}}));
    EXPECT_EQ(resources["pids"], Json({{"limit", 10}}));
    EXPECT_FALSE(config_of(plain_spec())["linux"]["resources"].contains("memory"));
    EXPECT_FALSE(config_of(plain_spec())["linux"]["resources"].contains("pids"));
}

TEST(Bundle, UnknownOrImpossibleLimitsAreRefused) {
    Spec spec = plain_spec();
    spec.limits = {{"files", 1, 1}};
    expect_invalid(spec, "invalid ulimit type: files");
    spec.limits = {{"nofile", 3, 2}};
    expect_invalid(spec, "must be less than or equal to hard limit: 3 > 2");
    spec.limits = {{"nofile", -1, 2}};
    expect_invalid(spec, "-1 > 2");
}

TEST(Bundle, DevicesAskedForAreMadeAndAllowed) {
    Spec spec = plain_spec();
    spec.devices = {{"/dev/thing", true, 7, 8, 0640, 1, 2, "r"}};
    const Json section = config_of(spec)["linux"];
    ASSERT_EQ(section["devices"].size(), 1u);
    EXPECT_EQ(section["devices"][0]["path"], "/dev/thing");
    EXPECT_EQ(section["devices"][0]["fileMode"], 0640);
    const Json& rule = section["resources"]["devices"].back();
    EXPECT_EQ(rule,
              Json({{"allow", true}, {"type", "b"}, {"major", 7}, {"minor", 8}, {"access", "r"}}));
    EXPECT_FALSE(config_of(plain_spec())["linux"].contains("devices"));
}

TEST(Bundle, HooksGoToTheirMoments) {
    Spec spec = plain_spec();
    spec.hooks = {{"createContainer", "/usr/bin/hook", {"hook", "--x"}, {}, 3}};
    const Json hooks = config_of(spec)["hooks"];
    EXPECT_EQ(hooks["createContainer"][0],
              Json({{"path", "/usr/bin/hook"}, {"args", {"hook", "--x"}}, {"timeout", 3}}));
}

TEST(Bundle, DangerousPathsAreHiddenOrFrozen) {
    const Json section = config_of(plain_spec())["linux"];
    const auto masked = section["maskedPaths"].get<std::set<std::string>>();
    for (const char* path : {"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"})
        EXPECT_TRUE(masked.contains(path)) << path;
    const auto frozen = section["readonlyPaths"].get<std::set<std::string>>();
    for (const char* path : {"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"})
        EXPECT_TRUE(frozen.contains(path)) << path;
}

TEST(Bundle, DevicesAreDeniedBeforeSomeAreAllowed) {
    const Json rules = config_of(plain_spec())["linux"]["resources"]["devices"];
    EXPECT_EQ(rules[0], Json({{"allow", false}, {"access", "rwm"}}));
    std::set<std::pair<int, int>> openable;
    for (std::size_t i = 1; i < rules.size(); ++i) {
        EXPECT_EQ(rules[i]["allow"], true);
        if (rules[i]["access"] != "m")
            openable.insert({rules[i]["major"].get<int>(), rules[i].value("minor", -1)});
    }
    std::set<std::pair<int, int>> expected;
    for (const DeviceRule& rule : openable_devices())
        expected.insert({rule.major_number, rule.minor_number});
    EXPECT_EQ(openable, expected);
    EXPECT_FALSE(openable.contains({1, 1})) << "/dev/mem";
}

TEST(Bundle, CompiledFilterReplacesTheRules) {
    const Json written = config_of(plain_spec(), {"/x", "", 0, 0});
    EXPECT_TRUE(written["linux"].contains("seccomp"));
    EXPECT_FALSE(written.contains("annotations"));
    const Json compiled = config_of(plain_spec(), {"/x", "QUJD", 0, 0});
    EXPECT_FALSE(compiled["linux"].contains("seccomp"));
    EXPECT_EQ(compiled["annotations"]["run.oci.seccomp_bpf_data"], "QUJD");
}

TEST(Bundle, PrivilegedLiftsTheLimitsButKeepsTheNamespaces) {
    Spec spec = plain_spec();
    spec.privileged = true;
    const Json config = config_of(spec, {"/x", "QUJD", 0, 0});
    const Json& section = config["linux"];
    for (const char* limit : {"seccomp", "maskedPaths", "readonlyPaths"})
        EXPECT_FALSE(section.contains(limit)) << limit;
    EXPECT_FALSE(config.contains("annotations"));
    EXPECT_EQ(section["namespaces"].size(), 5u);
    EXPECT_EQ(section["resources"]["devices"], Json::parse(R"([{"allow":true,"access":"rwm"}])"));
    EXPECT_TRUE(has_option(*mount_at(config, "/sys"), "rw"));
    EXPECT_GE(config["process"]["capabilities"]["bounding"].size(), 14u);
}

TEST(Bundle, RefusesWhatCannotBeRun) {
    Spec spec = plain_spec();
    spec.argv.clear();
    expect_invalid(spec, "needs a command");
    spec = plain_spec();
    spec.cwd = "work";
    expect_invalid(spec, "working directory 'work'");
    spec = plain_spec();
    spec.root = "root";
    expect_invalid(spec, "root file system 'root'");
    spec = plain_spec();
    spec.mounts = {{"/x", "relative", true}};
    expect_invalid(spec, "mount target 'relative'");
    spec.mounts = {{"/x", "/a/..", true}};
    expect_invalid(spec, "invalid mount target \"/a/..\"");
    spec.mounts = {{"x", "/a", true}};
    expect_invalid(spec, "mount source 'x'");
    spec = plain_spec();
    spec.env.push_back(std::string("A=\0b", 4));
    expect_invalid(spec, "NUL");
}

TEST(Bundle, BytesThatAreNotTextAreReportedNotChanged) {
    Spec spec = plain_spec();
    spec.argv.push_back("\xff");
    try {
        make_config_json(spec, {});
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::Unsupported);
    }
}

}  // namespace
}  // namespace shale::sandbox
