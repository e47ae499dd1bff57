// Which records of the build cache stand on which: a step on those whose layers lie below its own.
//
// A layer that one record alone made says which. One that several made does not: all steps that
// change nothing have the same empty layer, so each would stand on all, itself among them. Such a
// record is told by all the layers up to its own, in their order, and what stands on it has these
// at its bottom, and more.
#pragma once

#include "references.hpp"

#include <optional>
#include <unordered_map>
#include <vector>

namespace shale::store {

class Foundations {
  public:
    explicit Foundations(const std::vector<RecordGroup>& groups);

    // By what others know the record they stand on; nothing if nobody can stand on it.
    std::optional<Digest> name(const RecordGroup& group) const;
    // The names of all that it stands on, without repetition.
    std::vector<Digest> below(const RecordGroup& group) const;
    // Whether an image that has these blobs has what the record made: its layer, and if that says
    // little, all the layers below it as well.
    bool is_in(const RecordGroup& group, const Digests& blobs) const;

  private:
    bool is_sole_maker(const RecordGroup& group) const;

    std::unordered_map<Digest, std::uint32_t, DigestHash> makers_;  // how many, of each layer
    Digests stacks_;                                                // names that are stacks
};

}  // namespace shale::store
