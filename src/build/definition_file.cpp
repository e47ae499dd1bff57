#include "definition_file.hpp"

#include <shale/confined.hpp>

#include <sys/stat.h>

#include <filesystem>
#include <system_error>

namespace shale::build {

namespace {

namespace fs = std::filesystem;

// `directory` and `name` in it, or, where that lies in the context, the context and the rest.
struct Place {
    std::string directory, name;
};

Place place_of(const fs::path& path, const std::string& context_directory) {
    std::error_code failed;
    const fs::path parent = path.has_parent_path() ? path.parent_path() : fs::path(".");
    const fs::path directory = fs::canonical(parent, failed);
    if (failed) return {parent.string(), path.filename().string()};
    const fs::path context = fs::canonical(context_directory, failed);
    const fs::path below = failed ? fs::path() : directory.lexically_relative(context);
    if (below.empty() || *below.begin() == "..")
        return {directory.string(), path.filename().string()};
    return {context.string(), (below / path.filename()).lexically_normal().string()};
}

bool is_device(const std::string& path) {
    return path.starts_with("/dev/") || path.starts_with("/proc/");
}

}  // namespace

std::optional<std::string> read_definition(const std::string& path,
                                           const std::string& context_directory,
                                           std::uint64_t limit) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) {
        if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
        throw_errno("stat", path);
    }
    if (is_device(path)) return read_file(path, limit);
    const Place place = place_of(path, context_directory);
    auto text = read_confined(place.directory, place.name, limit);
    if (!text)
        fail(ErrorKind::NotFound, "open " + path + ": a symbolic link to nothing, or out of " +
                                      place.directory + ", which is not followed");
    return text;
}

}  // namespace shale::build
