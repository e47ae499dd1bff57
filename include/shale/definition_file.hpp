// build: Dockerfiles and ignore files on disk, parts of a checkout that may be a stranger's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace shale::build {

// The text of the file at `path`; nullopt if there is none. If it is a symbolic link it is followed
// within the context, or, of a file that lies elsewhere, within the directory it is in, as the
// reference builder does. NotFound, saying so, for one that leads further: what is printed of a
// Dockerfile in an error would be the contents of a file that nobody meant to show. What a shell
// gives for <(command), /dev/fd/N and its like, is read as it is. Invalid for what is no file.
std::optional<std::string>
read_definition(const std::string& path, const std::string& context_directory, std::uint64_t limit);

// Which file the Dockerfile of a directory is: `dockerfile` if it is not empty, else "Dockerfile"
// in the context; or, where there is none of that name, "dockerfile", as people have it on file
// systems that do not tell them apart.
std::string definition_path(const std::string& context_directory, const std::string& dockerfile);

// The file that says what is ignored: "<path of the Dockerfile>.dockerignore", else ".dockerignore"
// of the context. nullopt if there is neither; an empty path is of no file.
struct IgnoreFile {
    std::string path, text;
};
std::optional<IgnoreFile> read_ignore_file(const std::string& context_directory,
                                           const std::string& dockerfile_path);

}  // namespace shale::build
