// A FrameStore in memory, and what a layer that is written through one gives.
#pragma once

#include "layers.hpp"

#include <shale/frame_store.hpp>

#include <map>
#include <random>
#include <set>
#include <string>

namespace shale::layer::testing {

struct Result {
    Rewritten layer;
    std::string blob;
    const WriteStats& stats() const { return layer.stats; }
};

// Remembers frames of layers in memory, and can damage them.
class MemoryFrames final : public FrameStore {
  public:
    void put(const Result& result) {
        blobs_[result.layer.written.blob] = result.blob;
        for (const auto& [key, frame] : result.layer.frames)
            frames_[key] = frame;
        for (const auto& [key, section] : result.layer.sections)
            sections_[key] = section;
    }
    std::optional<StoredFrame> find(const Digest& key) override {
        const auto found = frames_.find(key);
        return found == frames_.end() ? std::nullopt : std::optional(found->second);
    }
    std::optional<StoredSection> find_section(const Digest& key) override {
        const auto found = sections_.find(key);
        return found == sections_.end() ? std::nullopt : std::optional(found->second);
    }
    void read(const StoredFrame& stored, MutableBytes out) override {
        if (is_damaged) fail(ErrorKind::Corrupt, "disk error");
        const std::string& blob = blobs_.at(stored.blob);
        const Bytes bytes = as_bytes(blob).subspan(stored.frame.blob_offset, out.size());
        std::copy(bytes.begin(), bytes.end(), out.begin());
    }
    // Flips one byte in the middle of every frame that begins within these bytes of the tar.
    void corrupt(std::uint64_t from = 0, std::uint64_t to = UINT64_MAX) {
        for (auto& [key, stored] : frames_) {
            if (stored.frame.tar_offset < from || stored.frame.tar_offset >= to) continue;
            char& byte =
                blobs_.at(stored.blob)[stored.frame.blob_offset + stored.frame.blob_bytes / 2];
            if (!corrupted_.insert(&byte).second) continue;
            byte = static_cast<char>(byte ^ 1);
        }
    }
    // As if they had been damaged before.
    void vouch_for_all() {
        for (auto& [key, stored] : frames_)
            stored.check =
                codec::xxh3_128(as_bytes(blobs_.at(stored.blob))
                                    .subspan(stored.frame.blob_offset, stored.frame.blob_bytes));
    }
    // As if a row named another place than it should.
    void forget_prefixes() {
        for (auto& [key, stored] : frames_)
            stored.prefix = {};
    }
    // Every frame but one in `one_of`.
    void forget_frames(std::mt19937_64& random, std::uint64_t one_of) {
        std::erase_if(frames_, [&](const auto&) { return random() % one_of != 0; });
    }
    // All but pieces of tables, which have no prefix.
    void forget_data() {
        std::erase_if(frames_, [](const auto& item) { return !item.second.prefix.is_zero(); });
    }
    std::map<Digest, StoredSection>& sections() { return sections_; }
    bool is_damaged = false;

  private:
    std::map<Digest, StoredFrame> frames_;
    std::map<Digest, StoredSection> sections_;
    std::map<Digest, std::string> blobs_;
    std::set<const char*> corrupted_;
};

}  // namespace shale::layer::testing
