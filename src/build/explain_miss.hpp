// Explains steps that were not in the cache while their build is under way.
#pragma once

#include "recorder.hpp"

#include <shale/build_record.hpp>
#include <shale/store.hpp>

#include <mutex>
#include <string>
#include <vector>

namespace shale::build {

// Safe from any thread. Reads the history when the first step asks.
class MissExplainer {
  public:
    MissExplainer(store::Store& store, BuildRecorder& recorder)
        : store_(store), recorder_(recorder) {}
    // "not cached: src/app.js: content changed", for the step that `vertex` shows.
    std::string line(VertexId vertex);

  private:
    const std::vector<BuildRecord>& earlier();

    store::Store& store_;
    BuildRecorder& recorder_;
    std::mutex mutex_;
    bool is_loaded_ = false;            // guarded by mutex_
    std::vector<BuildRecord> earlier_;  // written once, before is_loaded_
};

}  // namespace shale::build
