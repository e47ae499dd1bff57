// The files that make up an image outside of the store: below a directory, or members of a tar.
//
// Either may come from a stranger: what is no regular file is refused without waiting for a writer
// (a FIFO would block whoever opens it), and a member is found by its exact name only.
#pragma once

#include <shale/base.hpp>
#include <shale/codec.hpp>

#include <cstdint>
#include <memory>
#include <string>

namespace shale::build {

// open(2) for reading; Invalid if it is no regular file.
UniqueFd open_regular_file(const std::string& path, int more_flags = 0);

class ImageFiles {
  public:
    virtual ~ImageFiles() = default;
    virtual bool has(const std::string& name) const = 0;
    // From its start. NotFound, naming the file; the object must outlive the source.
    virtual codec::Source open(const std::string& name) const = 0;
    // A whole small file. Invalid if it is larger than `limit`.
    std::string document(const std::string& name, std::uint64_t limit) const;
};

std::unique_ptr<ImageFiles> files_of_directory(const std::string& directory);
// Links among the members are followed. A compressed archive is unpacked into an anonymous file.
std::unique_ptr<ImageFiles> files_of_archive(const std::string& path);

}  // namespace shale::build
