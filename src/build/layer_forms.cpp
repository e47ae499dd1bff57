#include "layer_forms.hpp"

#include "key.hpp"

#include <shale/layer.hpp>
#include <shale/tar.hpp>

#include <algorithm>
#include <cstring>
#include <memory>

namespace shale::build {
namespace {

constexpr std::size_t kCopyBytes = 1 << 20;

// The tar of a layer that this program wrote, its headers written anew with earlier times. Contents
// pass through in the order of the original.
class ClampedTar {
  public:
    ClampedTar(std::shared_ptr<const layer::Toc> toc, codec::Source original,
               std::int64_t latest_ns)
        : toc_(std::move(toc)), original_(std::move(original)), latest_ns_(latest_ns) {}

    std::size_t read(MutableBytes out) {
        for (;;) {
            if (sent_ < pending_.size()) {
                const auto count = std::min(out.size(), pending_.size() - sent_);
                std::memcpy(out.data(), pending_.data() + sent_, count);
                sent_ += count;
                return count;
            }
            if (content_left_ > 0) return read_content(out);
            if (!next_member()) return 0;
        }
    }

  private:
    std::size_t read_content(MutableBytes out) {
        const auto count =
            read_original(out.first(std::min<std::uint64_t>(out.size(), content_left_)));
        content_left_ -= count;
        if (content_left_ == 0) set_pending(std::string(padding_, '\0'));
        return count;
    }

    // Puts the next header, or the trailer, into pending_. False after the trailer.
    bool next_member() {
        if (done_) return false;
        if (at_ == toc_->entries.size()) {
            set_pending(std::string(tar::kTrailerBytes, '\0'));
            done_ = true;
            return true;
        }
        const auto& entry = toc_->entries[at_++];
        auto member = entry.member;
        member.mtime_ns = std::min(member.mtime_ns, latest_ns_);
        set_pending(tar::encode_header(member));
        content_left_ = member.type == tar::MemberType::Regular ? member.size : 0;
        padding_ = tar::padding(content_left_);
        if (content_left_ > 0) skip_to(entry.content_offset);
        return true;
    }

    void skip_to(std::uint64_t offset) {
        std::vector<std::byte> skipped(64 << 10);
        while (position_ < offset)
            read_original(MutableBytes(skipped).first(
                std::min<std::uint64_t>(skipped.size(), offset - position_)));
    }

    std::size_t read_original(MutableBytes out) {
        const auto count = original_(out);
        if (count == 0) fail(ErrorKind::Corrupt, "a layer ends before its table of contents says");
        position_ += count;
        return count;
    }

    void set_pending(std::string bytes) {
        pending_ = std::move(bytes);
        sent_ = 0;
    }

    std::shared_ptr<const layer::Toc> toc_;
    codec::Source original_;
    std::int64_t latest_ns_;
    std::size_t at_ = 0, sent_ = 0;
    std::string pending_;
    std::uint64_t position_ = 0, content_left_ = 0, padding_ = 0;
    bool done_ = false;
};

codec::Source formed_tar(store::Store& store, const FormedLayer& layer, const LayerForm& form) {
    if (!form.latest_mtime_ns) return layer_tar(store, layer);
    const auto clamped = std::make_shared<ClampedTar>(
        store.toc(layer.blob, layer.diff_id), layer_tar(store, layer), *form.latest_mtime_ns);
    return [clamped](MutableBytes out) { return clamped->read(out); };
}

// Compresses into `sink`; returns the digest of the tar.
Digest compress(const codec::Source& tar, const std::string& what, const LayerForm& form,
                const codec::Sink& sink) {
    if (form.compression == oci::Compression::Zstd) {
        layer::WriteOptions options;
        options.level = form.level.value_or(options.level);
        return layer::reframe(tar, what, options, sink).diff_id;
    }
    constexpr int kGzipLevel = 6;  // zlib's default, and what gzip(1) and docker use
    codec::Sha256 diff_id;
    codec::StreamCompressor stream(form.compression == oci::Compression::Gzip
                                       ? codec::StreamFormat::Gzip
                                       : codec::StreamFormat::Plain,
                                   form.level.value_or(kGzipLevel), sink);
    pump(tar, [&](Bytes bytes) {
        diff_id.update(bytes);
        stream.write(bytes);
    });
    stream.finish();
    return diff_id.finish();
}

}  // namespace

void pump(const codec::Source& source, const codec::Sink& sink) {
    std::vector<std::byte> buffer(kCopyBytes);
    while (const auto count = source(buffer))
        sink(Bytes(buffer).first(count));
}

codec::Source layer_tar(store::Store& store, const FormedLayer& layer) {
    // The TOC is captured with the source: it must live as long.
    const auto toc = store.toc(layer.blob, layer.diff_id);
    const auto source = layer::tar_stream(store.framed(), layer.blob.digest, *toc);
    return [toc, source](MutableBytes out) { return source(out); };
}

std::uint64_t layer_tar_bytes(store::Store& store, const FormedLayer& layer) {
    return store.toc(layer.blob, layer.diff_id)->tar_bytes;
}

bool has_later_times(store::Store& store, const FormedLayer& layer, std::int64_t latest_ns) {
    const auto toc = store.toc(layer.blob, layer.diff_id);
    return std::any_of(toc->entries.begin(), toc->entries.end(), [&](const layer::TocEntry& entry) {
        return entry.member.mtime_ns > latest_ns;
    });
}

FormedLayer form_layer(Session& session, const FormedLayer& layer, const LayerForm& form) {
    auto& store = session.services.store;
    Key key("recompress");
    key.add("layer", layer.blob.digest)
        .add("compression", oci::compression_name(form.compression))
        .add("level", static_cast<std::uint64_t>(form.level.value_or(-1)));
    if (form.latest_mtime_ns) key.add("latest", static_cast<std::uint64_t>(*form.latest_mtime_ns));
    const auto name = key.finish();
    if (const auto known = store.find_step(name); known && known->layer && known->diff_id)
        return {*known->layer, *known->diff_id};
    auto writer = store.new_blob();
    FormedLayer made;
    made.diff_id = compress(formed_tar(store, layer, form), layer.blob.digest.str(), form,
                            [&](Bytes bytes) { writer.write(bytes); });
    made.blob.media_type = oci::layer_media_type(form.compression);
    made.blob.size = writer.size();
    made.blob.digest = writer.commit();
    store::StepRecord record;
    record.tree = store.put_tree(snapshot::TreeBuilder().finish());  // a layer alone: no root
    record.sources = {made.blob.digest};
    record.layer = made.blob;
    record.diff_id = made.diff_id;
    record.created_ns = session.services.clock.now_ns();
    record.name = "recompress " + std::string(oci::compression_name(form.compression));
    store.put_step(name, record);
    return made;
}

}  // namespace shale::build
