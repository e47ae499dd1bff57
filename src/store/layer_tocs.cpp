// Finding, making and verifying tables of contents.
//
// The tar stream of a layer is the truth: it is what the DiffID in the image's config names and
// what every other tool unpacks. A TOC is a claim about it. A layer without a TOC (a foreign one)
// is read once, verified, and rewritten into frames with a TOC of our own: its twin. A layer that
// brings a TOC from elsewhere is read once too, and if the TOC does not describe the tar exactly
// the layer is treated as foreign. Layers that this store's own builds wrote are known
// (Database::diff_id_of) and are not read again.
#include "layer_tocs.hpp"

#include <shale/codec.hpp>
#include <shale/layer_form.hpp>

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace shale::store {

namespace {

// TOC entries kept in memory for layers that nobody uses at the moment; some 300 bytes each.
constexpr std::size_t kCachedEntries = 400'000;
// What a layer may decompress to; stops bombs, not images.
constexpr std::uint64_t kMaxTarBytes = 256ull << 30;
constexpr std::uint64_t kReadBytes = 1u << 20;
constexpr int kFastestLevel = -7;  // of what is thrown away
// Somebody waits for a twin, and it stays here: docs/decisions/gzip-layers.md.
constexpr int kTwinLevel = 1;
// Enough for every magic number that codec::sniff knows.
constexpr std::uint64_t kSniffBytes = 16;

std::string describe(const Digest& blob) {
    return "layer " + blob.str();
}

[[noreturn]] void fail_diff_id(const Digest& blob, const Digest& found, const Digest& wanted) {
    fail(ErrorKind::Corrupt, describe(blob) + ": its tar has DiffID " + found.str() +
                                 ", the image config says " + wanted.str());
}

// Reads a blob from front to back and hashes it on the way.
class HashedBlob {
  public:
    HashedBlob(BlobFiles& blobs, const Digest& blob, std::string path)
        : blobs_(blobs), blob_(blob), path_(std::move(path)), bytes_(blobs.blob_size(blob)) {}
    std::size_t read(MutableBytes out) {
        out = out.first(std::min<std::uint64_t>({out.size(), bytes_ - at_, kReadBytes}));
        blobs_.read_blob(blob_, at_, out);
        hash_.update(out);
        at_ += out.size();
        return out.size();
    }
    // Reads what a decompressor left over; Corrupt if the whole does not have the blob's digest.
    void verify_rest() {
        std::string rest(kReadBytes, '\0');
        while (read(std::as_writable_bytes(std::span(rest))) > 0) {
        }
        const Digest found = hash_.finish();
        if (found == blob_) return;
        // Whatever these bytes are, they are not the blob; while they have its name no pull brings
        // the blob itself.
        const bool is_removed = ::unlink(path_.c_str()) == 0;
        blobs_.forget(blob_);
        fail(ErrorKind::Corrupt,
             describe(blob_) + ": digest mismatch: its bytes in the store hash to " + found.str() +
                 (is_removed ? "; they were removed, pull the image again"
                             : "; they cannot be removed: " + std::string(std::strerror(errno))));
    }

  private:
    BlobFiles& blobs_;
    Digest blob_;
    std::string path_;
    std::uint64_t bytes_, at_ = 0;
    codec::Sha256 hash_;
};

codec::StreamFormat sniff_blob(BlobFiles& blobs, const Digest& blob) {
    std::byte head[kSniffBytes];
    const auto size = std::min<std::uint64_t>(blobs.blob_size(blob), kSniffBytes);
    blobs.read_blob(blob, 0, MutableBytes(head).first(size));
    return codec::sniff(Bytes(head).first(size));
}

bool same_members(const layer::Toc& a, const layer::Toc& b) {
    return std::equal(a.entries.begin(), a.entries.end(), b.entries.begin(), b.entries.end(),
                      [](const layer::TocEntry& x, const layer::TocEntry& y) {
                          return x.member == y.member && x.content == y.content;
                      });
}

Digest hash_stream(const codec::Source& source) {
    codec::Sha256 hash;
    std::string buffer(kReadBytes, '\0');
    const auto bytes = std::as_writable_bytes(std::span(buffer));
    while (const std::size_t count = source(bytes))
        hash.update(bytes.first(count));
    return hash.finish();
}

}  // namespace

std::string LayerHome::places_name(const Digest& blob, bool of_twin) {
    std::string name = blob.hex();
    if (of_twin) name.append(kTwinSuffix);
    return name;
}

LayerTocs::LayerTocs(const LayerHome& home) : home_(home), cache_(kCachedEntries) {}

std::string LayerTocs::twin_path(const Digest& blob) const {
    return home_.frames.find(blob.hex());
}

bool LayerTocs::has_twin(const Digest& blob) const {
    return path_exists(twin_path(blob));
}

void LayerTocs::check_descriptor(const oci::Descriptor& layer) {
    // An empty media type and a size of zero mean "not known": content_index() has digests only.
    if (!layer.media_type.empty() && !oci::layer_compression(layer.media_type))
        fail(ErrorKind::Unsupported,
             describe(layer.digest) + " has media type \"" + layer.media_type + '"');
    const std::uint64_t bytes = home_.blobs.blob_size(layer.digest);
    if (layer.size != 0 && layer.size != bytes)
        fail(ErrorKind::Corrupt, describe(layer.digest) + " has " + std::to_string(bytes) +
                                     " bytes in the store, its descriptor says " +
                                     std::to_string(layer.size));
}

std::shared_ptr<const layer::Toc> LayerTocs::get(const oci::Descriptor& layer,
                                                 const std::optional<Digest>& diff_id) {
    check_descriptor(layer);
    {
        std::unique_lock lock(mutex_);
        loaded_.wait(lock, [&] { return !loading_.contains(layer.digest); });
        const auto cached = cache_.find(layer.digest);
        if (cached && diff_id && cached->diff_id && *cached->diff_id != *diff_id)
            fail_diff_id(layer.digest, *cached->diff_id, *diff_id);
        if (cached && (cached->diff_id || !diff_id)) return cached->toc;
        loading_.insert(layer.digest);
    }
    std::optional<Loaded> loaded;
    const auto finish = [&] {
        std::lock_guard lock(mutex_);
        loading_.erase(layer.digest);
        if (loaded) cache_.put(layer.digest, *loaded, loaded->toc->entries.size() + 1);
        loaded_.notify_all();
    };
    try {
        loaded = load(layer, diff_id);
    } catch (...) {  // whoever waits tries by itself and meets the same error, or better luck
        finish();
        throw;
    }
    finish();
    return loaded->toc;
}

void LayerTocs::verify(const oci::Descriptor& layer, const Digest& diff_id) {
    const auto known = home_.database.diff_id_of(layer.digest);
    if (!known) {
        get(layer, diff_id);
        return;
    }
    check_descriptor(layer);
    if (*known != diff_id) fail_diff_id(layer.digest, *known, diff_id);
}

LayerTocs::Loaded LayerTocs::load(const oci::Descriptor& layer,
                                  const std::optional<Digest>& diff_id) {
    const Digest& blob = layer.digest;
    auto known = home_.database.diff_id_of(blob);
    if (known && diff_id && *known != *diff_id) fail_diff_id(blob, *known, *diff_id);
    const auto share = [](layer::Toc&& toc) {
        return std::make_shared<const layer::Toc>(std::move(toc));
    };
    if (auto twin = read_twin(blob)) {
        // The database may have been deleted since the twin was made.
        if (!known && diff_id) {
            const Digest found = hash_stream(layer::tar_stream(home_.framed, blob, *twin));
            if (found != *diff_id) fail_diff_id(blob, found, *diff_id);
            remember(blob, found);
            known = found;
        }
        return {share(std::move(*twin)), known};
    }
    if (auto own = read_own(layer)) {
        if (known) return {share(std::move(*own)), known};
        if (const auto found = agrees_with_tar(blob, *own, diff_id)) {
            home_.database.put_diff_id(blob, *found);
            return {share(std::move(*own)), found};
        }
    }
    layer::Written twin = make_twin(blob, diff_id);
    return {share(std::move(twin.toc)), twin.diff_id};
}

// Rewrites the tar and throws the result away: what counts is whether it has the wanted DiffID, if
// one is wanted, and gives the same TOC, apart from where frames were cut. Returns the DiffID then.
std::optional<Digest> LayerTocs::agrees_with_tar(const Digest& blob, const layer::Toc& toc,
                                                 const std::optional<Digest>& diff_id) {
    const bool foreign = toc.coding != layer::FrameCoding::Frames;
    // Frames past the tar hold the dense form of sparse files, which reading the tar does not
    // check. Foreign ones have digests.
    if (!foreign &&
        std::any_of(toc.frames.begin(), toc.frames.end(),
                    [&](const layer::Frame& frame) { return frame.tar_offset >= toc.tar_bytes; }))
        return std::nullopt;
    layer::WriteOptions options;
    options.level = kFastestLevel;
    try {
        layer::Written again = layer::reframe(layer::tar_stream(home_.blobs, blob, toc),
                                              describe(blob), options, [](Bytes) {});
        bool agrees = again.diff_id == diff_id.value_or(again.diff_id);
        if (foreign) {
            agrees = agrees && same_members(again.toc, toc);
        } else {
            again.toc.frames = toc.frames;
            agrees = agrees && layer::encode_toc(again.toc) == layer::encode_toc(toc);
        }
        return agrees ? std::optional(again.diff_id) : std::nullopt;
    } catch (const Error& error) {
        // Frames that do not decompress may be the fault of the TOC alone; make_twin() knows.
        if (error.kind() == ErrorKind::Corrupt) return std::nullopt;
        throw;
    }
}

// The TOC that the layer brought along, if it is one.
std::optional<layer::Toc> LayerTocs::read_own(const oci::Descriptor& layer) {
    try {
        return layer::read_layer_toc(home_.blobs, layer);
    } catch (const Error& error) {
        // A table that is malformed or of a later version leaves an ordinary zstd layer. If the
        // blob as a whole is damaged, make_twin() finds out.
        if (error.kind() == ErrorKind::Corrupt || error.kind() == ErrorKind::Unsupported)
            return std::nullopt;
        throw;
    }
}

std::optional<layer::Toc> LayerTocs::read_twin(const Digest& blob) {
    const std::string path = twin_path(blob);
    if (!path_exists(path)) return std::nullopt;
    home_.framed.forget(blob);  // another process may have made it while we had the plain blob open
    try {
        if (auto toc = layer::read_toc(home_.framed, blob)) return toc;
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::Corrupt) throw;
    }
    // A twin is ours to make again.
    ::unlink(path.c_str());
    home_.framed.forget(blob);
    return std::nullopt;
}

layer::Written LayerTocs::make_twin(const Digest& blob, const std::optional<Digest>& diff_id) {
    HashedBlob bytes(home_.blobs, blob, join_path(home_.blobs_directory, blob.hex()));
    // The media type is a claim; the first bytes are not.
    codec::StreamDecompressor tar(
        sniff_blob(home_.blobs, blob), [&](MutableBytes out) { return bytes.read(out); },
        kMaxTarBytes);
    TempFile twin(home_.session, "frames", TempFile::Length::Long);
    layer::Written written;
    layer::WriteOptions options;
    options.level = kTwinLevel;
    try {
        written = layer::reframe([&](MutableBytes out) { return tar.read(out); }, describe(blob),
                                 options, [&](Bytes frame) { twin.write(frame); });
    } catch (const Error& error) {
        // If the blob is damaged that is the thing to say, not what the damage looks like.
        if (error.kind() == ErrorKind::Corrupt) bytes.verify_rest();
        throw;
    }
    bytes.verify_rest();
    if (diff_id && written.diff_id != *diff_id) fail_diff_id(blob, written.diff_id, *diff_id);
    // What was known of an earlier twin does not hold for this one.
    ::unlink(home_.places.path(LayerHome::places_name(blob, true)).c_str());
    twin.publish(home_.frames.path(blob.hex()));
    home_.framed.forget(blob);
    remember(blob, written.diff_id);
    return written;
}

// A row says that the layer's TOC is true, so that load() need not look again. A layer whose own
// TOC was found false never gets one: without its twin that TOC would be believed.
void LayerTocs::remember(const Digest& blob, const Digest& diff_id) {
    oci::Descriptor layer;
    layer.digest = blob;
    if (!read_own(layer)) home_.database.put_diff_id(blob, diff_id);
}

}  // namespace shale::store
