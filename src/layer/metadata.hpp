// Ownership, mode, attributes and times of one extracted entry.
#pragma once

#include <shale/tar.hpp>

namespace shale::layer {

// Through a descriptor of any kind, O_PATH included (by /proc/self/fd, so /proc must be mounted).
// Owner first, because a change of owner clears set-user-ID bits and file capabilities; mode next;
// then attributes, those the entry has inherited or had before and `member` does not name being
// removed. Without root, what is not permitted is left undone; a file that could not get its owner
// does not get the bits that lend the owner's rights, either.
void set_metadata(int fd, const tar::Member& member, bool with_mode = true);

void set_mode(int fd, std::uint32_t mode, const std::string& path);
// Of `name` in `directory` itself, never of what it links to.
void set_mtime(int directory, const std::string& name, std::int64_t mtime_ns,
               const std::string& path);
void set_mtime(int fd, std::int64_t mtime_ns, const std::string& path);
std::int64_t mtime_of(int fd);

bool is_root();

}  // namespace shale::layer
