#include "beside.hpp"

#include <dirent.h>
#include <fcntl.h>
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
// Without an unpacked step a RUN takes a little longer.
constexpr std::uint64_t kUnpackedBytesPerMillisecond = 1'000'000;

std::int64_t modified_ns(const std::string& path) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) return 0;
    return to_ns(status.st_mtim);
}

// "cache mount /root/.npm": a word, and what the description of a directory says of it. No record
// depends on that.
std::string name_of(const char* word, const std::string& directory, const char* field) {
    try {
        const auto about = nlohmann::json::parse(
            read_file(join_path(directory, "about.json"), kMostAboutBytes), nullptr, false);
        if (about.is_object() && about.value(field, nlohmann::json()).is_string())
            return std::string(word) + " " + about[field].get<std::string>();
    } catch (const Error&) {  // absent, or no file
    }
    return word;
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

// A command may have nested directories deeper than paths are long or descriptors are many: one
// directory is open at a time, and the way back is checked.
class BlockCount {
  public:
    std::uint64_t count(const std::string& directory) {
        if (!enter(UniqueFd(::open(directory.c_str(), kDirectory)))) return 0;
        device_ = levels_.back().device;
        while (!levels_.empty()) {
            if (levels_.back().directories.empty()) {
                if (!leave()) break;
                continue;
            }
            const std::string name = std::move(levels_.back().directories.back());
            levels_.back().directories.pop_back();
            enter(UniqueFd(::openat(fd_.get(), name.c_str(), kDirectory)));
        }
        return bytes_;
    }

  private:
    static constexpr int kDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    struct Level {
        dev_t device = 0;
        ino_t inode = 0;
        std::vector<std::string> directories;  // still to be entered
    };

    // What cannot be opened, vanished or is another file system is left out.
    bool enter(UniqueFd fd) {
        struct stat status {};
        if (!fd || ::fstat(fd.get(), &status) != 0) return false;
        if (!levels_.empty() && status.st_dev != device_) return false;
        UniqueFd listed(::openat(fd.get(), ".", kDirectory));
        DIR* const dir = listed ? ::fdopendir(listed.get()) : nullptr;
        if (dir == nullptr) return false;
        listed.release();
        bytes_ += bytes_of(status);
        levels_.push_back({status.st_dev, status.st_ino, {}});
        while (const dirent* item = ::readdir(dir)) {
            const std::string_view name = item->d_name;
            if (name == "." || name == "..") continue;
            if (::fstatat(fd.get(), item->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
            if (S_ISDIR(status.st_mode))
                levels_.back().directories.emplace_back(name);
            else
                bytes_ += bytes_of(status);
        }
        ::closedir(dir);
        fd_ = std::move(fd);
        return true;
    }

    // False if the directory above is another one than it was: it was moved meanwhile.
    bool leave() {
        levels_.pop_back();
        if (levels_.empty()) return true;
        UniqueFd above(::openat(fd_.get(), "..", kDirectory));
        struct stat status {};
        if (!above || ::fstat(above.get(), &status) != 0 ||
            status.st_dev != levels_.back().device || status.st_ino != levels_.back().inode)
            return false;
        fd_ = std::move(above);
        return true;
    }

    static std::uint64_t bytes_of(const struct stat& status) {
        return static_cast<std::uint64_t>(status.st_blocks) * 512;
    }

    UniqueFd fd_;  // of the last level
    std::vector<Level> levels_;
    dev_t device_ = 0;
    std::uint64_t bytes_ = 0;
};

}  // namespace

std::uint64_t blocks_of(const std::string& path) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) return 0;  // removed meanwhile
    return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

std::uint64_t blocks_below(const std::string& directory) {
    return BlockCount().count(directory);
}

std::vector<CacheDirectory> cache_directories(const Layout& layout) {
    std::vector<CacheDirectory> all;
    add_all(layout.cache_mounts, all, [](CacheDirectory& directory) {
        directory.record.kind = RecordKind::CacheMount;
        directory.record.name = name_of("cache mount", directory.paths.front(), "id");
        directory.record.used_ns = last_use_of_mount(directory.paths.front());
    });
    add_all(layout.git_mirrors, all, [](CacheDirectory& directory) {
        directory.record.kind = RecordKind::GitMirror;
        directory.record.name = "git mirror";  // of what is not written down: URLs hold secrets
        directory.paths.push_back(directory.paths.front() + ".lock");
        directory.record.used_ns = modified_ns(directory.paths.back());
    });
    add_all(layout.unpacked, all, [](CacheDirectory& directory) {
        auto& record = directory.record;
        record.kind = RecordKind::UnpackedStep;
        record.name = name_of("files of", directory.paths.front(), "name");
        record.cost_ms = static_cast<std::int64_t>(record.bytes / kUnpackedBytesPerMillisecond);
        directory.paths.push_back(directory.paths.front() + ".lock");
        record.used_ns = modified_ns(directory.paths.back());
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
