#include "beside.hpp"

#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

namespace shale::store {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMostAboutBytes = 64 << 10;
// What filling such a directory again would take is known to nobody. Most of them hold downloads,
// so it is taken as the time of a download at this rate.
constexpr std::uint64_t kRefillBytesPerMillisecond = 10'000;

std::int64_t modified_ns(const std::string& path) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) return 0;
    return to_ns(status.st_mtim);
}

// "cache mount /root/.npm". The file is for people, and no record depends on it.
std::string cache_mount_name(const std::string& directory) {
    try {
        const auto about = nlohmann::json::parse(
            read_file(join_path(directory, "about.json"), kMostAboutBytes), nullptr, false);
        if (about.is_object() && about.value("id", nlohmann::json()).is_string())
            return "cache mount " + about["id"].get<std::string>();
    } catch (const Error&) {  // absent, or no file
    }
    return "cache mount";
}

std::int64_t last_use_of_mount(const std::string& directory) {
    std::int64_t used_ns = 0;
    std::error_code ignored;
    for (fs::directory_iterator at(directory, ignored), end; !ignored && at != end;
         at.increment(ignored))
        if (at->path().extension() == ".lock")
            used_ns = std::max(used_ns, modified_ns(at->path().string()));
    return used_ns;
}

template <typename Describe>
void add_all(const std::string& parent, std::vector<CacheDirectory>& into, Describe describe) {
    std::error_code none;  // a store that never had one has no directory for them
    for (fs::directory_iterator at(parent, none), end; !none && at != end; at.increment(none)) {
        const auto digest = Digest::from_hex(at->path().filename().string());
        std::error_code vanished;
        if (!digest || !at->is_directory(vanished) || at->is_symlink(vanished)) continue;
        CacheDirectory directory;
        directory.paths = {at->path().string()};
        directory.record.id = *digest;
        directory.record.bytes = blocks_below(at->path().string());
        directory.record.cost_ms =
            static_cast<std::int64_t>(directory.record.bytes / kRefillBytesPerMillisecond);
        describe(directory);
        directory.record.created_ns = directory.record.used_ns;
        into.push_back(std::move(directory));
    }
}

}  // namespace

std::uint64_t blocks_of(const std::string& path) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) return 0;  // removed meanwhile
    return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

std::uint64_t blocks_below(const std::string& directory) {
    std::uint64_t bytes = blocks_of(directory);
    std::error_code ignored;  // what is being written may vanish under us
    fs::recursive_directory_iterator at(directory, fs::directory_options::skip_permission_denied,
                                        ignored);
    for (const fs::recursive_directory_iterator end; !ignored && at != end; at.increment(ignored))
        bytes += blocks_of(at->path().string());
    return bytes;
}

std::vector<CacheDirectory> cache_directories(const Layout& layout) {
    std::vector<CacheDirectory> all;
    add_all(layout.cache_mounts, all, [](CacheDirectory& directory) {
        directory.record.kind = RecordKind::CacheMount;
        directory.record.name = cache_mount_name(directory.paths.front());
        directory.record.used_ns = last_use_of_mount(directory.paths.front());
    });
    add_all(layout.git_mirrors, all, [](CacheDirectory& directory) {
        directory.record.kind = RecordKind::GitMirror;
        directory.record.name = "git mirror";  // of what is not written down: URLs hold secrets
        directory.paths.push_back(directory.paths.front() + ".lock");
        directory.record.used_ns = modified_ns(directory.paths.back());
    });
    return all;
}

void remove_cache_directory(const CacheDirectory& directory, const std::string& tmp) {
    const TempDir grave(tmp, "cache-");
    for (std::size_t i = 0; i < directory.paths.size(); ++i) {
        const auto& path = directory.paths[i];
        const auto away = join_path(grave.path(), std::to_string(i));
        if (::rename(path.c_str(), away.c_str()) != 0 && errno != ENOENT)
            throw_errno("removing", path);
    }
}

}  // namespace shale::store
