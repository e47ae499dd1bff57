// Two files per directory: the snapshot, and the token with the linked paths. The latter names the
// digest of the tree it belongs to, so that a crash between the two leaves no pair that is
// believed.
#include "base_snapshot.hpp"

#include <shale/codec.hpp>
#include <shale/snapshot_file.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

namespace shale::watch {

namespace {

constexpr std::string_view kFormat = "shale-watch-base-1";
constexpr std::uint64_t kMaxTokenBytes = 256 << 20;
// A snapshot of a million entries takes 136 MB.
constexpr std::size_t kMostBases = 8;

std::string stem_of(const std::string& state_directory, const std::string& directory,
                    std::string_view variant) {
    std::string key = directory;
    key.append(1, '\0').append(variant);
    return join_path(state_directory, codec::sha256(key).hex().substr(0, 32));
}

// A base says what a snapshot holds without a look at the files, so it must be our own word.
bool is_ours(const std::string& path, mode_t type) {
    struct stat status {};
    return ::lstat(path.c_str(), &status) == 0 && (status.st_mode & S_IFMT) == type &&
           status.st_uid == ::geteuid() && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

// Whatever goes is missed by nobody: the next snapshot walks, and writes it again.
void drop_oldest(const std::string& state_directory) {
    namespace fs = std::filesystem;
    std::vector<std::pair<fs::file_time_type, fs::path>> tokens;
    std::error_code ignored;
    for (fs::directory_iterator at(state_directory, ignored), end; !ignored && at != end;
         at.increment(ignored))
        if (at->path().extension() == ".token") {
            std::error_code vanished;
            tokens.emplace_back(at->last_write_time(vanished), at->path());
        }
    std::sort(tokens.begin(), tokens.end(), std::greater<>());
    for (std::size_t i = kMostBases; i < tokens.size(); ++i) {
        fs::remove(tokens[i].second, ignored);
        fs::remove(tokens[i].second.replace_extension(".snap"), ignored);
    }
}

}  // namespace

std::optional<BaseSnapshot> load_base(const std::string& state_directory,
                                      const std::string& directory, std::string_view variant) {
    const std::string stem = stem_of(state_directory, directory, variant);
    if (!is_ours(state_directory, S_IFDIR) || !is_ours(stem + ".token", S_IFREG) ||
        !is_ours(stem + ".snap", S_IFREG))
        return std::nullopt;
    try {
        std::vector<std::string> fields;
        const std::string text = read_file(stem + ".token", kMaxTokenBytes);
        for (std::size_t at = 0; at < text.size();) {
            const auto end = text.find('\0', at);
            if (end == std::string::npos) return std::nullopt;
            fields.push_back(text.substr(at, end - at));
            at = end + 1;
        }
        if (fields.size() < 5 || fields[0] != kFormat || fields[4] != std::to_string(fields.size()))
            return std::nullopt;
        auto tree = snapshot::open_tree(stem + ".snap");
        if (tree.digest().str() != fields[1]) return std::nullopt;
        ::utimensat(AT_FDCWD, (stem + ".token").c_str(), nullptr, 0);  // used now
        return BaseSnapshot{{fields[2], std::stoull(fields[3])},
                            {fields.begin() + 5, fields.end()},
                            std::move(tree)};
    } catch (const std::exception&) {  // absent or damaged: the next snapshot replaces it
        return std::nullopt;
    }
}

void save_base(const std::string& state_directory, const std::string& directory,
               std::string_view variant, const BaseSnapshot& base) {
    make_directories(state_directory, 0700);
    const std::string stem = stem_of(state_directory, directory, variant);
    OutputFile file(stem + ".snap");
    snapshot::write_tree(base.tree, [&](Bytes bytes) { file.write(bytes); });
    file.commit(OutputFile::Durability::NotSynced);  // after a crash its token is worthless
    std::string text;
    const auto put = [&](std::string_view field) { text.append(field).push_back('\0'); };
    put(kFormat);
    put(base.tree.digest().str());
    put(base.token.instance);
    put(std::to_string(base.token.moment));
    put(std::to_string(base.linked.size() + 5));
    for (const auto& path : base.linked)
        put(path);
    write_file_atomic(stem + ".token", as_bytes(text), 0600);
    drop_oldest(state_directory);
}

}  // namespace shale::watch
