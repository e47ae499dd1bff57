// One instruction applied to the state of its stage.
#pragma once

#include "copy.hpp"
#include "run.hpp"
#include "stage.hpp"
#include "step.hpp"

#include <set>
#include <string>

namespace shale::build {

// Where a copy reads: one of the two.
struct CopySource {
    std::shared_ptr<Root> root;
    Context* directory = nullptr;
    std::string name{};  // of the directory, for those who ask what the build was made of
};

class Dispatcher {
  public:
    // `step_name` is the vertex name if the instruction becomes a step.
    Dispatcher(Session& session, Stages& stages, std::uint32_t stage_index, StageState& state,
               const dockerfile::Instruction& instruction, std::string step_name);
    Dispatcher(const Dispatcher&) = delete;
    void dispatch();

    void operator()(const dockerfile::Run& run);
    void operator()(const dockerfile::Copy& copy);
    void operator()(const dockerfile::Env& env);
    void operator()(const dockerfile::Label& label);
    void operator()(const dockerfile::Arg& arg);
    void operator()(const dockerfile::Workdir& workdir);
    void operator()(const dockerfile::User& user);
    void operator()(const dockerfile::Expose& expose);
    void operator()(const dockerfile::Volume& volume);
    void operator()(const dockerfile::Cmd& cmd);
    void operator()(const dockerfile::Entrypoint& entrypoint);
    void operator()(const dockerfile::Shell& shell);
    void operator()(const dockerfile::StopSignal& signal);
    void operator()(const dockerfile::Maintainer& maintainer);
    void operator()(const dockerfile::Onbuild& onbuild);
    void operator()(const dockerfile::Healthcheck& healthcheck);

  private:
    std::string expand(const std::string& word) const;
    void add_history(std::string created_by, std::shared_ptr<LayerSlot> layer = nullptr);
    std::vector<std::string> shell() const;
    std::vector<std::string> with_shell(const dockerfile::Command& command) const;
    bool use_cache() const;
    Step new_step(std::string name) const;
    void describe(RecordedStep& record) const;
    // Runs the step on the stage's root and makes its result the new root.
    void advance(const Step& step, StepFact fact, std::string created_by);
    // Notes what the step was, for those who ask what the build was made of.
    void note(StepFact fact, const StepResult& result);
    void note_grants(const RunSpec& spec);
    RunSpec run_spec(const dockerfile::Run& run);
    std::vector<RunMount> run_mounts(const dockerfile::Run& run, const std::string& cwd);
    std::shared_ptr<Root> mount_source(const dockerfile::Mount& mount);
    std::string run_title_of(const dockerfile::Run& run, const RunSpec& spec) const;
    std::string run_step_name(const dockerfile::Run& run, const RunSpec& spec) const;
    std::string expanded_step_name() const;             // step_name_ with values in it
    CopySource copy_source(const std::string& from);    // empty: the build context
    std::string absolute(std::string_view path) const;  // joined to WORKDIR, not cleaned

    Session& session_;
    Stages& stages_;
    std::uint32_t stage_index_;
    StageState& state_;
    const dockerfile::Instruction& instruction_;
    std::string step_name_;
    mutable std::set<std::string> asked_;  // variables that the instruction mentions
    dockerfile::Lookup lookup_;
};

}  // namespace shale::build
