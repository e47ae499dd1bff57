// A tree that is made from something else but comes out much like one of the past: the state after
// a COPY of a directory in which a file changed. What is equal is shared with the past tree, as an
// edit shares with its base (patch.hpp).
#pragma once

#include "patch.hpp"

#include <memory>
#include <string_view>
#include <vector>

namespace shale::snapshot {

// Appends nodes as an Assembler does. Each is compared with the past tree's at the same path; a
// directory in which everything was equal becomes, when it is left, a stretch of the past tree.
class LikenessAssembler {
  public:
    explicit LikenessAssembler(std::shared_ptr<const Tree::Data> past);

    NodeId append(NodeId parent, std::string_view name, const Entry& entry);
    // A whole subtree, if the past one there has this digest; else nothing, and false. The digest
    // must be of the same path, whose hard links it covers.
    bool append_equal(NodeId parent, std::string_view name, const Digest& digest);
    // As PatchAssembler's.
    bool is_possible() const { return patch_.is_possible(); }
    std::shared_ptr<const Tree::Data> finish();

  private:
    struct OpenDirectory {
        NodeId id = kNoNode, parent = kNoNode;
        NodeId past = kNoNode;  // its counterpart, if that is a directory
        NodeId next = kNoNode;  // the first child of that with which nothing was compared yet
        bool is_same = false;   // and all below it so far
        PatchAssembler::Mark before{};
    };
    bool is_same(const Entry& entry, NodeId past) const;
    NodeId counterpart(std::string_view name);
    void leave_until(NodeId parent);
    void leave();

    std::shared_ptr<const Tree::Data> past_;
    PatchAssembler patch_;
    std::vector<OpenDirectory> open_;  // from the root down
};

}  // namespace shale::snapshot
