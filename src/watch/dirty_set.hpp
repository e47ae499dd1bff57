// The changes of a directory, each with the moment it last happened.
#pragma once

#include <shale/watch.hpp>

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace shale::watch {

class DirtySet {
  public:
    explicit DirtySet(std::size_t max_changes) : max_changes_(max_changes) {}

    void add(std::string_view path, bool with_subtree);
    // Something was missed: nothing before now is known any more.
    void forget(std::string why);
    // Ends the current moment, so that whatever is added next lies behind it.
    std::uint64_t next_moment() { return moment_++; }

    bool knows_since(std::uint64_t moment) const { return moment >= floor_; }
    const std::string& why_not() const { return why_; }
    // Of moments after `moment`.
    std::vector<Change> since(std::uint64_t moment) const;

  private:
    struct Dirty {
        std::uint64_t moment;          // of the last change
        std::uint64_t subtree_moment;  // of the last that concerned all below; 0 for none
    };
    const std::size_t max_changes_;
    std::map<std::string, Dirty, std::less<>> paths_;
    std::uint64_t moment_ = 1;
    std::uint64_t floor_ = 1;  // moments before it are not known
    std::string why_ = "the watcher was started later";
};

}  // namespace shale::watch
