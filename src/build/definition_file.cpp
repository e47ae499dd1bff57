// The place is found in the words of the path first, so that no link on the way to the file leads
// out of the context either; only what lies elsewhere by its words is looked for by where it really
// is.
#include <shale/confined.hpp>
#include <shale/definition_file.hpp>

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <string_view>
#include <system_error>

namespace shale::build {

namespace {

namespace fs = std::filesystem;

// `directory` and `name` in it, or, where that lies in the context, the context and the rest.
struct Place {
    std::string directory, name;
};

std::optional<Place> place_in(const fs::path& path, const fs::path& directory) {
    if (directory.empty()) return std::nullopt;
    const fs::path below = path.lexically_relative(directory);
    if (below.empty() || *below.begin() == "..") return std::nullopt;
    return Place{directory.string(), below.string()};
}

Place place_of(const fs::path& path, const std::string& context_directory) {
    std::error_code failed;
    const auto words = [](const fs::path& written) {
        return fs::absolute(written).lexically_normal();
    };
    const fs::path written = context_directory.empty() ? fs::path() : words(context_directory);
    if (const auto place =
            place_in(words(path), written.has_filename() ? written : written.parent_path()))
        return *place;
    const fs::path parent = path.has_parent_path() ? path.parent_path() : fs::path(".");
    const fs::path directory = fs::canonical(parent, failed);
    if (failed) return {parent.string(), path.filename().string()};
    const fs::path context = fs::canonical(context_directory, failed);
    if (!failed)
        if (const auto place = place_in(directory / path.filename(), context)) return *place;
    return {directory.string(), path.filename().string()};
}

// A descriptor of the caller's, by any of its names.
bool is_descriptor(std::string_view path) {
    if (path == "/dev/stdin") return true;
    const auto number = path.substr(path.rfind('/') + 1);
    const auto directory = path.substr(0, path.size() - number.size());
    const bool is_number =
        !number.empty() && number.find_first_not_of("0123456789") == std::string_view::npos;
    if (!is_number) return false;
    if (directory == "/dev/fd/" || directory == "/proc/self/fd/") return true;
    constexpr std::string_view kProc = "/proc/", kFd = "/fd/";
    if (!directory.starts_with(kProc) || !directory.ends_with(kFd)) return false;
    const auto pid = directory.substr(kProc.size(), directory.size() - kProc.size() - kFd.size());
    return !pid.empty() && pid.find_first_not_of("0123456789") == std::string_view::npos;
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
    if (is_descriptor(path)) return read_file(path, limit);
    const Place place = place_of(path, context_directory);
    auto text = read_confined(place.directory, place.name, limit);
    if (!text)
        fail(ErrorKind::NotFound, "open " + path + ": a symbolic link to nothing, or out of " +
                                      place.directory + ", which is not followed");
    return text;
}

std::string definition_path(const std::string& context_directory, const std::string& dockerfile) {
    constexpr std::string_view kDefault = "Dockerfile";
    std::string path = dockerfile.empty() ? join_path(context_directory, kDefault) : dockerfile;
    if (fs::path(path).filename() != kDefault || path_exists(path)) return path;
    const auto lower = path.substr(0, path.size() - kDefault.size()) + "dockerfile";
    return path_exists(lower) ? lower : path;
}

std::optional<IgnoreFile> read_ignore_file(const std::string& context_directory,
                                           const std::string& dockerfile_path) {
    for (auto& path : {dockerfile_path.empty() ? "" : dockerfile_path + ".dockerignore",
                       join_path(context_directory, ".dockerignore")}) {
        if (path.empty()) continue;
        if (auto text = read_definition(path, context_directory, kMaxSlurpBytes))
            return IgnoreFile{path, std::move(*text)};
    }
    return std::nullopt;
}

}  // namespace shale::build
