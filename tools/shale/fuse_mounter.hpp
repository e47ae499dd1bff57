// How a build and a shell show trees: through fuse/, with set-id bits and devices working.
#pragma once

#include <shale/build.hpp>
#include <shale/fuse.hpp>

#include <memory>
#include <string>

namespace shale::cli {

class FuseMounter final : public build::TreeMounter {
  public:
    std::unique_ptr<build::MountedTree> mount(std::shared_ptr<mount::View> view,
                                              const std::string& target) override {
        return std::make_unique<Handle>(std::move(view), target);
    }

  private:
    static fuse::Options root_options() {
        fuse::Options options;
        options.allow_set_id_and_devices = true;
        return options;
    }
    struct Handle final : build::MountedTree {
        Handle(std::shared_ptr<mount::View> view, const std::string& target)
            : mounted(std::move(view), target, root_options()) {}
        fuse::Mounted mounted;
    };
};

}  // namespace shale::cli
