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
// One of our own of that size, of some ten thousand files, may come with others.
constexpr std::uint64_t kSmallTable = 1 << 20;
// What is promised is believed so far: memory is taken when bytes come.
constexpr std::uint64_t kPiece = 16 << 20;

// The layer, of which the end is here. The rest is a request away, or nothing to be believed.
class TailSource final : public oci::BlobSource {
  public:
    enum class Rest { Fetched, Refused };
    TailSource(const oci::Descriptor& layer, const FetchRange& fetch, const std::string& tail,
               Rest rest)
        : layer_(layer), fetch_(fetch), rest_(rest), begin_(layer.size - tail.size()), tail_(tail) {
    }

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
    const std::string& tail_;
};

std::optional<RemoteTable> read_own(const oci::Descriptor& layer, const Digest& promised,
                                    const FetchRange& fetch, std::string tail) {
    if (codec::sha256(tail) != promised)
        fail(ErrorKind::Corrupt, "layer " + layer.digest.str() +
                                     ": its table of contents is not the one that the manifest "
                                     "states, " +
                                     promised.str());
    TailSource source(layer, fetch, tail, TailSource::Rest::Refused);
    auto toc = layer::read_toc(source, layer.digest);
    const auto is_unnamed = [](const layer::Frame& frame) { return frame.blob_digest.is_zero(); };
    if (!toc || std::any_of(toc->frames.begin(), toc->frames.end(), is_unnamed))
        return std::nullopt;
    return RemoteTable{std::move(*toc), std::move(tail)};
}

// One that is sound, but of no use to us, is as none: the layer can be pulled.
std::optional<RemoteTable> read_foreign(const oci::Descriptor& layer, const FetchRange& fetch,
                                        const std::string& tail) {
    TailSource source(layer, fetch, tail, TailSource::Rest::Fetched);
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

TableFetch::TableFetch(const oci::Descriptor& layer, FetchRange fetch)
    : layer_(layer), fetch_(std::move(fetch)), promise_(promise_of(layer)) {}

// Nothing if it says nothing usable.
std::optional<TableFetch::Promise> TableFetch::promise_of(const oci::Descriptor& layer) {
    const auto digest = layer.annotations.find(std::string(layer::kAnnotationTocDigest));
    const auto bytes = layer.annotations.find(std::string(layer::kAnnotationTocBytes));
    if (digest == layer.annotations.end() || bytes == layer.annotations.end()) return std::nullopt;
    Promise out;
    const auto& text = bytes->second;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out.bytes);
    if (error != std::errc() || end != text.data() + text.size() || out.bytes == 0 ||
        out.bytes > layer.size || out.bytes > layer::kMaxTocBytes)
        return std::nullopt;
    try {
        out.digest = Digest::parse(digest->second);
    } catch (const Error&) {  // of another algorithm, say
        return std::nullopt;
    }
    return out;
}

void TableFetch::fetch_tail(std::uint64_t bytes) {
    while (tail_.size() < bytes) {
        const auto at = tail_.size();
        tail_.resize(at + std::min(bytes - at, kPiece));
        fetch_(layer_.size - bytes + at, std::as_writable_bytes(std::span(tail_)).subspan(at));
    }
}

void TableFetch::begin() {
    if (promise_ && promise_->bytes <= kSmallTable) fetch_tail(promise_->bytes);
    if (!promise_ && layer_.size > 0 && layer::states_foreign_toc(layer_))
        fetch_tail(std::min<std::uint64_t>(layer_.size, kFirstTail));
}

std::optional<RemoteTable> TableFetch::finish() {
    if (promise_) {
        fetch_tail(promise_->bytes);
        return read_own(layer_, promise_->digest, fetch_, std::move(tail_));
    }
    if (tail_.empty()) return std::nullopt;
    return read_foreign(layer_, fetch_, tail_);
}

}  // namespace shale::lazy
