// One step through the cache: look up by definition key, then by content key, else execute; record.
#pragma once

#include "key.hpp"
#include "root.hpp"
#include "session.hpp"

#include <functional>
#include <memory>
#include <string>

namespace shale::build {

// What executing a step gives. `layer` is set when the step had to write its contents anyway.
struct Executed {
    std::shared_ptr<const snapshot::Tree> tree;
    std::vector<Digest> sources;
    std::optional<oci::Descriptor> layer;
    std::optional<Digest> diff_id;
    // A key under which the result is recorded besides: that of the step whatever it reads. The
    // next time, what is made is expected to be like it (TreeBuilder::expect_like).
    std::optional<Digest> likeness_key{};
};

struct Step {
    std::string name;  // "[builder 2/5] COPY . ."
    // All keys are computed inside the step's vertex, so that a failure shows as the step's. They
    // note what they cover.
    std::function<Digest(RecordedInputs*)> definition_key;
    // Depends on bytes only; asked for after a definition miss, may load the parent.
    std::function<Digest(RecordedInputs*)> content_key;
    // Takes what other steps or builds may have to be waited for; before the step has a job.
    std::function<void(VertexId)> prepare{};
    std::function<Executed(VertexId)> execute;
    std::uint64_t memory = 0;  // in bytes, what it may use up: reserved while it executes
    // What is remembered besides: where the step is written, and what it reads. Filled in when the
    // definition key is known.
    std::function<void(RecordedStep&)> describe;
    bool use_cache = true;
};

// A step that another stage or platform of this build makes, too, is made once. If it has the same
// name there, it is one vertex; otherwise one is shown for each and the second counts as cached.
StepResult run_step(Session& session, const std::shared_ptr<Root>& parent, const Step& step);

// Writes the layer that turns `before` into `after` into the store. `content` opens what is not
// already held by the sources of either root; null if there is nothing such.
StoredLayer store_layer(store::Store& store, const snapshot::Tree& before,
                        const snapshot::Tree& after, const std::vector<Digest>& sources,
                        const layer::OpenContent& content, const std::stop_token& stop = {});
StoredLayer store_layer(Session& session, const snapshot::Tree& before, const snapshot::Tree& after,
                        const std::vector<Digest>& sources, const layer::OpenContent& content);

// Makes the slot's layer if it has not been made, or fetches it from the cache that has it. Safe
// from any thread.
void ensure_layer(Session& session, LayerSlot& slot);

// `sources` plus `more` without repetition, order kept.
std::vector<Digest> merge_sources(std::vector<Digest> sources, const std::vector<Digest>& more);

}  // namespace shale::build
