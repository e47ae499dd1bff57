// SHA-256 over streams and whole messages: everything around the blocks, which
// sha256_kernel.cpp does.
//
// ShaLanes keeps up to three computations in step. A lane works through segments of whole blocks:
// those of the bytes given, and for a whole message its padded end, which is built in the lane. All
// lanes advance by the shortest segment at hand; a lane whose segment ended takes its next one, or
// the next computation that waits. So a lane idles only when nothing waits.
#include "sha256_kernel.hpp"

#include <shale/codec.hpp>
#include <shale/codec_state.hpp>

#include <algorithm>

namespace shale::codec {

namespace {

constexpr std::size_t kLengthBytes = 8;  // of the message's length in bits, at the padding's end

void put_big(std::byte* into, std::uint64_t value, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i)
        into[i] = static_cast<std::byte>(value >> 8 * (bytes - 1 - i));
}

Digest digest_of(const ShaWords& words) {
    Digest digest;
    for (std::size_t i = 0; i < words.size(); ++i)
        put_big(std::as_writable_bytes(std::span(digest.bytes)).data() + 4 * i, words[i], 4);
    return digest;
}

// The last one or two blocks of a message of `total` bytes that ends in `rest`.
using PaddedEnd = std::array<std::byte, 2 * kShaBlockBytes>;
std::size_t pad(Bytes rest, std::uint64_t total, PaddedEnd& into) {
    const std::size_t blocks = rest.size() + 1 + kLengthBytes <= kShaBlockBytes ? 1 : 2;
    const std::size_t length_at = blocks * kShaBlockBytes - kLengthBytes;
    std::copy(rest.begin(), rest.end(), into.begin());
    into[rest.size()] = std::byte{0x80};
    std::fill(into.data() + rest.size() + 1, into.data() + length_at, std::byte{0});
    put_big(into.data() + length_at, total * 8, kLengthBytes);
    return blocks;
}

void compress_one(ShaWords& words, const std::byte* data, std::size_t blocks) {
    ShaLane lane{&words, data};
    sha256_compress(&lane, 1, blocks);
}

}  // namespace

Sha256Stream::Sha256Stream() : words_(kShaStart), pending_{} {}

void Sha256Stream::update(Bytes bytes) {
    const std::size_t held = bytes_ % kShaBlockBytes;
    bytes_ += bytes.size();
    if (held > 0) {
        const std::size_t count = std::min(bytes.size(), kShaBlockBytes - held);
        std::copy_n(bytes.begin(), count, pending_.begin() + held);
        bytes = bytes.subspan(count);
        if (held + count < kShaBlockBytes) return;
        compress_one(words_, pending_.data(), 1);
    }
    const std::size_t blocks = bytes.size() / kShaBlockBytes;
    if (blocks > 0) compress_one(words_, bytes.data(), blocks);
    bytes = bytes.subspan(blocks * kShaBlockBytes);
    std::copy(bytes.begin(), bytes.end(), pending_.begin());
}

Digest Sha256Stream::finish() {
    PaddedEnd end;
    const auto rest = Bytes(pending_).first(bytes_ % kShaBlockBytes);
    const std::size_t blocks = pad(rest, bytes_, end);
    compress_one(words_, end.data(), blocks);
    const Digest digest = digest_of(words_);
    words_ = kShaStart;
    bytes_ = 0;
    return digest;
}

std::array<std::byte, Sha256Stream::kStateBytes> Sha256Stream::save() const {
    std::array<std::byte, kStateBytes> state{};
    std::memcpy(state.data(), words_.data(), sizeof words_);
    std::memcpy(state.data() + sizeof words_, &bytes_, sizeof bytes_);
    std::copy_n(pending_.begin(), bytes_ % kShaBlockBytes,
                state.begin() + sizeof words_ + sizeof bytes_);
    return state;
}

std::optional<Sha256Stream> Sha256Stream::restore(Bytes state) {
    if (state.size() != kStateBytes) return std::nullopt;
    Sha256Stream hash;
    std::memcpy(hash.words_.data(), state.data(), sizeof hash.words_);
    std::memcpy(&hash.bytes_, state.data() + sizeof hash.words_, sizeof hash.bytes_);
    const Bytes pending = state.last(kShaBlockBytes);
    const std::size_t held = hash.bytes_ % kShaBlockBytes;
    if (std::any_of(pending.begin() + static_cast<std::ptrdiff_t>(held), pending.end(),
                    [](std::byte b) { return b != std::byte{0}; }))
        return std::nullopt;
    std::copy_n(pending.begin(), held, hash.pending_.begin());
    return hash;
}

struct Sha256::State {
    Sha256Stream stream;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {}
Sha256::Sha256(const Sha256& other) : state_(std::make_unique<State>(*other.state_)) {}
Sha256& Sha256::operator=(const Sha256& other) {
    if (this != &other) *this = Sha256(other);
    return *this;
}
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

void Sha256::update(Bytes bytes) {
    state_->stream.update(bytes);
}
Digest Sha256::finish() {
    return state_->stream.finish();
}

Digest sha256(Bytes bytes) {
    Sha256Stream hash;
    hash.update(bytes);
    return hash.finish();
}

class ShaLanes {
  public:
    ShaLanes(std::span<const Sha256Update> updates, std::span<const Bytes> messages,
             std::span<Digest> digests)
        : updates_(updates), messages_(messages), digests_(digests) {
        SHALE_ENSURE(messages.size() == digests.size());
    }

    void run() {
        ShaLane active[kMaxShaLanes];
        Lane* owners[kMaxShaLanes];
        while (true) {
            std::size_t count = 0, blocks = SIZE_MAX;
            for (Lane& lane : lanes_) {
                while (lane.blocks == 0 && (next_segment(lane) || take(lane))) {
                }
                if (lane.blocks == 0) continue;
                active[count] = {lane.words, lane.data};
                owners[count++] = &lane;
                blocks = std::min(blocks, lane.blocks);
            }
            if (count == 0) return;
            sha256_compress(active, count, blocks);
            for (std::size_t i = 0; i < count; ++i) {
                owners[i]->data = active[i].data;
                owners[i]->blocks -= blocks;
            }
        }
    }

  private:
    struct Lane {
        ShaWords* words = nullptr;
        const std::byte* data = nullptr;
        std::size_t blocks = 0;
        // Of a whole message:
        ShaWords own_words{};
        PaddedEnd end{};
        std::size_t end_blocks = 0;
        Digest* digest = nullptr;
    };

    // What follows in the lane's message; false when it is done with it.
    static bool next_segment(Lane& lane) {
        if (lane.end_blocks > 0) {
            lane.data = lane.end.data();
            lane.blocks = std::exchange(lane.end_blocks, 0);
            return true;
        }
        if (lane.digest != nullptr)
            *std::exchange(lane.digest, nullptr) = digest_of(lane.own_words);
        return false;
    }

    // The next computation that waits; false if none does.
    bool take(Lane& lane) {
        if (next_update_ < updates_.size()) {
            start_update(lane, updates_[next_update_++]);
            return true;
        }
        if (next_message_ == messages_.size()) return false;
        const Bytes message = messages_[next_message_];
        lane.own_words = kShaStart;
        lane.words = &lane.own_words;
        lane.data = message.data();
        lane.blocks = message.size() / kShaBlockBytes;
        const Bytes rest = message.last(message.size() % kShaBlockBytes);
        lane.end_blocks = pad(rest, message.size(), lane.end);
        lane.digest = &digests_[next_message_++];
        return true;
    }

    // Whole blocks go through the lane; what is left waits in the hash, as after update().
    static void start_update(Lane& lane, const Sha256Update& update) {
        Sha256Stream& hash = *update.hash;
        const std::size_t held = hash.bytes_ % kShaBlockBytes;
        const std::size_t fill =
            held == 0 ? 0 : std::min(update.bytes.size(), kShaBlockBytes - held);
        hash.update(update.bytes.first(fill));
        const Bytes bytes = update.bytes.subspan(fill);
        lane.words = &hash.words_;
        lane.data = bytes.data();
        lane.blocks = bytes.size() / kShaBlockBytes;
        const Bytes rest = bytes.last(bytes.size() % kShaBlockBytes);
        std::copy(rest.begin(), rest.end(), hash.pending_.begin());
        hash.bytes_ += bytes.size();
    }

    std::span<const Sha256Update> updates_;
    std::span<const Bytes> messages_;
    std::span<Digest> digests_;
    std::size_t next_update_ = 0, next_message_ = 0;
    std::array<Lane, kMaxShaLanes> lanes_;
};

bool sha256_is_faster_together() {
    return sha256_kernel() == ShaKernel::Own;
}

void sha256_together(std::span<const Sha256Update> updates, std::span<const Bytes> messages,
                     std::span<Digest> digests) {
    ShaLanes(updates, messages, digests).run();
}

}  // namespace shale::codec
