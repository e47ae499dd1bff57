#include "runtime_directory.hpp"

#include <shale/base.hpp>

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace shale::cli {

std::vector<std::string> runtime_directories(const std::string& what, const std::string& root) {
    std::vector<std::string> places;
    const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
    if (::geteuid() == 0)
        places.push_back(join_path("/run/shale", what));
    else if (runtime && *runtime)
        places.push_back(join_path(join_path(runtime, "shale"), what));
    places.push_back(join_path(std::filesystem::absolute(root).lexically_normal().string(), what));
    return places;
}

std::string leave_note(const std::vector<std::string>& directories, const std::string& name,
                       const std::string& text) {
    for (auto place = directories.begin();; ++place) {
        const auto path = join_path(*place, name);
        try {
            make_directories(*place);
            write_file_atomic(path, as_bytes(text));
            return path;
        } catch (const Error&) {  // the next will do as well
            if (place + 1 == directories.end()) throw;
        }
    }
}

std::string boot_id() {
    try {
        return read_file("/proc/sys/kernel/random/boot_id");
    } catch (const Error&) {  // no /proc: then notes of an earlier system cannot be told apart
        return {};
    }
}

}  // namespace shale::cli
