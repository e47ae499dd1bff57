// Toc -> JSON, while the layer is being written.
#pragma once

#include <shale/layer.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace shale::layer {

// add() for every entry, begin_digests(), add_digests() until it returns false, end(). What came of
// it so far may be taken away at any time between two calls.
class TocEncoder {
  public:
    TocEncoder();
    void expect(std::size_t entries) { contents_.reserve(entries); }
    void add(const TocEntry& entry);
    void begin_digests();
    // Until the text at hand is `room` bytes or a little more; false if none are left.
    bool add_digests(std::size_t room);
    void end(const FrameTable& table);

    std::size_t text_bytes() const { return text_.size(); }
    std::string take();
    std::uint64_t total_bytes() const { return taken_ + text_.size(); }
    std::uint64_t entries() const { return entries_; }
    // Of the entries so far, in their order.
    const std::vector<ContentTable::Content>& contents() const { return contents_; }

  private:
    std::string text_;
    std::vector<ContentTable::Content> contents_;
    std::uint64_t entries_ = 0, taken_ = 0, previous_end_ = 0;
    std::size_t digests_ = 0;
};

}  // namespace shale::layer
