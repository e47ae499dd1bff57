// Reads contents through a cache of decompressed frames.
//
// A frame is in one of two states: being loaded by exactly one reader, or ready. Both are a slot in
// one map under one mutex, which is never held while a blob is read or a frame decompressed: the
// loader publishes through a shared future that every other reader of the frame waits on. Only
// ready frames are in the recently-used list and count towards the budget. A failed load removes
// its slot, so that the next reader tries again.
#include "frame_decode.hpp"
#include "toc_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <list>
#include <mutex>
#include <unordered_map>

namespace shale::layer {

namespace {

// Shared by the cache and by readers that still copy out of it after an eviction.
using FrameBytes = std::shared_ptr<const std::vector<std::byte>>;

// Of a table, not of a blob: two tables of one blob may cut it differently, and neither vouches for
// what the other says. The index holds its tables for as long as there is a reader.
struct FrameKey {
    const FrameTable* table = nullptr;
    std::uint64_t tar_offset = 0;
    bool operator==(const FrameKey&) const = default;
};

struct FrameKeyHash {
    std::size_t operator()(const FrameKey& key) const {
        // Offsets differ in their middle bits; an odd multiplier spreads them over all.
        return std::hash<const void*>{}(key.table) ^ key.tar_offset * 0x9E3779B97F4A7C15ull;
    }
};

// Working memory of one thread's loads; a decompression context alone is over 100 KiB.
struct LoadScratch {
    codec::FrameDecompressor decompressor;
    std::vector<std::byte> packed;
};

FrameBytes load_frame(oci::BlobSource& blobs, const Digest& blob, const FrameTable& table,
                      std::size_t index) {
    const Frame& frame = table.frames[index];
    const auto where = [&] {
        return fmt::format("blob {} offset {}", blob.str(), frame.blob_offset);
    };
    return in_context(where, [&] {
        thread_local LoadScratch scratch;
        scratch.packed.resize(frame.blob_bytes);
        blobs.read_blob(blob, frame.blob_offset, scratch.packed);
        auto bytes = std::make_shared<std::vector<std::byte>>(frame.tar_bytes);
        decode_frame(scratch.decompressor, table, index, scratch.packed, *bytes);
        return FrameBytes(std::move(bytes));
    });
}

}  // namespace

struct ContentReader::State {
    struct Slot {
        std::shared_future<FrameBytes> bytes;
        std::optional<std::list<FrameKey>::iterator> recency;  // set once ready
        std::uint64_t size = 0;
    };

    State(ContentIndex contents, oci::BlobSource& source, std::uint64_t budget)
        : index(std::move(contents)), blobs(source), cache_bytes(budget) {}

    std::optional<ContentIndex::Place> find(const Digest& content);
    FrameBytes frame(const Digest& blob, const FrameTable& table, std::size_t ordinal);
    void publish(const FrameKey& key, const Frame& frame);
    void evict_over_budget();

    const ContentIndex index;
    const Digest empty_content = codec::sha256("");
    oci::BlobSource& blobs;
    const std::uint64_t cache_bytes;

    std::mutex mutex;  // guards everything below; never held across I/O or decompression
    std::unordered_map<FrameKey, Slot, FrameKeyHash> slots;
    std::list<FrameKey> recent;  // most recent first; ready frames only
    std::uint64_t ready_bytes = 0;
    Stats stats;
    Digest last_content;  // of last_place; files are read piece by piece
    std::optional<ContentIndex::Place> last_place;
};

// An image of a hundred layers has as many tables to look into.
std::optional<ContentIndex::Place> ContentReader::State::find(const Digest& content) {
    {
        const std::lock_guard lock(mutex);
        if (last_place && last_content == content) return last_place;
    }
    auto place = index.find(content);
    const std::lock_guard lock(mutex);
    last_content = content;
    last_place = place;
    return place;
}

FrameBytes ContentReader::State::frame(const Digest& blob, const FrameTable& table,
                                       std::size_t ordinal) {
    const Frame& frame = table.frames[ordinal];
    const FrameKey key{&table, frame.tar_offset};
    std::promise<FrameBytes> promise;
    std::shared_future<FrameBytes> existing;
    {
        const std::lock_guard lock(mutex);
        const auto [at, is_new] = slots.try_emplace(key);
        Slot& slot = at->second;
        if (is_new) {
            slot.bytes = promise.get_future().share();
            ++stats.frames_fetched;
            stats.blob_bytes_read += frame.blob_bytes;
        } else {
            existing = slot.bytes;
            ++stats.frames_from_cache;
            if (slot.recency) recent.splice(recent.begin(), recent, *slot.recency);
        }
    }
    if (existing.valid()) return existing.get();
    try {
        FrameBytes bytes = load_frame(blobs, blob, table, ordinal);
        publish(key, frame);
        promise.set_value(bytes);
        return bytes;
    } catch (...) {  // those who wait must learn of it; the caller gets it too
        {
            const std::lock_guard lock(mutex);
            slots.erase(key);
        }
        promise.set_exception(std::current_exception());
        throw;
    }
}

void ContentReader::State::publish(const FrameKey& key, const Frame& frame) {
    const std::lock_guard lock(mutex);
    Slot& slot = slots.at(key);
    recent.push_front(key);
    slot.recency = recent.begin();
    slot.size = frame.tar_bytes;
    ready_bytes += slot.size;
    evict_over_budget();
}

void ContentReader::State::evict_over_budget() {
    while (ready_bytes > cache_bytes && !recent.empty()) {
        const auto oldest = slots.find(recent.back());
        ready_bytes -= oldest->second.size;
        slots.erase(oldest);
        recent.pop_back();
    }
}

ContentReader::ContentReader(ContentIndex index, oci::BlobSource& blobs, std::uint64_t cache_bytes)
    : state_(std::make_unique<State>(std::move(index), blobs, cache_bytes)) {}

ContentReader::~ContentReader() = default;

std::size_t ContentReader::read(const Digest& content, std::uint64_t offset, MutableBytes out) {
    if (content == state_->empty_content) return 0;
    const auto place = state_->find(content);
    if (!place)
        fail(ErrorKind::NotFound, fmt::format("no layer holds the content {}", content.str()));
    const auto [tar_offset, size] = place->range;
    if (offset >= size) return 0;
    out = out.first(static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), size - offset)));
    const FrameTable& table = place->layer->frames();
    std::uint64_t at = tar_offset + offset;
    std::size_t done = 0;
    for (std::size_t i = frame_at(table, at); done < out.size(); ++i) {
        const Frame& frame = table.frames.at(i);
        const FrameBytes bytes = state_->frame(place->blob, table, i);
        const std::uint64_t within = at - frame.tar_offset;
        SHALE_ENSURE(within < frame.tar_bytes && bytes->size() == frame.tar_bytes);
        const auto count = static_cast<std::size_t>(
            std::min<std::uint64_t>(out.size() - done, frame.tar_bytes - within));
        std::memcpy(out.data() + done, bytes->data() + within, count);
        done += count;
        at += count;
    }
    return done;
}

codec::Source ContentReader::open(const Digest& content) {
    read(content, 0, {});  // NotFound now rather than at the first read
    return [this, content, at = std::uint64_t{0}](MutableBytes out) mutable {
        const std::size_t got = read(content, at, out);
        at += got;
        return got;
    };
}

const ContentIndex& ContentReader::index() const {
    return state_->index;
}

ContentReader::Stats ContentReader::stats() const {
    const std::lock_guard lock(state_->mutex);
    return state_->stats;
}

}  // namespace shale::layer
