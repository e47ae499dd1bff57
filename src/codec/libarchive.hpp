// The functions of libarchive that this module uses. The library is loaded with the first of them:
// it brings ICU along, whose data alone are thirty megabytes.
#pragma once

#include <shale/shared_library.hpp>

#include <archive.h>
#include <archive_entry.h>

namespace shale::codec {

struct Libarchive {
    SharedLibrary library{"libarchive.so.13"};
    decltype(::archive_errno)* error_number = library.get("archive_errno");
    decltype(::archive_error_string)* error_string = library.get("archive_error_string");
    decltype(::archive_filter_bytes)* filter_bytes = library.get("archive_filter_bytes");
    decltype(::archive_read_append_filter)* read_append_filter =
        library.get("archive_read_append_filter");
    decltype(::archive_read_data)* read_data = library.get("archive_read_data");
    decltype(::archive_read_free)* read_free = library.get("archive_read_free");
    decltype(::archive_read_new)* read_new = library.get("archive_read_new");
    decltype(::archive_read_next_header)* read_next_header =
        library.get("archive_read_next_header");
    decltype(::archive_read_open)* read_open = library.get("archive_read_open");
    decltype(::archive_read_support_format_empty)* read_support_format_empty =
        library.get("archive_read_support_format_empty");
    decltype(::archive_read_support_format_raw)* read_support_format_raw =
        library.get("archive_read_support_format_raw");
    decltype(::archive_set_error)* set_error = library.get("archive_set_error");
};

inline const Libarchive& libarchive() {
    static const Libarchive loaded;
    return loaded;
}

}  // namespace shale::codec
