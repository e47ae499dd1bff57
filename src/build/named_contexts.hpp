// --build-context NAME=VALUE: names that stand for other files than they seem to. Only looking up
// happens here; a value is not looked at before something refers to its name.
#pragma once

#include <shale/build.hpp>

#include <optional>
#include <string>
#include <vector>

namespace shale::build {

// An image name in its shortest form, without ":latest": "docker.io/library/alpine:latest" is
// "alpine". nullopt if the text is no image name.
std::optional<std::string> normalise_context_name(const std::string& text);

class NamedContexts {
  public:
    NamedContexts() = default;
    // `given` must outlive it. `platform` is what the build is for.
    NamedContexts(const std::vector<KeyValue>& given, oci::Platform platform)
        : given_(&given), platform_(std::move(platform)) {}

    // The value for a name after FROM, AS or --from, the last one given. "name::linux/arm64" goes
    // before "name"; `platform` is what FROM says, if it says anything.
    const std::string* find(const std::string& name, const std::string& platform = {}) const;

  private:
    const std::vector<KeyValue>* given_ = nullptr;
    oci::Platform platform_;
};

// Invalid unless every name is an image name, perhaps with "::PLATFORM", and has a value.
void check_named_contexts(const std::vector<KeyValue>& given);

}  // namespace shale::build
