#include "explain_miss.hpp"

#include <shale/build_history.hpp>
#include <shale/explain.hpp>

namespace shale::build {

const std::vector<BuildRecord>& MissExplainer::earlier() {
    constexpr std::size_t kMostBuilds = 50;
    const std::lock_guard lock(mutex_);
    if (is_loaded_) return earlier_;
    for (const auto& row : store::BuildHistory(store_).list(kMostBuilds)) {
        try {
            earlier_.push_back(decode_build_record(row.document));
        } catch (const Error&) {  // of another version: as if it were not there
        }
    }
    is_loaded_ = true;
    return earlier_;
}

std::string MissExplainer::line(VertexId vertex) {
    const auto& builds = earlier();
    const auto now = recorder_.so_far(vertex);
    store::BuildHistory history(store_);
    const FindTree find_tree = [&](const Digest& digest) -> std::shared_ptr<const snapshot::Tree> {
        if (const auto found = now.trees.find(digest); found != now.trees.end())
            return {std::shared_ptr<void>(), found->second};  // the context owns it
        if (auto tree = history.tree(digest)) return tree;
        return store_.has_tree(digest) ? store_.tree(digest) : nullptr;
    };
    const auto* step = now.record.step(now.number);
    SHALE_ENSURE(step);
    return "not cached: " + explain(now.record, *step, builds, find_tree).line();
}

}  // namespace shale::build
