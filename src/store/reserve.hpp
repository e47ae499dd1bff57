// A little disk space that the store holds ready for when nothing else is free: on a full disk
// SQLite cannot open a database, and nothing can be removed from an index that cannot be written.
#pragma once

#include <string>

namespace shale::store {

// Makes the file at `path` while the disk has plenty. Without it nothing is lost but this way out,
// so failures are none.
void keep_reserve(const std::string& path) noexcept;
// Gives it up, if the disk is so full that this is worth it. False if nothing was gained.
bool use_reserve(const std::string& path) noexcept;
// Whether the file system of `path` has next to nothing free.
bool is_full(const std::string& path) noexcept;

}  // namespace shale::store
