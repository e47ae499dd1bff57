// What a build was made of, noted as it goes, for whoever asks afterwards: the things that came
// from elsewhere, the steps and how they hang together, what commands were lent. No values of
// secrets are among it.
#pragma once

#include "source.hpp"

#include <shale/base.hpp>
#include <shale/build.hpp>
#include <shale/dockerfile.hpp>

#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace shale::build {

// A command of RUN as the cache sees it.
struct CommandFact {
    std::vector<std::string> argv, env;
    std::string cwd, user, network;
};

struct StepFact {
    Digest result;               // key of the root that it left
    std::vector<Digest> inputs;  // keys of the roots it was made from, its stage's first
    std::string instruction;     // with values in it; empty: two roots laid together
    std::vector<dockerfile::LineRange> lines;  // of every instruction that came to this step
    std::optional<CommandFact> command;
    std::shared_ptr<LayerSlot> layer;
};

// Something lent to a command.
struct GrantFact {
    std::string id;
    bool required = false;
    auto operator<=>(const GrantFact&) const = default;
};

// All that was noted. Sorted as far as the order in which threads came must not show.
struct AllFacts {
    std::vector<std::pair<Material, std::optional<Digest>>> materials;  // and the root that each is
    std::vector<std::pair<std::string, Digest>> locals;                 // name, and its root's key
    std::vector<StepFact> steps;
    std::set<GrantFact> secrets, ssh;
    bool used_network = false;
};

// Of one evaluation. Safe from any thread.
class Facts {
  public:
    void add(const Material& material, const std::optional<Digest>& root);
    // A directory of this machine.
    void add_local(const std::string& name);
    // What stands for it among the inputs of steps.
    static Digest local_key(const std::string& name);
    // `stage` and the order of calls for it say where in the Dockerfile the step is.
    void add(std::uint32_t stage, StepFact step);
    void add_secret(const GrantFact& secret);
    void add_ssh(const GrantFact& ssh);
    void note_network();

    AllFacts all() const;

  private:
    mutable std::mutex mutex_;
    std::map<Material, std::optional<Digest>> materials_;
    std::set<std::string> locals_;
    std::map<std::uint32_t, std::vector<StepFact>> steps_;  // by stage
    std::set<GrantFact> secrets_, ssh_;
    bool used_network_ = false;
};

}  // namespace shale::build
