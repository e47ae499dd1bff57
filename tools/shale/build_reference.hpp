// "build:ID", "build:ID/STAGE", "build:ID/step:N", "build:ID/failed": root file systems of builds
// that are remembered, where other commands take an image. ID as `shale builds` takes it.
#pragma once

#include "workspace.hpp"

#include <shale/oci.hpp>
#include <shale/snapshot.hpp>

#include <memory>
#include <string>
#include <vector>

namespace shale::cli {

struct BuildRoot {
    std::shared_ptr<const snapshot::Tree> tree;
    std::vector<Digest> sources;  // layer blobs that hold its contents
    // What a command would have there: environment, user and directory of the image, for a whole
    // build that made one; else of the nearest RUN up to this point. Values that the record does
    // not tell are left out.
    oci::RunConfig config;
    std::string title;  // "step 4 of build 0123456789ab: [2/3] RUN make"
};

// Not for every "build:...": an image may be called build, with a tag of its own.
bool is_build_reference(const std::string& text);
// NotFound if the build, the step or its result is not there any more.
BuildRoot open_build_reference(Workspace& workspace, const std::string& text);

}  // namespace shale::cli
