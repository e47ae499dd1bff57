// What every tree must stand that a decoder has accepted.
#pragma once

#include <shale/snapshot.hpp>

namespace shale::snapshot {

// An edit is what comes back of it, written and read.
inline void check_edit(TreeBuilder& builder) {
    builder.put("added", {});
    const Tree edited = builder.finish();
    SHALE_ENSURE(Tree::parse(as_bytes(edited.serialise())).digest() == edited.digest());
}

}  // namespace shale::snapshot
