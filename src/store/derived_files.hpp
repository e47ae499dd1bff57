// A directory of files that the store has made of its blobs, and can make again.
#pragma once

#include <shale/base.hpp>

#include <string>
#include <string_view>

namespace shale::store {

struct DerivedFiles {
    std::string own;   // where they are written
    std::string also;  // of a store that can only be read, where it has its own; else empty

    std::string path(std::string_view name) const { return join_path(own, name); }
    // The one to read: what was made here comes before what is there, which may be damaged.
    std::string find(std::string_view name) const {
        std::string here = path(name);
        if (also.empty() || path_exists(here)) return here;
        std::string there = join_path(also, name);
        return path_exists(there) ? there : here;
    }
};

}  // namespace shale::store
