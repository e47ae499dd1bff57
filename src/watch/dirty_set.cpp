#include "dirty_set.hpp"

namespace shale::watch {

void DirtySet::add(std::string_view path, bool with_subtree) {
    auto at = paths_.find(path);
    if (at == paths_.end()) {
        if (paths_.size() >= max_changes_)
            return forget("more than " + std::to_string(max_changes_) + " paths changed");
        at = paths_.emplace(std::string(path), Dirty{0, 0}).first;
    }
    at->second.moment = moment_;
    if (with_subtree) at->second.subtree_moment = moment_;
}

// A token of this very moment is worthless as well: what was missed may lie behind it.
void DirtySet::forget(std::string why) {
    paths_.clear();
    floor_ = ++moment_;
    why_ = std::move(why);
}

std::vector<Change> DirtySet::since(std::uint64_t moment) const {
    std::vector<Change> changes;
    for (const auto& [path, dirty] : paths_)
        if (dirty.moment > moment) changes.push_back({path, dirty.subtree_moment > moment});
    return changes;
}

}  // namespace shale::watch
