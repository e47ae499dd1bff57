// A little disk space that the store holds ready for when nothing else is free: on a full disk
// SQLite cannot open a database, and nothing can be removed from an index that cannot be written.
#pragma once

#include <cstdint>
#include <string>

namespace shale::store {

// Makes the file in the store at `root` while the disk has plenty. Without it nothing is lost but
// this way out, so it is no fault if it cannot be made.
void keep_reserve(const std::string& root);
// Gives it up, if the disk is so full that this is worth it. False if nothing was gained.
bool use_reserve(const std::string& root);
// Whether the file system of `path` has next to nothing free.
bool is_full(const std::string& path);
// What may still be written to it.
std::uint64_t free_bytes(const std::string& path);
// Whether a tenth of its disk stays free after so many bytes more: what the store has twice may not
// be what fills it.
bool has_spare_room(const std::string& path, std::uint64_t bytes);

}  // namespace shale::store
