// Of our own form the manifest says where the table begins, so one request brings it. Others are
// found through a footer: the end of the blob is fetched, in which small tables lie, too; a large
// one costs a second request.
#include "remote_table.hpp"

#include <shale/codec.hpp>
#include <shale/layer_form.hpp>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace shale::lazy {

namespace {

// Most tables of layers of some hundred files are smaller.
constexpr std::uint64_t kFirstTail = 16 << 10;

struct Promise {
    Digest digest;
    std::uint64_t bytes = 0;
};

// What the manifest says about the tail of our own form; nothing if it says nothing usable.
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

// The layer, of which the end is here. The rest is a request away, or nothing to be believed.
class TailSource final : public oci::BlobSource {
  public:
    enum class Rest { Fetched, Refused };
    TailSource(const oci::Descriptor& layer, const FetchRange& fetch, std::uint64_t bytes,
               Rest rest)
        : layer_(layer), fetch_(fetch), rest_(rest), begin_(layer.size - bytes),
          tail_(bytes, '\0') {
        fetch_(begin_, std::as_writable_bytes(std::span(tail_)));
    }
    std::string& tail() { return tail_; }

    std::uint64_t blob_size(const Digest&) override { return layer_.size; }
    void read_blob(const Digest&, std::uint64_t offset, MutableBytes out) override {
        if (offset > layer_.size || out.size() > layer_.size - offset)
            fail(ErrorKind::Corrupt, layer_.digest.str() + ": ends before what is read of it");
        if (offset < begin_ && rest_ == Rest::Refused)
            fail(ErrorKind::Corrupt, layer_.digest.str() +
                                         ": its table of contents begins before what the "
                                         "manifest vouches for");
        const auto before = offset < begin_ ? std::min(begin_ - offset, out.size()) : 0;
        if (before > 0) fetch_(offset, out.first(before));
        if (out.size() > before)
            std::memcpy(out.data() + before, tail_.data() + (offset + before - begin_),
                        out.size() - before);
    }

  private:
    const oci::Descriptor& layer_;
    const FetchRange& fetch_;
    const Rest rest_;
    const std::uint64_t begin_;
    std::string tail_;
};

std::optional<RemoteTable> fetch_own(const oci::Descriptor& layer, const Promise& promise,
                                     const FetchRange& fetch) {
    TailSource source(layer, fetch, promise.bytes, TailSource::Rest::Refused);
    if (codec::sha256(source.tail()) != promise.digest)
        fail(ErrorKind::Corrupt, "layer " + layer.digest.str() +
                                     ": its table of contents is not the one that the manifest "
                                     "states, " +
                                     promise.digest.str());
    auto toc = layer::read_toc(source, layer.digest);
    const auto is_unnamed = [](const layer::Frame& frame) { return frame.blob_digest.is_zero(); };
    if (!toc || std::any_of(toc->frames.begin(), toc->frames.end(), is_unnamed))
        return std::nullopt;
    return RemoteTable{std::move(*toc), std::move(source.tail())};
}

// One that is sound, but of no use to us, is as none: the layer can be pulled.
std::optional<RemoteTable> fetch_foreign(const oci::Descriptor& layer, const FetchRange& fetch) {
    TailSource source(layer, fetch, std::min<std::uint64_t>(layer.size, kFirstTail),
                      TailSource::Rest::Fetched);
    try {
        auto toc = layer::read_layer_toc(source, layer);
        // What the annotations were compared with is no table of ours.
        if (!toc || toc->coding == layer::FrameCoding::Frames) return std::nullopt;
        return RemoteTable{std::move(*toc), {}};
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::Unsupported) throw;
        return std::nullopt;
    }
}

}  // namespace

std::optional<RemoteTable> fetch_table(const oci::Descriptor& layer, const FetchRange& fetch) {
    if (const auto promise = promised_tail(layer)) return fetch_own(layer, *promise, fetch);
    if (layer.size > 0 && layer::states_foreign_toc(layer)) return fetch_foreign(layer, fetch);
    return std::nullopt;
}

}  // namespace shale::lazy
