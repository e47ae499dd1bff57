#include "foundations.hpp"

#include <shale/codec.hpp>

#include <algorithm>

namespace shale::store {

namespace {

// The layers in their order, the record's own among them.
std::vector<Digest> stack_of(const RecordGroup& group) {
    std::vector<Digest> stack;
    const auto add = [&](const Digest& blob) {
        if (std::ranges::find(stack, blob) == stack.end()) stack.push_back(blob);
    };
    for (const Digest& blob : group.record.sources)
        add(blob);
    if (group.record.layer) add(group.record.layer->digest);
    return stack;
}

// The name of each stack that begins this one, the whole of it last.
std::vector<Digest> names_of(const std::vector<Digest>& stack) {
    std::vector<Digest> names;
    Digest name;
    for (const Digest& blob : stack)
        names.push_back(name = codec::sha256(name.str() + blob.str()));
    return names;
}

}  // namespace

Foundations::Foundations(const std::vector<RecordGroup>& groups) {
    for (const auto& group : groups)
        if (group.record.layer) ++makers_[group.record.layer->digest];
    for (const auto& group : groups)
        if (group.record.layer && !is_sole_maker(group)) stacks_.insert(*name(group));
}

bool Foundations::is_sole_maker(const RecordGroup& group) const {
    return makers_.at(group.record.layer->digest) == 1;
}

std::optional<Digest> Foundations::name(const RecordGroup& group) const {
    if (!group.record.layer) return std::nullopt;
    if (is_sole_maker(group)) return group.record.layer->digest;
    return names_of(stack_of(group)).back();
}

std::vector<Digest> Foundations::below(const RecordGroup& group) const {
    std::vector<Digest> below;
    for (const Digest& blob : group.blobs()) {
        if (group.record.layer && group.record.layer->digest == blob) continue;
        const auto makers = makers_.find(blob);
        if (makers != makers_.end() && makers->second == 1) below.push_back(blob);
    }
    if (stacks_.empty()) return below;
    // Of a record without a layer of its own, the whole stack as well: it adds none.
    auto names = names_of(stack_of(group));
    if (group.record.layer && !names.empty()) names.pop_back();
    std::ranges::copy_if(names, std::back_inserter(below),
                         [&](const Digest& name) { return stacks_.contains(name); });
    return below;
}

bool Foundations::is_in(const RecordGroup& group, const Digests& blobs) const {
    if (!group.record.layer || !blobs.contains(group.record.layer->digest)) return false;
    return is_sole_maker(group) ||
           std::ranges::all_of(group.record.sources,
                               [&](const Digest& blob) { return blobs.contains(blob); });
}

}  // namespace shale::store
