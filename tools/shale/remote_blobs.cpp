#include "remote_blobs.hpp"

#include <shale/codec.hpp>

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <unordered_map>

namespace shale::cli {

namespace {

struct Promise {
    Digest digest;
    std::uint64_t bytes = 0;
};

// What the manifest says about the layer's tail; nothing if it says nothing usable.
std::optional<Promise> promised_tail(const oci::Descriptor& layer) {
    const auto digest = layer.annotations.find(std::string(layer::kAnnotationTocDigest));
    const auto bytes = layer.annotations.find(std::string(layer::kAnnotationTocBytes));
    if (digest == layer.annotations.end() || bytes == layer.annotations.end()) return std::nullopt;
    Promise out;
    const auto& text = bytes->second;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out.bytes);
    if (error != std::errc() || end != text.data() + text.size() || out.bytes == 0 ||
        out.bytes > layer.size || out.bytes > layer::kMaxTocBytes)
        return std::nullopt;
    out.digest = Digest::parse(digest->second);
    return out;
}

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

struct RemoteBlobs::Remote {
    oci::Descriptor layer;
    std::string tail;
    std::unordered_map<std::uint64_t, Promise> frames;  // by blob offset
    UniqueFd kept;                // verified frames, where they lie in the blob
    std::set<std::uint64_t> has;  // offsets of those

    std::uint64_t tail_offset() const { return layer.size - tail.size(); }
};

RemoteBlobs::RemoteBlobs(Fetch fetch, oci::BlobSource& local, std::string directory)
    : fetch_(std::move(fetch)), local_(local), directory_(std::move(directory)) {}

RemoteBlobs::~RemoteBlobs() = default;

RemoteBlobs::Remote* RemoteBlobs::find(const Digest& blob) const {
    const auto found = remotes_.find(blob);
    return found == remotes_.end() ? nullptr : found->second.get();
}

void RemoteBlobs::fetch(const oci::Descriptor& layer, std::uint64_t offset, MutableBytes out) {
    {
        const std::lock_guard lock(mutex_);
        ++stats_.requests;
        stats_.bytes += out.size();
    }
    fetch_(layer, offset, out);
}

std::shared_ptr<const layer::Toc> RemoteBlobs::add(const oci::Descriptor& layer) {
    const auto promise = promised_tail(layer);
    if (!promise) return nullptr;
    auto remote = std::make_unique<Remote>();
    remote->layer = layer;
    remote->tail.resize(promise->bytes);
    fetch(layer, remote->tail_offset(), std::as_writable_bytes(std::span(remote->tail)));
    if (codec::sha256(remote->tail) != promise->digest)
        fail(ErrorKind::Corrupt, "layer " + layer.digest.str() +
                                     ": its table of contents is not the one that the manifest "
                                     "states, " +
                                     promise->digest.str());
    const auto at = remotes_.insert_or_assign(layer.digest, std::move(remote)).first;
    auto toc = layer::read_toc(*this, layer.digest);
    const auto is_unnamed = [](const layer::Frame& frame) { return frame.blob_digest.is_zero(); };
    if (!toc || std::any_of(toc->frames.begin(), toc->frames.end(), is_unnamed)) {
        remotes_.erase(at);
        return nullptr;
    }
    for (const auto& frame : toc->frames)
        at->second->frames[frame.blob_offset] = {frame.blob_digest, frame.blob_bytes};
    at->second->kept = anonymous_file(directory_);
    return std::make_shared<const layer::Toc>(std::move(*toc));
}

std::uint64_t RemoteBlobs::blob_size(const Digest& blob) {
    const Remote* const remote = find(blob);
    return remote ? remote->layer.size : local_.blob_size(blob);
}

void RemoteBlobs::read_blob(const Digest& blob, std::uint64_t offset, MutableBytes out) {
    Remote* const remote = find(blob);
    if (!remote) return local_.read_blob(blob, offset, out);
    const std::uint64_t tail = remote->tail_offset();
    if (offset < tail) return read_frame(*remote, offset, out);
    if (offset > remote->layer.size || out.size() > remote->layer.size - offset)
        fail(ErrorKind::Corrupt, blob.str() + ": ends before what is read of it");
    std::memcpy(out.data(), remote->tail.data() + (offset - tail), out.size());
}

void RemoteBlobs::read_frame(Remote& remote, std::uint64_t offset, MutableBytes out) {
    const auto frame = remote.frames.find(offset);
    if (frame == remote.frames.end() || frame->second.bytes != out.size())
        fail(ErrorKind::Corrupt, "no frame of the table of contents begins there");
    bool is_here = false;
    {
        const std::lock_guard lock(mutex_);
        is_here = remote.has.contains(offset);
    }
    if (is_here) return pread_exact(remote.kept.get(), out, offset, "fetched frames");
    fetch(remote.layer, offset, out);
    if (const auto digest = codec::sha256(out); digest != frame->second.digest)
        fail(ErrorKind::Corrupt, "digest mismatch: the registry sent " + digest.str() +
                                     " instead of " + frame->second.digest.str());
    put_at(remote.kept.get(), out, offset);
    const std::lock_guard lock(mutex_);
    remote.has.insert(offset);
}

RemoteBlobs::Stats RemoteBlobs::stats() const {
    const std::lock_guard lock(mutex_);
    return stats_;
}

}  // namespace shale::cli
