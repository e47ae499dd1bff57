// config.json, section by section.
//
// What a container may do by default follows Docker: its capability set, its mounts, the /proc and
// /sys paths it hides or freezes, and its device list. A privileged run (RUN --security=insecure)
// keeps the namespaces and lifts the rest. Where Docker leaves a choice to the runtime (the default
// device nodes, /dev/ptmx, /dev/console) so do we.
#include "bundle.hpp"

#include "devices.hpp"
#include "limits.hpp"
#include "seccomp.hpp"

#include <shale/caller.hpp>

#include <fmt/format.h>
#include <linux/capability.h>
#include <nlohmann/json.hpp>
#include <sys/prctl.h>

#include <algorithm>
#include <cerrno>

namespace shale::sandbox {

namespace {

using Json = nlohmann::ordered_json;

// Bit order of linux/capability.h: names for printing and for the bounding set of privileged runs.
constexpr const char* kCapabilityNames[] = {
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
};
constexpr std::uint64_t kDefaultCapabilityBits = 0xa80425fb;

void require_absolute(const std::string& what, const std::string& path) {
    if (!path.starts_with('/'))
        fail(ErrorKind::Invalid, fmt::format("{} '{}' is not an absolute path", what, path));
}

Json process_section(const Spec& spec, const BundleOptions& options) {
    // As execve would leave it: a user other than root starts with nothing but may gain through
    // set-id programs whatever the bounding set permits.
    const auto bounding = spec.privileged ? all_capabilities() : default_capabilities();
    Json capabilities = {{"bounding", bounding}};
    if (spec.uid == 0) {
        capabilities["effective"] = bounding;
        capabilities["permitted"] = bounding;
    }
    Json user = {{"uid", spec.uid}, {"gid", spec.gid}, {"umask", 0022}};
    if (!spec.additional_gids.empty()) user["additionalGids"] = spec.additional_gids;
    Json process = {
        {"terminal", spec.terminal}, {"user", user},    {"args", spec.argv},
        {"env", spec.env},           {"cwd", spec.cwd}, {"capabilities", capabilities},
        {"noNewPrivileges", false},
    };
    for (const ProcessLimit& limit : spec.limits) {
        check_limit(limit);
        process["rlimits"].push_back({{"type", runtime_limit_name(limit.name)},
                                      {"soft", static_cast<std::uint64_t>(limit.soft)},
                                      {"hard", static_cast<std::uint64_t>(limit.hard)}});
    }
    if (spec.terminal && options.console_rows > 0)
        process["consoleSize"] = {{"height", options.console_rows},
                                  {"width", options.console_columns}};
    return process;
}

Json mount_entry(const char* target, const char* type, std::vector<std::string> options) {
    return {{"destination", target}, {"type", type}, {"source", type}, {"options", options}};
}

// sysfs shows the network that it is mounted from, and belongs to that network's owner: in a user
// namespace the host's can only be shown as it is mounted already, with all that is mounted on it,
// control groups of the user's own among them: recursively read-only.
Json sys_mount(const Spec& spec, const BundleOptions& options, const std::string& access) {
    if (!options.in_user_namespace || spec.network != Network::Host)
        return mount_entry("/sys", "sysfs", {"nosuid", "noexec", "nodev", access});
    return {{"destination", "/sys"},
            {"type", "bind"},
            {"source", "/sys"},
            {"options", {"rbind", "rprivate", "nosuid", "noexec", "nodev", "rro"}}};
}

// Terminals belong to the group "tty", wherever that ID means anybody.
std::vector<std::string> terminal_options(const BundleOptions& options) {
    std::vector<std::string> list{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"};
    constexpr std::uint32_t kTty = 5;
    if (!options.in_user_namespace || has_group(kTty)) list.push_back("gid=5");
    return list;
}

Json kernel_mounts(const Spec& spec, const BundleOptions& options) {
    const std::string sys_access = spec.privileged ? "rw" : "ro";
    Json mounts = Json::array({
        mount_entry("/proc", "proc", {"nosuid", "noexec", "nodev"}),
        mount_entry("/dev", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
        mount_entry("/dev/pts", "devpts", terminal_options(options)),
        sys_mount(spec, options, sys_access),
        mount_entry("/dev/mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
        mount_entry(
            "/dev/shm", "tmpfs",
            {"nosuid", "noexec", "nodev", "mode=1777", fmt::format("size={}", spec.shm_bytes)}),
    });
    // Without a group of its own the container would be shown the host's.
    if (!options.cgroup_path.empty())
        mounts.push_back(mount_entry("/sys/fs/cgroup", "cgroup",
                                     {"nosuid", "noexec", "nodev", "relatime", sys_access}));
    return mounts;
}

Json caller_mount(const BindMount& mount) {
    require_absolute("mount target", mount.target);
    if (clean_absolute_path(mount.target) == "/")
        fail(ErrorKind::Invalid, fmt::format("invalid mount target \"{}\"", mount.target));
    std::vector<std::string> options{mount.read_only ? "ro" : "rw"};
    if (!mount.trusted) options.insert(options.end(), {"nosuid", "nodev"});
    if (!mount.executable) options.emplace_back("noexec");
    if (!mount.source.empty()) {
        require_absolute("mount source", mount.source);
        options.insert(options.begin(), {"rbind", "rprivate"});
        return {{"destination", mount.target},
                {"type", "bind"},
                {"source", mount.source},
                {"options", options}};
    }
    options.insert(options.end(), {"nosuid", "mode=1777"});
    if (mount.tmpfs_bytes > 0) options.push_back(fmt::format("size={}", mount.tmpfs_bytes));
    return {{"destination", mount.target},
            {"type", "tmpfs"},
            {"source", "tmpfs"},
            {"options", options}};
}

const char* operator_name(Comparison comparison) {
    switch (comparison) {
    case Comparison::Less:
        return "SCMP_CMP_LT";
    case Comparison::Equal:
        return "SCMP_CMP_EQ";
    case Comparison::Greater:
        return "SCMP_CMP_GT";
    case Comparison::MaskedEqual:
        return "SCMP_CMP_MASKED_EQ";
    }
    return "";
}

std::vector<std::string> split_names(std::string_view names) {
    std::vector<std::string> list;
    while (!names.empty()) {
        const auto blank = names.find(' ');
        list.emplace_back(names.substr(0, blank));
        names.remove_prefix(blank == std::string_view::npos ? names.size() : blank + 1);
    }
    return list;
}

Json seccomp_section() {
    Json calls = Json::array();
    for (const SeccompRule& rule : default_seccomp_rules()) {
        Json entry = {{"names", split_names(rule.calls)},
                      {"action", rule.error == kAllow ? "SCMP_ACT_ALLOW" : "SCMP_ACT_ERRNO"}};
        if (rule.error != kAllow) entry["errnoRet"] = rule.error;
        for (const ArgumentTest& test : rule.tests)
            entry["args"].push_back({{"index", test.index},
                                     {"value", test.value},
                                     {"valueTwo", test.masked_value},
                                     {"op", operator_name(test.comparison)}});
        calls.push_back(std::move(entry));
    }
    const auto architectures = seccomp_architectures();
    return {{"defaultAction", "SCMP_ACT_ERRNO"},
            {"defaultErrnoRet", EPERM},
            {"architectures", std::vector<std::string>(architectures.begin(), architectures.end())},
            {"syscalls", std::move(calls)}};
}

// Deny everything, allow creating any node, allow opening the harmless ones and those asked for.
Json device_section(const Spec& spec) {
    if (spec.privileged) return Json::array({{{"allow", true}, {"access", "rwm"}}});
    Json rules = Json::array({
        {{"allow", false}, {"access", "rwm"}},
        {{"allow", true}, {"type", "c"}, {"access", "m"}},
        {{"allow", true}, {"type", "b"}, {"access", "m"}},
    });
    for (const DeviceRule& device : openable_devices()) {
        Json rule = {
            {"allow", true}, {"type", "c"}, {"major", device.major_number}, {"access", "rwm"}};
        if (device.minor_number >= 0) rule["minor"] = device.minor_number;
        rules.push_back(std::move(rule));
    }
    for (const Device& device : spec.devices)
        rules.push_back({{"allow", true},
                         {"type", device.is_block ? "b" : "c"},
                         {"major", device.major_number},
                         {"minor", device.minor_number},
                         {"access", device.permissions}});
    return rules;
}

Json device_nodes(const Spec& spec) {
    Json list = Json::array();
    const auto add = [&list](const auto& node) {
        list.push_back({{"path", node.path},
                        {"type", node.is_block ? "b" : "c"},
                        {"major", node.major_number},
                        {"minor", node.minor_number},
                        {"fileMode", node.mode},
                        {"uid", node.uid},
                        {"gid", node.gid}});
    };
    const std::vector<DeviceNode> all =
        spec.privileged ? host_devices() : std::vector<DeviceNode>();
    for (const Device& device : spec.devices)
        if (std::ranges::find(all, device.path, &DeviceNode::path) == all.end()) add(device);
    std::ranges::for_each(all, add);
    return list;
}

// Only what was asked for: an absent key leaves the kernel's default.
Json resource_section(const Resources& resources) {
    Json section = Json::object();
    if (resources.memory_bytes != 0) section["memory"]["limit"] = resources.memory_bytes;
    if (resources.memory_swap_bytes != 0) section["memory"]["swap"] = resources.memory_swap_bytes;
    if (resources.cpu_shares != 0) section["cpu"]["shares"] = resources.cpu_shares;
    if (resources.cpu_period_us != 0) section["cpu"]["period"] = resources.cpu_period_us;
    if (resources.cpu_quota_us != 0) section["cpu"]["quota"] = resources.cpu_quota_us;
    if (!resources.cpus.empty()) section["cpu"]["cpus"] = resources.cpus;
    if (!resources.memory_nodes.empty()) section["cpu"]["mems"] = resources.memory_nodes;
    if (resources.processes != 0) section["pids"]["limit"] = resources.processes;
    return section;
}

Json hook_section(const std::vector<Hook>& hooks) {
    Json section = Json::object();
    for (const Hook& hook : hooks) {
        Json entry = {{"path", hook.path}};
        if (!hook.args.empty()) entry["args"] = hook.args;
        if (!hook.env.empty()) entry["env"] = hook.env;
        if (hook.timeout_seconds > 0) entry["timeout"] = hook.timeout_seconds;
        section[hook.moment].push_back(std::move(entry));
    }
    return section;
}

Json linux_section(const Spec& spec, const BundleOptions& options) {
    Json section = {{"namespaces", Json::array({{{"type", "pid"}},
                                                {{"type", "mount"}},
                                                {{"type", "ipc"}},
                                                {{"type", "uts"}},
                                                {{"type", "cgroup"}}})}};
    if (!options.cgroup_path.empty()) {
        section["cgroupsPath"] = options.cgroup_path;
        section["resources"] = resource_section(spec.resources);
        section["resources"]["devices"] = device_section(spec);
    }
    if (spec.privileged || !spec.devices.empty()) section["devices"] = device_nodes(spec);
    if (spec.privileged) return section;
    if (options.seccomp_base64.empty()) section["seccomp"] = seccomp_section();
    section["maskedPaths"] = {
        "/proc/acpi",        "/proc/asound",  "/proc/interrupts",  "/proc/kcore",
        "/proc/keys",        "/proc/scsi",    "/proc/timer_list",  "/proc/latency_stats",
        "/proc/sched_debug", "/sys/firmware", "/proc/timer_stats", "/sys/devices/virtual/powercap",
    };
    section["readonlyPaths"] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                "/proc/sysrq-trigger"};
    return section;
}

void check(const Spec& spec) {
    if (spec.argv.empty() || spec.argv.front().empty())
        fail(ErrorKind::Invalid, "a container needs a command to run");
    require_absolute("working directory", spec.cwd);
    require_absolute("root file system", spec.root);
    for (const auto* list : {&spec.argv, &spec.env})
        for (const std::string& text : *list)
            if (text.find('\0') != std::string::npos)
                fail(ErrorKind::Invalid, "an argument or variable contains a NUL byte");
}

}  // namespace

std::vector<std::string> default_capabilities() {
    std::vector<std::string> names;
    for (unsigned bit = 0; bit < std::size(kCapabilityNames); ++bit)
        if (kDefaultCapabilityBits >> bit & 1) names.emplace_back(kCapabilityNames[bit]);
    return names;
}

std::vector<std::string> all_capabilities() {
    // PR_CAPBSET_READ fails for bits that this kernel does not have, answers 0 for those that we
    // could not pass on.
    std::vector<std::string> names;
    for (unsigned bit = 0; bit < std::size(kCapabilityNames); ++bit)
        if (::prctl(PR_CAPBSET_READ, bit, 0, 0, 0) == 1) names.emplace_back(kCapabilityNames[bit]);
    return names;
}

std::string make_config_json(const Spec& spec, const BundleOptions& options) {
    check(spec);
    Json mounts = kernel_mounts(spec, options);
    for (const BindMount& mount : spec.mounts)
        mounts.push_back(caller_mount(mount));
    Json config = {
        {"ociVersion", "1.0.2"},
        {"process", process_section(spec, options)},
        {"root", {{"path", spec.root}, {"readonly", false}}},
        {"hostname", spec.hostname},
        {"mounts", std::move(mounts)},
        {"linux", linux_section(spec, options)},
    };
    if (!spec.hooks.empty()) config["hooks"] = hook_section(spec.hooks);
    if (!options.seccomp_base64.empty() && !spec.privileged)
        config["annotations"] = {{"run.oci.seccomp_bpf_data", options.seccomp_base64}};
    // Arguments are bytes, JSON is Unicode: what is not UTF-8 cannot be passed through a bundle.
    try {
        return config.dump();
    } catch (const Json::exception& error) {
        fail(ErrorKind::Unsupported,
             fmt::format("an argument, variable or path is not valid UTF-8: {}", error.what()));
    }
}

}  // namespace shale::sandbox
