// Changes between two trees -> the members of a layer, in the order in which they are written.
#pragma once

#include <shale/layer.hpp>

#include <string>
#include <unordered_map>
#include <vector>

namespace shale::layer {

// What a layer states, in order: the changes by path, except that the whiteouts of a directory come
// before everything else below it, and, before what lies below them, the directories that did not
// change. Of those the root is none: whoever unpacks a layer has one.
//
// docker and podman unpack each layer into a directory of its own and lay those over each other. A
// directory that is not stated is made there with an owner and a mode that nobody asked for, and
// hides the one below.
class MemberOrder {
  public:
    // Nodes in a row, each of them a member, or a removal.
    struct Span {
        snapshot::NodeId first = snapshot::kNoNode, end = snapshot::kNoNode;
        const diff::Change* removal = nullptr;
    };
    // `changes` must outlive it.
    MemberOrder(const std::vector<diff::Change>& changes, const snapshot::Tree& after);

    const std::vector<Span>& spans() const { return spans_; }

  private:
    void add(const std::vector<const diff::Change*>& changes, const snapshot::Tree& after);
    void add_nodes(snapshot::NodeId first, snapshot::NodeId end);

    std::vector<Span> spans_;
};

class MemberPlan {
  public:
    explicit MemberPlan(const snapshot::Tree& after) : after_(after) {}

    // Must be called in MemberOrder's order: the first name of a hardlink group becomes the member
    // that carries the data, later ones link to it. Unsupported if the node cannot be stored.
    tar::Member member(snapshot::NodeId node, const snapshot::Entry& entry);
    static tar::Member whiteout(const diff::Change& removal);

  private:
    const snapshot::Tree& after_;
    std::unordered_map<std::uint64_t, std::string> first_names_;  // by link group
};

}  // namespace shale::layer
