// Evaluates stages: each on a thread of its own as soon as somebody needs it, its instructions in
// order. A stage waits for another only where a FROM or --from says so.
#pragma once

#include "environment.hpp"
#include "plan.hpp"
#include "root.hpp"
#include "session.hpp"

#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace shale::build {

// One history entry this build added; its layer, unless it is an empty one.
struct NewHistory {
    oci::History entry;
    std::shared_ptr<LayerSlot> layer;
};

// Everything an instruction reads and changes.
struct StageState {
    oci::ImageConfig image;           // of the base; `config` is kept up to date, history is not
    std::vector<NewHistory> history;  // what this build appends to image.history
    Environment environment;          // image variables and build arguments, the last setter wins
    std::vector<std::string> arguments;  // names declared by ARG, in order, each once
    std::shared_ptr<Root> root;
    oci::Platform platform;  // what the commands of the stage are for
    std::vector<std::shared_ptr<LayerSlot>> layers;
    bool cmd_was_set = false;  // by this stage
};

// A base image, resolved; layers are pulled when `root` is loaded.
struct BaseImage {
    ResolvedImage resolved;
    oci::Platform platform;  // what was asked for, or found where nothing was asked for
    std::shared_ptr<Root> root;
};

class Stages {
  public:
    Stages(Session& session, std::stop_source& failure) : session_(session), failure_(failure) {}
    ~Stages();  // waits for every stage that was started

    void start(std::uint32_t index);
    // Starts the stage if need be and waits for it; throws what it threw.
    const StageState& get(std::uint32_t index);
    // `step` is the vertex name of the pull, for instance "[builder 1/5] FROM docker.io/...".
    std::shared_ptr<BaseImage> image(const ImageBase& base, const std::string& step_prefix);

    // An image that runs something and that nothing of the result is made of.
    std::shared_ptr<BaseImage> tool(const ImageBase& base);

    // The files that a FROM or --from means, whatever it is.
    std::shared_ptr<Root> root_of(const Base& base);

  private:
    StageState evaluate(std::uint32_t index);
    StageState begin_from_source(const ContextBase& base);
    Source named_source(const ContextBase& base);
    oci::Platform platform_of(const ImageBase& base) const;
    oci::Platform platform_of_stage(const Base& base);
    std::shared_ptr<BaseImage> image_once(const ImageBase& base, const std::string& step_prefix);
    std::shared_ptr<BaseImage> resolve_image(const ImageBase& base, const std::string& step_prefix);
    StageState begin(const Base& base, const std::string& step_prefix);

    Session& session_;
    std::stop_source& failure_;
    std::mutex mutex_;
    std::map<std::uint32_t, std::shared_future<std::unique_ptr<StageState>>> started_;
};

// Tells the record of the build what files from elsewhere are.
void note_source(Session& session, const Root& root, const std::string& name);

// The root of a FROM scratch: an empty directory 0755 root:root.
std::shared_ptr<Root> empty_root();

}  // namespace shale::build
