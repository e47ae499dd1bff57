#include "mount_record.hpp"

#include <shale/base.hpp>

#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>

namespace shale::cli {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMaxRecordBytes = 64 << 10;

// Empty if there is none.
std::string directory() {
    if (::geteuid() == 0) return "/run/shale/mounts";
    const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
    return runtime && *runtime ? join_path(runtime, "shale/mounts") : std::string();
}

std::string path_of(const std::string& device) {
    return join_path(directory(), device + ".json");
}

std::string text_of(const Json& value, const char* name) {
    const auto found = value.find(name);
    return found != value.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::int64_t number_of(const Json& value, const char* name) {
    const auto found = value.find(name);
    return found != value.end() && found->is_number_integer() ? found->get<std::int64_t>() : 0;
}

}  // namespace

bool MountRecord::is_served() const {
    return pid > 0 && (::kill(static_cast<pid_t>(pid), 0) == 0 || errno == EPERM);
}

std::string device_at(const std::string& target) {
    struct stat status {};
    if (::stat(target.c_str(), &status) != 0) throw_errno("stat", target);
    return std::to_string(major(status.st_dev)) + ":" + std::to_string(minor(status.st_dev));
}

std::optional<MountRecord> find_record(const std::string& device) {
    if (directory().empty() || !path_exists(path_of(device))) return std::nullopt;
    std::string text;
    try {
        text = read_file(path_of(device), kMaxRecordBytes);
    } catch (const Error&) {  // gone meanwhile, or not ours to read: as good as none
        return std::nullopt;
    }
    const auto value = Json::parse(text, nullptr, false);
    if (!value.is_object()) return std::nullopt;
    MountRecord record;
    record.reference = text_of(value, "reference");
    record.target = text_of(value, "target");
    record.root = text_of(value, "root");
    record.tier = text_of(value, "tier");
    record.manifest = text_of(value, "manifest");
    record.upper = text_of(value, "upper");
    record.pid = number_of(value, "pid");
    record.since_ns = number_of(value, "since");
    return record;
}

void remove_record(const std::string& device) noexcept {
    if (const auto place = directory(); !place.empty())
        ::unlink(join_path(place, device + ".json").c_str());
}

PublishedRecord::PublishedRecord(std::string device, const MountRecord& record)
    : device_(std::move(device)) {
    if (directory().empty()) return;
    const Json value = {{"reference", record.reference},
                        {"target", record.target},
                        {"root", record.root},
                        {"tier", record.tier},
                        {"manifest", record.manifest},
                        {"upper", record.upper},
                        {"pid", record.pid},
                        {"since", record.since_ns}};
    const auto text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
    try {
        make_directories(directory());
        write_file_atomic(path_of(device_), as_bytes(text));
    } catch (const Error& error) {  // a /run that is read-only, say: the mount serves without
        log(LogLevel::Warn,
            std::string("`shale mounts` will not list this mount: ") + error.what());
    }
}

PublishedRecord::~PublishedRecord() {
    // The kernel may have given the number to another mount already.
    try {
        const auto record = find_record(device_);
        if (record && record->pid == ::getpid()) remove_record(device_);
    } catch (const std::exception&) {  // what is left is found to be dead by the next who looks
    }
}

}  // namespace shale::cli
