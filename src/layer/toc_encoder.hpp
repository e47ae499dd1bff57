// Toc -> JSON, while the layer is being written.
#pragma once

#include <shale/layer.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace shale::layer {

// add() for every entry, begin_digests(), add_digests() until it returns false, end(). What came of
// it so far may be taken away at any time between two calls.
class TocEncoder {
  public:
    void expect(std::size_t entries) { contents_.reserve(entries); }
    void add(const TocEntry& entry);
    // Entries whose text, `text_bytes` long, is taken from elsewhere; no other may be at hand.
    void skip(std::uint64_t entries, std::uint64_t text_bytes,
              std::span<const ContentTable::Content> contents);
    void begin_digests();
    // Up to that of content number `end`, or until the text at hand is `room` bytes or a little
    // more; false if there are no more to come.
    bool add_digests(std::size_t end, std::size_t room);
    void skip_digests(std::size_t end);
    void end(const FrameTable& table);

    std::size_t text_bytes() const { return text_.size(); }
    std::string take();
    std::uint64_t total_bytes() const { return taken_ + text_.size(); }
    std::uint64_t entries() const { return entries_; }
    std::uint64_t previous_end() const { return previous_end_; }  // of the last content in the tar
    // Of the entries so far, in their order.
    const std::vector<ContentTable::Content>& contents() const { return contents_; }

  private:
    void add_content(const ContentTable::Content& content);

    std::string text_;
    std::vector<ContentTable::Content> contents_;
    std::uint64_t entries_ = 0, taken_ = 0, previous_end_ = 0;
    std::size_t digests_ = 0;
};

}  // namespace shale::layer
