#include "mount_record.hpp"

#include "runtime_directory.hpp"

#include <shale/base.hpp>
#include <shale/store.hpp>

#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

namespace shale::cli {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMaxRecordBytes = 64 << 10;

constexpr const char* kWhat = "mounts";

std::string name_of(const std::string& device) {
    return device + ".json";
}

std::string text_of(const Json& value, const char* name) {
    const auto found = value.find(name);
    return found != value.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::int64_t number_of(const Json& value, const char* name) {
    const auto found = value.find(name);
    return found != value.end() && found->is_number_integer() ? found->get<std::int64_t>() : 0;
}

std::optional<MountRecord> read_record(const std::string& path) {
    if (!path_exists(path)) return std::nullopt;
    std::string text;
    try {
        text = read_file(path, kMaxRecordBytes);
    } catch (const Error&) {  // gone meanwhile, or not ours to read: as good as none
        return std::nullopt;
    }
    const auto value = Json::parse(text, nullptr, false);
    if (!value.is_object() || text_of(value, "boot") != boot_id()) return std::nullopt;
    MountRecord record;
    record.reference = text_of(value, "reference");
    record.target = text_of(value, "target");
    record.root = text_of(value, "root");
    record.tier = text_of(value, "tier");
    record.why = text_of(value, "why");
    record.manifest = text_of(value, "manifest");
    record.upper = text_of(value, "upper");
    record.pid = number_of(value, "pid");
    record.holder = number_of(value, "holder");
    record.since_ns = number_of(value, "since");
    return record;
}

// One that was killed is there until its parent takes notice, which may be never.
bool is_running(std::int64_t process) {
    if (process <= 0) return false;
    const UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(process), 0)));
    pollfd ended{fd.get(), POLLIN, 0};
    return fd && ::poll(&ended, 1, 0) == 0;
}

}  // namespace

bool MountRecord::is_served() const {
    return is_running(pid) || is_running(holder);
}

std::string device_at(const std::string& target) {
    struct stat status {};
    if (::stat(target.c_str(), &status) != 0) throw_errno("stat", target);
    return std::to_string(major(status.st_dev)) + ":" + std::to_string(minor(status.st_dev));
}

std::optional<MountRecord> find_record(const std::string& device, const std::string& target,
                                       const std::string& root) {
    for (const auto& place : runtime_directories(kWhat, root)) {
        auto record = read_record(join_path(place, name_of(device)));
        if (record && record->target == target) return record;
    }
    return std::nullopt;
}

void remove_remains(const std::string& device, const MountRecord& record) noexcept {
    // A note that names another place than its own store's was written by somebody else.
    if (record.upper.starts_with(join_path(record.root, "tmp/")))
        store::Store::discard_scratch(record.upper);
    try {
        for (const auto& place : runtime_directories(kWhat, record.root))
            ::unlink(join_path(place, name_of(device)).c_str());
    } catch (const std::exception&) {  // what is left is found to be dead by the next who looks
    }
}

void PublishedRecord::publish(std::int64_t holder) {
    record_.pid = ::getpid();
    record_.holder = holder;
    const Json value = {{"reference", record_.reference},
                        {"target", record_.target},
                        {"root", record_.root},
                        {"tier", record_.tier},
                        {"why", record_.why},
                        {"manifest", record_.manifest},
                        {"upper", record_.upper},
                        {"pid", record_.pid},
                        {"holder", record_.holder},
                        {"since", record_.since_ns},
                        {"boot", boot_id()}};
    const auto text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
    try {
        path_ = leave_note(runtime_directories(kWhat, record_.root), name_of(device_), text);
    } catch (const Error& error) {  // all is read-only, say: the mount serves without
        log(LogLevel::Warn,
            std::string("`shale mounts` will not list this mount: ") + error.what());
    }
}

PublishedRecord::~PublishedRecord() {
    // The kernel may have given the number to another mount already.
    try {
        const auto record = read_record(path_);
        if (record && record->pid == ::getpid()) ::unlink(path_.c_str());
    } catch (const std::exception&) {  // what is left is found to be dead by the next who looks
    }
}

}  // namespace shale::cli
