// Ending with Cancelled once the build has been stopped, also in the midst of gigabytes.
#pragma once

#include <shale/base.hpp>
#include <shale/codec.hpp>

#include <stop_token>
#include <utility>

namespace shale::build {

inline void check_stop(const std::stop_token& stop) {
    if (stop.stop_requested()) fail(ErrorKind::Cancelled, "cancelled");
}

inline codec::Source stoppable(codec::Source source, std::stop_token stop) {
    return [source = std::move(source), stop = std::move(stop)](MutableBytes out) {
        check_stop(stop);
        return source(out);
    };
}

}  // namespace shale::build
