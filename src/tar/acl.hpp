// Access control lists of an archive: the text that GNU tar, star and bsdtar write (SCHILY.acl.*)
// -> what Linux keeps.
#pragma once

#include "libarchive.hpp"

#include <shale/tar.hpp>

namespace shale::tar {

// Adds the lists that the entry states to the member's attributes, system.posix_acl_*, unless it
// has them as such. With a list the group's bits of the mode are the list's mask, which libarchive
// has replaced by the rights of the owning group. A list that names somebody without a number is
// left out, and that mode, the narrower one, stands. The type must be known.
void take_acls(archive_entry* entry, Member& member);

}  // namespace shale::tar
