#include "layer_forms.hpp"

#include "key.hpp"
#include "stop.hpp"

#include <shale/layer.hpp>
#include <shale/tar.hpp>

#include <algorithm>
#include <cstring>
#include <memory>
#include <thread>
#include <unordered_set>

namespace shale::build {
namespace {

constexpr std::size_t kCopyBytes = 1 << 20;

// The tar of a layer that this program wrote, its headers written anew with earlier times. Contents
// pass through in the order of the original.
class ClampedTar {
  public:
    ClampedTar(std::shared_ptr<const layer::Toc> toc, codec::Source original,
               std::int64_t latest_ns, std::vector<std::string> left_out)
        : toc_(std::move(toc)), original_(std::move(original)), latest_ns_(latest_ns),
          left_out_(std::move(left_out)) {}

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
        while (at_ < toc_->entries.size() &&
               std::ranges::binary_search(left_out_, toc_->entries[at_].member.path))
            ++at_;
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
    std::vector<std::string> left_out_;
    std::size_t at_ = 0, sent_ = 0;
    std::string pending_;
    std::uint64_t position_ = 0, content_left_ = 0, padding_ = 0;
    bool done_ = false;
};

codec::Source formed_tar(store::Store& store, const FormedLayer& layer, const LayerForm& form) {
    if (!form.latest_mtime_ns) return layer_tar(store, layer);
    const auto toc = store.toc(layer.blob, layer.diff_id);
    SHALE_ENSURE(toc->coding == layer::FrameCoding::Frames);  // one of ours
    const auto clamped = std::make_shared<ClampedTar>(toc, layer_tar(store, layer),
                                                      *form.latest_mtime_ns, form.left_out);
    return [clamped](MutableBytes out) { return clamped->read(out); };
}

layer::FormOptions options_of(const LayerForm& form) {
    layer::FormOptions options{form.form, form.level};
    options.memory_bytes = form.memory_bytes;
    return options;
}

// Seekable forms are made of members, not of a tar: they compress each content apart.
layer::Formed write_members(store::Store& store, const FormedLayer& layer, const LayerForm& form,
                            const codec::Sink& sink) {
    const auto toc = store.toc(layer.blob, layer.diff_id);
    auto members = toc->entries;
    std::erase_if(members, [&](const layer::TocEntry& entry) {
        return std::ranges::binary_search(form.left_out, entry.member.path);
    });
    if (form.latest_mtime_ns)
        for (auto& entry : members)
            entry.member.mtime_ns = std::min(entry.member.mtime_ns, *form.latest_mtime_ns);
    layer::ContentIndex index;
    index.add(layer.blob.digest, *toc);
    layer::ContentReader reader(std::move(index), store.framed());
    return layer::write_seekable(
        members, [&](const layer::TocEntry& entry) { return reader.open(entry.content); },
        options_of(form), sink);
}

layer::Formed write_form(store::Store& store, const FormedLayer& layer, const LayerForm& form,
                         const codec::Sink& sink) {
    if (layer::is_seekable(form.form)) return write_members(store, layer, form, sink);
    return layer::compress_tar(formed_tar(store, layer, form), layer.blob.digest.str(),
                               options_of(form), sink);
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
    const auto toc = store.toc(layer.blob, layer.diff_id);
    if (toc->coding == layer::FrameCoding::Frames) return toc->tar_bytes;
    std::uint64_t bytes = 0;  // which a foreign table does not say
    pump(layer_tar(store, layer), [&](Bytes piece) { bytes += piece.size(); });
    return bytes;
}

std::vector<std::string> members_of_time_alone(store::Store& store, const FormedLayer& layer,
                                               const snapshot::Tree& base,
                                               const snapshot::Tree& before,
                                               const snapshot::Tree& after,
                                               std::int64_t latest_ns) {
    const auto spec_at = [](const snapshot::Tree& tree, const std::string& path) {
        const auto node = tree.find(path);
        return node == snapshot::kNoNode ? std::nullopt : std::optional(tree.entry(node).spec());
    };
    const auto is_dispensable = [&](const std::string& path) {
        auto was = spec_at(before, path);
        const auto is = spec_at(after, path);
        if (!was || !is || was->link_group != 0 || is->link_group != 0) return false;
        if (was == is) return true;  // a directory that is stated for what lies below it
        if (was->mtime_ns <= latest_ns || is->mtime_ns <= latest_ns) return false;
        if (spec_at(base, path) == was) return false;
        was->mtime_ns = is->mtime_ns;
        return was == is;
    };
    std::vector<std::string> paths;
    std::unordered_set<std::string> needed;
    const auto toc = store.toc(layer.blob, layer.diff_id);
    for (const auto& entry : toc->entries) {
        const auto& path = entry.member.path;
        if (is_dispensable(path)) {
            paths.push_back(path);
            continue;
        }
        for (auto slash = path.rfind('/'); slash != std::string::npos && slash > 0;
             slash = path.rfind('/', slash - 1))
            if (!needed.insert(path.substr(0, slash)).second) break;  // and so are those above
    }
    std::erase_if(paths, [&](const std::string& path) { return needed.contains(path); });
    std::ranges::sort(paths);
    return paths;
}

FormedLayer form_layer(Services& services, const FormedLayer& layer, const LayerForm& form,
                       const std::stop_token& stop) {
    auto& store = services.store;
    const auto form_name = std::string(layer::form_name(form.form));
    Key key("recompress");
    key.add("layer", layer.blob.digest)
        .add("compression", form_name)
        .add("level", form.level ? std::to_string(*form.level) : "default");
    if (form.latest_mtime_ns) key.add("latest", static_cast<std::uint64_t>(*form.latest_mtime_ns));
    if (!form.left_out.empty()) key.add_all("left out", form.left_out);
    const auto name = key.finish();
    if (const auto known = store.find_step(name); known && known->layer && known->diff_id)
        return {*known->layer, *known->diff_id};
    auto writer = store.new_blob();
    const auto formed = write_form(store, layer, form, [&](Bytes bytes) {
        check_stop(stop);
        writer.write(bytes);
    });
    FormedLayer made;
    made.diff_id = formed.diff_id;
    made.blob.media_type = oci::layer_media_type(layer::compression_of(form.form));
    made.blob.size = writer.size();
    made.blob.digest = writer.commit(formed.blob);
    made.blob.annotations = formed.annotations;
    store::StepRecord record;
    record.tree = store.put_tree(snapshot::TreeBuilder().finish());  // a layer alone: no root
    record.sources = {made.blob.digest};
    record.layer = made.blob;
    record.diff_id = made.diff_id;
    record.created_ns = services.clock.now_ns();
    record.name = "recompress " + form_name;
    store.put_step(name, record);
    return made;
}

void vouch_for_toc(store::Store& store, oci::Descriptor& layer) {
    if (!store.has_blob(layer.digest)) return;
    // With a twin, its own table was found wanting.
    if (oci::layer_compression(layer.media_type) == oci::Compression::Zstd &&
        !store.has_twin(layer.digest))
        layer::vouch_for_toc(store, layer);
    else
        std::erase_if(layer.annotations,
                      [](const auto& pair) { return layer::is_toc_annotation(pair.first); });
}

}  // namespace shale::build
