// Collects what is remembered of one build while it runs, and hands every event on to the progress
// that shows it. Safe from any thread.
#pragma once

#include <shale/build.hpp>
#include <shale/build_record.hpp>

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace shale::build {

class Context;
struct StoredLayer;

// The output of one step, bounded: its beginning and its end, and how much was left out between.
class BoundedLog {
  public:
    void add(std::string_view text);
    std::string str() const;

  private:
    std::string head_, tail_;
    std::uint64_t left_out_ = 0;
};

class BuildRecorder final : public Progress {
  public:
    BuildRecorder(Progress& shown, const Clock& clock);

    void started(VertexId vertex, const std::string& name) override;
    void output(VertexId vertex, sandbox::OutputStream stream, std::string_view text) override;
    void status(VertexId vertex, const std::string& what, std::uint64_t current,
                std::uint64_t total) override;
    void finished(VertexId vertex, Outcome outcome, const std::string& message) override;
    void warning(const std::string& text) override;

    // What the build was asked for; arguments and URLs lose what is secret in them.
    void begin(const Request& request, const std::string& dockerfile);
    // Another attempt begins: the steps of the one before do not count.
    void begin_again();
    void note_root(const Digest& key, const RecordedRoot& root);
    // A directory that steps read; it must outlive the build.
    void note_directory(Context& context);
    // A step begins; `vertex` shows it.
    void add_step(VertexId vertex, const RecordedStep& step);
    void update_step(VertexId vertex, const std::function<void(RecordedStep&)>& change);
    // The layer of the step with this definition key exists now.
    void note_layer(const Digest& key, const oci::Descriptor& layer);
    // What it took to make a layer.
    void note_work(const StoredLayer& layer);

    // The record as it is now, and which of its steps `vertex` shows.
    struct SoFar {
        BuildRecord record;
        std::uint32_t number = 0;
        std::map<Digest, const snapshot::Tree*> trees;  // of directories
    };
    SoFar so_far(VertexId vertex);

    struct Finished {
        BuildRecord record;
        std::map<std::uint32_t, std::string> logs;
        std::vector<const snapshot::Tree*> trees;
    };
    // The build has ended; `result` is null unless it succeeded. Once only.
    Finished finish(BuildRecord::Outcome outcome, const std::string& error, const Result* result);

  private:
    // Not under mutex_: a context that is walked just now reports to us.
    std::vector<const snapshot::Tree*> describe_directories(BuildRecord& record);
    // Under mutex_:
    void hide(RecordedStep& step) const;
    std::string hidden(const std::string& text) const;
    void describe_result(const Result& result);
    std::map<VertexId, std::uint32_t> number_steps(BuildRecord& record) const;

    Progress& shown_;
    const Clock& clock_;
    std::mutex mutex_;
    // All guarded by mutex_:
    BuildRecord record_;
    std::map<VertexId, RecordedWork> work_;
    std::map<VertexId, RecordedStep> steps_;  // `number` is the vertex
    std::map<VertexId, BoundedLog> logs_;
    std::map<std::string, Context*> directories_;
    std::map<Digest, std::pair<std::uint64_t, std::uint64_t>> tar_and_compressed_;  // by layer
    // Values of arguments whose names speak of secrets: wherever else they stand, too.
    std::vector<std::string> secrets_;
};

// Puts it into the store's history. A failure is a warning: the build is what it is without it.
void remember(store::Store& store, const BuildRecorder::Finished& finished);

}  // namespace shale::build
