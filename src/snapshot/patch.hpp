// A patch: a tree made of stretches of another tree and of nodes of its own.
//
// An edit of a few entries leaves all subtrees but those on the way to them as they were. Instead
// of copying a million nodes to change a hundred, the new tree numbers its nodes as any other does
// and remembers in *runs* where they lie. The nodes that an edit touched, and the directories above
// them, are its own; each run of the base is one or several subtrees that follow each other in one
// directory, at the path where they were before.
#pragma once

#include "tree_data.hpp"

#include <memory>
#include <vector>

namespace shale::snapshot {

struct Run {
    NodeId first = 0;         // number of its first node in the patched tree
    NodeId from = 0;          // and in the base, or among the own nodes
    NodeId count = 0;         // nodes
    NodeId parent = kNoNode;  // of the topmost ones; not for own nodes, which know
    bool is_own = false;
};

struct Patch {
    std::shared_ptr<const Tree::Data> base;  // never a patch itself
    // Columns only. Parents, ends and slots are numbers in the patched tree; no link groups.
    std::unique_ptr<const Tree::Data> own;
    std::vector<Run> runs;  // without gaps; the first is own and begins with the root
    NodeId size = 0;

    const Run& run_of(NodeId id) const;
};

// Where a node of a patch lies.
struct Spot {
    const Run* run;
    const Tree::Data* columns;  // of the base, or the own ones
    NodeId at;                  // there
};

// A node of the base as the patched tree has it, and the number that one below it has there.
Node moved_by(const Run& run, Node node);
NodeId moved_by(const Run& run, NodeId below);

// Trees with fewer nodes are copied: that is as quick, and looking things up is quicker.
std::size_t least_shared();
// A tree of which more than one node in so many would be its own is copied, too.
inline constexpr NodeId kOwnShare = 4;

// Whether `runs` leave out a node of the base that is a hard link.
bool drops_links(const Tree::Data& base, const std::vector<Run>& runs);

// Appends nodes as an Assembler does, for an edit of `base`. Nothing but the base may be shared;
// its subtrees come in the order in which they are there, at the paths where they are.
class PatchAssembler {
  public:
    explicit PatchAssembler(std::shared_ptr<const Tree::Data> base);
    ~PatchAssembler();

    NodeId append(NodeId parent, std::string_view name, const Entry& entry);
    void append_subtree(NodeId parent, NodeId top);  // of the base
    // False once it has turned out that the tree must be made in the other way; what follows is
    // then for nothing.
    bool is_possible() const { return is_possible_; }
    NodeId size() const { return patch_->size; }  // nodes so far: the number of the next one

    // What was appended up to a moment. Between the two calls no new set of xattrs may come.
    struct Mark {
        NodeId size = 0, own = 0;
        std::size_t name_bytes = 0, target_bytes = 0, runs = 0;
        Run last{};
    };
    Mark mark() const;
    void back_to(const Mark& mark);

    // Null if it must be made in the other way: too little is shared, or hard links are involved.
    std::shared_ptr<const Tree::Data> finish();

  private:
    void append_own(Node node, std::string_view name, const Digest& content, const Digest& digest);
    void append_run(NodeId parent, NodeId from, NodeId count);

    std::shared_ptr<const Tree::Data> tree_;  // the base as it was given, perhaps a patch
    std::unique_ptr<Tree::Data> data_;
    std::unique_ptr<Patch> patch_;
    std::unique_ptr<Tree::Data> own_;
    XattrSets sets_;
    bool is_possible_ = true;
};

// From nodes, parents and runs: what follows from them, the ends of directories and their slots.
void complete_patch(Tree::Data& own, Patch& patch);

// The same tree in arrays of its own.
Tree flatten(const Tree::Data& tree);

}  // namespace shale::snapshot
