// Reading ahead: two frames read one after another are taken for the beginning of more, and what
// follows is fetched in growing runs. The first frame of such a run, once it is read, starts the
// next one, so that a reader who goes on finds the next run on its way. There is never more ahead
// of a reader than he has read up to there.
#include "remote_layer.hpp"

#include <shale/codec.hpp>
#include <shale/layer_form.hpp>

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <numeric>

namespace shale::lazy {

namespace {

void put_at(int fd, Bytes bytes, std::uint64_t offset) {
    while (!bytes.empty()) {
        const auto count = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw_errno("write", "fetched frames");
        bytes = bytes.subspan(static_cast<std::size_t>(count));
        offset += static_cast<std::uint64_t>(count);
    }
}

}  // namespace

RemoteLayer::RemoteLayer(oci::Descriptor layer, layer::FrameTable table, std::string tail,
                         UniqueFd kept)
    : layer_(std::move(layer)), table_(std::move(table)), tail_(std::move(tail)),
      kept_(std::move(kept)), order_(table_.frames.size()) {
    const auto offset = [&](std::size_t piece) { return table_.frames[piece].blob_offset; };
    std::iota(order_.begin(), order_.end(), 0);
    std::ranges::sort(order_, {}, offset);
    for (auto first = order_.begin(); first != order_.end() && offset(*first) < tail_offset();) {
        Frame frame;
        frame.offset = offset(*first);
        const auto end = std::find_if(
            first, order_.end(), [&](std::size_t piece) { return offset(piece) != frame.offset; });
        for (auto piece = first; piece != end; ++piece)
            frame.bytes = std::max(frame.bytes, table_.frames[*piece].blob_bytes);
        frame.pieces = {first, end};
        by_offset_.emplace(frame.offset, frames_.size());
        frames_.push_back(frame);
        first = end;
    }
}

std::uint64_t RemoteLayer::bytes(Run run) const {
    const auto last = run.first + run.count - 1;
    return frames_[last].offset + frames_[last].bytes - frames_[run.first].offset;
}

std::optional<std::size_t> RemoteLayer::find(std::uint64_t offset) const {
    const auto found = by_offset_.find(offset);
    if (found == by_offset_.end()) return std::nullopt;
    return found->second;
}

bool RemoteLayer::is_whole(std::size_t frame, std::uint64_t bytes) const {
    return std::ranges::any_of(frames_[frame].pieces, [&](std::size_t piece) {
        return table_.frames[piece].blob_bytes == bytes;
    });
}

bool RemoteLayer::follows(std::size_t frame) const {
    if (frame == 0 || frame >= frames_.size()) return false;
    const auto& before = frames_[frame - 1];
    return frames_[frame].offset - (before.offset + before.bytes) <= kMostGapBytes;
}

RemoteLayer::Turn RemoteLayer::take(std::size_t frame, bool may_go_ahead) {
    std::unique_lock lock(mutex_);
    auto& wanted = frames_[frame];
    changed_.wait(lock, [&] { return wanted.presence != Presence::Coming; });
    Turn turn{.is_here = wanted.presence == Presence::Here, .claimed = {}, .ahead = {}};
    if (!turn.is_here) turn.claimed = claim_along(frame);
    if (!std::exchange(wanted.was_read, true))
        wanted.streak = wanted.bytes + (follows(frame) ? frames_[frame - 1].streak : 0);
    if (may_go_ahead) turn.ahead = ahead_of(frame, turn.is_here);
    return turn;
}

Run RemoteLayer::claim_along(std::size_t frame) {
    Run run{frame, 1};
    frames_[frame].presence = Presence::Coming;
    if (table_.coding == layer::FrameCoding::Frames) return run;
    for (; follows(frame + run.count); ++run.count) {
        auto& next = frames_[frame + run.count];
        if (next.presence != Presence::Absent || bytes({frame, run.count + 1}) > kAlongBytes) break;
        next.presence = Presence::Coming;
    }
    return run;
}

bool RemoteLayer::is_here(std::size_t frame) const {
    const std::lock_guard lock(mutex_);
    return frames_[frame].presence == Presence::Here;
}

std::optional<Run> RemoteLayer::ahead_of(std::size_t frame, bool was_here) {
    auto& read = frames_[frame];
    const bool goes_on = was_here ? std::exchange(read.begins_ahead, false)
                                  : follows(frame) && frames_[frame - 1].was_read;
    if (!goes_on) return std::nullopt;
    // Of the run that was fetched before, and the next.
    const auto window = std::min(read.streak, 2 * kMostRunBytes);
    std::size_t first = frame + 1;
    std::uint64_t there = 0;
    while (follows(first) && frames_[first].presence != Presence::Absent && there < window)
        there += frames_[first++].bytes;
    Run run{first, 0};
    for (; follows(first + run.count); ++run.count) {
        auto& next = frames_[first + run.count];
        const auto with_it = bytes({first, run.count + 1});
        if (next.presence != Presence::Absent || there + with_it > window ||
            with_it > kMostRunBytes)
            break;
        next.presence = Presence::Coming;
    }
    if (run.count == 0) return std::nullopt;
    frames_[first].begins_ahead = true;
    return run;
}

RemoteLayer::Presence RemoteLayer::claim(std::size_t frame) {
    const std::lock_guard lock(mutex_);
    auto& presence = frames_[frame].presence;
    const auto was = presence;
    if (was == Presence::Absent) presence = Presence::Coming;
    return was;
}

void RemoteLayer::set_here(std::size_t frame) {
    const std::lock_guard lock(mutex_);
    frames_[frame].presence = Presence::Here;
    changed_.notify_all();
}

// Our own tables name the bytes that come, those of others what is in them.
void RemoteLayer::check(const Frame& frame, Bytes bytes) const {
    if (table_.coding != layer::FrameCoding::Frames)
        return layer::check_pieces(table_, frame.pieces, bytes);
    const auto& wanted = table_.frames[frame.pieces.front()].blob_digest;
    if (const auto digest = codec::sha256(bytes); digest != wanted)
        fail(ErrorKind::Corrupt,
             "digest mismatch: the registry sent " + digest.str() + " instead of " + wanted.str());
}

void RemoteLayer::put(std::size_t frame, Bytes bytes) {
    check(frames_[frame], bytes);
    put_at(kept_.get(), bytes, frames_[frame].offset);
    set_here(frame);
}

bool RemoteLayer::put_kept(std::size_t frame) {
    const auto& wanted = frames_[frame];
    try {
        std::vector<std::byte> bytes(wanted.bytes);
        read(frame, bytes);
        check(wanted, bytes);
    } catch (const std::exception&) {  // the file ends before, or has a hole there
        return false;
    }
    set_here(frame);
    return true;
}

void RemoteLayer::give_up(Run run) noexcept {
    const std::lock_guard lock(mutex_);
    for (std::size_t i = run.first; i < run.first + run.count; ++i)
        if (frames_[i].presence == Presence::Coming) frames_[i].presence = Presence::Absent;
    changed_.notify_all();
}

void RemoteLayer::read(std::size_t frame, MutableBytes out) const {
    pread_exact(kept_.get(), out, frames_[frame].offset, "fetched frames");
}

}  // namespace shale::lazy
