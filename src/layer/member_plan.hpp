// Changes between two trees -> the members of a layer, in the order in which they are written.
#pragma once

#include <shale/layer.hpp>

#include <unordered_map>

namespace shale::layer {

// Path order, except that the whiteouts of a directory come before everything else below it.
std::vector<const diff::Change*> member_order(const std::vector<diff::Change>& changes,
                                              const snapshot::Tree& after);

class MemberPlan {
  public:
    explicit MemberPlan(const snapshot::Tree& after) : after_(after) {}

    // Must be called in member_order: the first name of a hardlink group becomes the member that
    // carries the data, later ones link to it. Unsupported if the change cannot be stored.
    tar::Member member(const diff::Change& change);

  private:
    const snapshot::Tree& after_;
    std::unordered_map<std::uint64_t, std::string> first_names_;  // by link group
};

}  // namespace shale::layer
