// SOURCE_DATE_EPOCH: from what was asked for to a number of seconds.
#pragma once

#include "context.hpp"
#include "sources.hpp"

#include <shale/build.hpp>
#include <shale/dockerfile.hpp>

namespace shale::build {

// The request with its time settled, also as the value of the build argument. It may have been
// given as a number, as "context", as the name of a named context or of a stage that does nothing
// but one ADD of something remote, on the command line or as the default of a global ARG. Invalid:
// `invalid SOURCE_DATE_EPOCH: x`.
Request settle_epoch(const Request& request, const dockerfile::File& file, Context& context,
                     Sources& sources, const oci::Platform& platform);

}  // namespace shale::build
