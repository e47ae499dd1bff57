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

}  // namespace shale::build
