// store: frame-index.db, where in the store's layer blobs a frame lies that a new layer needs, too,
// and which frames became of a section of a tree.
// Layout: docs/formats/store.md. Only an index: the frames themselves are in the layers, once, and
// a lost row costs compressing some bytes again.
#pragma once

#include <shale/frame_store.hpp>
#include <shale/store.hpp>

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace shale::store {

class SequentialReader;

// Safe from any thread; processes exclude each other inside SQLite. The file is opened when it is
// first needed, and made anew if it is damaged or of another version.
class FrameIndex final : public layer::FrameStore {
  public:
    // Rows not used for kKeepDays go, and the longest unused ones beyond `most_rows`.
    static constexpr std::int64_t kKeepDays = 30;
    static constexpr std::int64_t kMostRows = 500'000;  // of each kind; frames: some 170 MB

    // `store` must outlive it.
    explicit FrameIndex(Store& store, std::int64_t most_rows = kMostRows);
    ~FrameIndex() override;

    std::optional<layer::StoredFrame> find(const Digest& key) override;
    std::optional<layer::StoredSection> find_section(const Digest& key) override;
    void read(const layer::StoredFrame& frame, MutableBytes out) override;
    using Frames = std::vector<std::pair<Digest, layer::StoredFrame>>;
    using Sections = std::vector<std::pair<Digest, layer::StoredSection>>;
    // Remembers those of a layer whose blob is committed. `day`: days since the epoch.
    void put(const Frames& frames, const Sections& sections, std::int64_t day);

  private:
    struct State;
    // Of a damaged file nothing comes, and it begins anew.
    template <typename LookUp>
    auto or_drop(const LookUp& look_up) -> decltype(look_up());
    // All under mutex_:
    State& state();
    std::optional<layer::StoredFrame> look_up(const Digest& key);
    void write_rows(const Frames& frames, const Sections& sections, std::int64_t day);
    void drop();  // the file, which begins anew

    Store& store_;
    const std::string path_;
    const std::int64_t most_rows_;
    std::mutex mutex_;
    std::unique_ptr<State> state_;  // guarded by mutex_
    std::mutex reading_;
    // One for the frames of a layer, one for its table of contents. Guarded by reading_.
    std::array<std::unique_ptr<SequentialReader>, 2> readers_;
};

}  // namespace shale::store
