// The Container Device Interface, version 0.x and 1.x: JSON files, each for one kind of device
// ("vendor/class"), with what has to be done to a container (edits) for each device and for all of
// them. Files in YAML are not read; tools that generate specifications write JSON on request.
//
// BuildKit's additions, as annotations of a specification or device:
//   org.mobyproject.buildkit.device.autoallow = "true"   needs no --allow
//   org.mobyproject.buildkit.device.class = "gpu"        a name of its own for a set of devices
#include "device_request.hpp"

#include "entitlements.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

namespace shale::build {
namespace {

using Json = nlohmann::json;

constexpr const char* kAutoAllow = "org.mobyproject.buildkit.device.autoallow";
constexpr const char* kClass = "org.mobyproject.buildkit.device.class";
constexpr std::uint64_t kMaxSpecBytes = 4 << 20;

struct Found {
    std::string name;  // "vendor/class=device"
    std::string alias;
    bool auto_allowed = false;
    Json edits;         // of the device
    Json common_edits;  // of its file
    std::string file;
};

std::string annotation(const Json& of, const char* key) {
    const auto all = of.find("annotations");
    if (all == of.end() || !all->is_object()) return {};
    const auto value = all->find(key);
    return value != all->end() && value->is_string() ? value->get<std::string>() : std::string();
}

void read_spec(const std::string& file, std::map<std::string, Found>& devices) {
    const auto spec = Json::parse(read_file(file, kMaxSpecBytes));
    const auto kind = spec.at("kind").get<std::string>();
    for (const auto& device : spec.at("devices")) {
        Found found;
        found.name = kind + "=" + device.at("name").get<std::string>();
        found.alias = annotation(device, kClass);
        if (found.alias.empty()) found.alias = annotation(spec, kClass);
        found.auto_allowed =
            annotation(device, kAutoAllow) == "true" || annotation(spec, kAutoAllow) == "true";
        found.edits = device.value("containerEdits", Json::object());
        found.common_edits = spec.value("containerEdits", Json::object());
        found.file = file;
        devices.insert_or_assign(found.name, std::move(found));
    }
}

std::map<std::string, Found> read_all(const std::vector<std::string>& directories) {
    std::map<std::string, Found> devices;
    for (const auto& directory : directories) {
        std::set<std::string> files;
        std::error_code ignored;  // a host without devices has no directory
        for (const auto& entry : std::filesystem::directory_iterator(directory, ignored))
            if (entry.path().extension() == ".json") files.insert(entry.path());
        for (const auto& file : files)
            try {
                read_spec(file, devices);
            } catch (const Json::exception& error) {
                fail(ErrorKind::Corrupt,
                     "CDI specification " + file + ": " + std::string(error.what()));
            }
    }
    return devices;
}

std::vector<const Found*> matching(const std::map<std::string, Found>& devices,
                                   const std::string& name) {
    std::vector<const Found*> matches;
    if (const auto exact = devices.find(name); exact != devices.end()) return {&exact->second};
    const bool every = name.ends_with("=*");
    const auto kind = every ? name.substr(0, name.size() - 1) : name + "=";
    for (const auto& [full, device] : devices)
        if (full.starts_with(kind) || device.alias == name) matches.push_back(&device);
    if (!every && matches.size() > 1 && name.find('/') != std::string::npos)
        matches.erase(matches.begin() + 1, matches.end());  // a kind alone means its first device
    return matches;
}

void add_node(const Json& node, const std::string& file, sandbox::Spec& spec) {
    sandbox::Device device;
    device.path = node.at("path").get<std::string>();
    const auto host_path = node.value("hostPath", device.path);
    struct stat status {};
    const bool known = ::stat(host_path.c_str(), &status) == 0;
    if (!known && !node.contains("major"))
        fail(ErrorKind::NotFound, file + ": device node " + host_path + " does not exist");
    const auto type = node.value("type", std::string(known && S_ISBLK(status.st_mode) ? "b" : "c"));
    device.is_block = type == "b";
    device.major_number = node.value("major", known ? major(status.st_rdev) : 0u);
    device.minor_number = node.value("minor", known ? minor(status.st_rdev) : 0u);
    device.mode = node.value("fileMode", known ? status.st_mode & 07777u : 0600u);
    device.uid = node.value("uid", known ? status.st_uid : 0u);
    device.gid = node.value("gid", known ? status.st_gid : 0u);
    device.permissions = node.value("permissions", std::string("rwm"));
    spec.devices.push_back(std::move(device));
}

void add_mount(const Json& mount, sandbox::Spec& spec) {
    sandbox::BindMount bind;
    bind.source = mount.at("hostPath").get<std::string>();
    bind.target = mount.at("containerPath").get<std::string>();
    const auto options = mount.value("options", std::vector<std::string>());
    const auto has = [&](const char* word) {
        return std::ranges::find(options, word) != options.end();
    };
    bind.read_only = has("ro");
    bind.trusted = !has("nosuid") && !has("nodev");
    bind.executable = !has("noexec");
    spec.mounts.push_back(std::move(bind));
}

void add_edits(const Json& edits, const std::string& file, sandbox::Spec& spec) {
    for (const auto& variable : edits.value("env", std::vector<std::string>())) {
        const auto name = variable.substr(0, variable.find('=') + 1);
        std::erase_if(spec.env, [&](const auto& old) { return old.starts_with(name); });
        spec.env.push_back(variable);
    }
    for (const auto& node : edits.value("deviceNodes", Json::array()))
        add_node(node, file, spec);
    for (const auto& mount : edits.value("mounts", Json::array()))
        add_mount(mount, spec);
    for (const auto& hook : edits.value("hooks", Json::array()))
        spec.hooks.push_back(
            {hook.at("hookName").get<std::string>(), hook.at("path").get<std::string>(),
             hook.value("args", std::vector<std::string>()),
             hook.value("env", std::vector<std::string>()), hook.value("timeout", 0)});
}

}  // namespace

DeviceRequest parse_device(const std::string& text) {
    DeviceRequest request;
    for (std::string_view rest = text; !rest.empty();) {
        const auto comma = rest.find(',');
        std::string field(rest.substr(0, comma));
        rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
        if (field == "required")
            request.required = true;
        else if (field.starts_with("required="))
            request.required = field.ends_with("=1") || field.find_first_of("tT", 9) == 9;
        else
            request.name = field.starts_with("name=") ? field.substr(5) : field;
    }
    return request;
}

void apply_devices(const std::vector<DeviceRequest>& requests,
                   const std::vector<std::string>& granted,
                   const std::vector<std::string>& directories, sandbox::Spec& spec) {
    if (requests.empty()) return;
    const auto devices = read_all(directories);
    std::set<std::string> applied;  // devices, and files whose common edits are in
    for (const auto& request : requests) {
        const auto matches = matching(devices, request.name);
        if (matches.empty() && request.required)
            fail(ErrorKind::NotFound, "required device \"" + request.name +
                                          "\" is not registered in " +
                                          fmt::format("{}", fmt::join(directories, " or ")));
        for (const Found* device : matches) {
            if (!device->auto_allowed && !is_device_granted(granted, device->name))
                fail(ErrorKind::Denied,
                     "device " + device->name +
                         " is not allowed; grant it with --allow device=" + device->name);
            try {
                if (applied.insert(device->file).second)
                    add_edits(device->common_edits, device->file, spec);
                if (applied.insert(device->name).second)
                    add_edits(device->edits, device->file, spec);
            } catch (const Json::exception& error) {
                fail(ErrorKind::Corrupt,
                     "CDI specification " + device->file + ": " + std::string(error.what()));
            }
        }
    }
}

const std::vector<std::string>& cdi_directories() {
    static const std::vector<std::string> directories = {"/etc/cdi", "/var/run/cdi"};
    return directories;
}

}  // namespace shale::build
