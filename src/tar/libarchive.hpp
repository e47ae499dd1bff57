// The functions of libarchive that this module uses. The library is loaded with the first of them:
// it brings ICU along, whose data alone are thirty megabytes.
#pragma once

#include <shale/shared_library.hpp>

#include <archive.h>
#include <archive_entry.h>

namespace shale::tar {

struct Libarchive {
    SharedLibrary library{"libarchive.so.13"};
    decltype(::archive_entry_acl_next)* entry_acl_next = library.get("archive_entry_acl_next");
    decltype(::archive_entry_acl_reset)* entry_acl_reset = library.get("archive_entry_acl_reset");
    decltype(::archive_entry_filetype)* entry_filetype = library.get("archive_entry_filetype");
    decltype(::archive_entry_free)* entry_free = library.get("archive_entry_free");
    decltype(::archive_entry_gid)* entry_gid = library.get("archive_entry_gid");
    decltype(::archive_entry_hardlink)* entry_hardlink = library.get("archive_entry_hardlink");
    decltype(::archive_entry_mtime)* entry_mtime = library.get("archive_entry_mtime");
    decltype(::archive_entry_mtime_is_set)* entry_mtime_is_set =
        library.get("archive_entry_mtime_is_set");
    decltype(::archive_entry_mtime_nsec)* entry_mtime_nsec =
        library.get("archive_entry_mtime_nsec");
    decltype(::archive_entry_new)* entry_new = library.get("archive_entry_new");
    decltype(::archive_entry_pathname)* entry_pathname = library.get("archive_entry_pathname");
    decltype(::archive_entry_perm)* entry_perm = library.get("archive_entry_perm");
    decltype(::archive_entry_rdevmajor)* entry_rdevmajor = library.get("archive_entry_rdevmajor");
    decltype(::archive_entry_rdevminor)* entry_rdevminor = library.get("archive_entry_rdevminor");
    decltype(::archive_entry_size)* entry_size = library.get("archive_entry_size");
    decltype(::archive_entry_sparse_count)* entry_sparse_count =
        library.get("archive_entry_sparse_count");
    decltype(::archive_entry_symlink)* entry_symlink = library.get("archive_entry_symlink");
    decltype(::archive_entry_uid)* entry_uid = library.get("archive_entry_uid");
    decltype(::archive_entry_xattr_next)* entry_xattr_next =
        library.get("archive_entry_xattr_next");
    decltype(::archive_entry_xattr_reset)* entry_xattr_reset =
        library.get("archive_entry_xattr_reset");
    decltype(::archive_errno)* error_number = library.get("archive_errno");
    decltype(::archive_error_string)* error_string = library.get("archive_error_string");
    decltype(::archive_filter_bytes)* filter_bytes = library.get("archive_filter_bytes");
    decltype(::archive_read_data)* read_data = library.get("archive_read_data");
    decltype(::archive_read_free)* read_free = library.get("archive_read_free");
    decltype(::archive_read_header_position)* read_header_position =
        library.get("archive_read_header_position");
    decltype(::archive_read_new)* read_new = library.get("archive_read_new");
    decltype(::archive_read_next_header2)* read_next_header2 =
        library.get("archive_read_next_header2");
    decltype(::archive_read_open)* read_open = library.get("archive_read_open");
    decltype(::archive_read_support_format_empty)* read_support_format_empty =
        library.get("archive_read_support_format_empty");
    decltype(::archive_read_support_format_tar)* read_support_format_tar =
        library.get("archive_read_support_format_tar");
    decltype(::archive_set_error)* set_error = library.get("archive_set_error");
};

inline const Libarchive& libarchive() {
    static const Libarchive loaded;
    return loaded;
}

}  // namespace shale::tar
