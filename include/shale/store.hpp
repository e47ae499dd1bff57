// store: everything that outlives a command, under one root directory.
//
//   oci-layout, index.json, blobs/sha256/   a valid OCI image layout, read in place by other tools
//   frames/<hex>                            framed twin of a foreign layer blob (same DiffID)
//   places/<hex>                            where the contents of a layer lie, by digest
//   trees/<hex>                             snapshots, named by Tree::digest()
//   stat-cache                              snapshot::StatCache of build contexts
//   watched/                                last snapshots of watched build contexts
//   cache-mounts/<hex>/                     directories of RUN --mount=type=cache, by identity
//   remotes/git/<hex>/                      mirrors of git repositories
//   shale.db                                SQLite: step records, tree-of-chain records
//   tmp/                                    everything is born here and renamed into place
//   lock                                    flock: shared by users, exclusive for collection
//
// Every write is temporary file -> fsync -> rename -> database commit, so a crash at any instant
// leaves a store that opens. Many processes may share a store; one Store object may be used from
// many threads.
#pragma once

#include <shale/base.hpp>
#include <shale/layer.hpp>
#include <shale/oci.hpp>
#include <shale/snapshot.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace shale::store {

// A blob on its way in. Abandoned (and its temporary file removed) unless committed.
class BlobWriter {
  public:
    BlobWriter(BlobWriter&&) noexcept;
    ~BlobWriter();
    void write(Bytes bytes);
    std::uint64_t size() const;
    // Corrupt if the bytes written do not hash to `expected` (when given): "digest mismatch". A
    // writer that does not hash must be given it.
    // Already present is fine.
    Digest commit(const std::optional<Digest>& expected = std::nullopt);

  private:
    friend class Store;
    struct State;
    explicit BlobWriter(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

struct ImageRecord {
    oci::Reference name;
    oci::Descriptor manifest;
};

// What a finished step left behind; the value of the build cache.
struct StepRecord {
    Digest tree;                  // Tree::digest() of the state after the step
    std::vector<Digest> sources;  // layer blobs that hold the contents of the tree, bottom first
    // The layer the step made, if it has been made.
    std::optional<oci::Descriptor> layer;
    std::optional<Digest> diff_id;
    std::int64_t created_ns = 0;  // when the step first finished; kept by cached rebuilds
    std::string name;             // "RUN npm install"
    std::int64_t cost_ms = 0;     // what executing it took; kept by cached rebuilds
    // In a record under a key that names what was to be done: the key that names the same by the
    // bytes it was done to, where that is known. For whoever hands records on.
    std::optional<Digest> content_key{};
};

// An image's merged root file system.
struct ImageTree {
    std::shared_ptr<const snapshot::Tree> tree;
    std::vector<Digest> sources;
};

// ---------------------------------------------------------------------------------------------
// What takes up the disk, and getting it back. Sizes are blocks on disk, not lengths of files.

// What a record of the build cache is.
enum class RecordKind {
    Step,        // a result, under however many keys
    CacheMount,  // a directory of RUN --mount=type=cache
    GitMirror,
    UnpackedStep,  // what a RUN wrote, as files; its layer is a result of its own
};

struct CacheRecord {
    Digest id;  // a step: one of its keys; others: the name of their directory
    RecordKind kind = RecordKind::Step;
    std::string name;  // StepRecord::name; others: what they are in words
    std::int64_t created_ns = 0, used_ns = 0;
    std::int64_t cost_ms = 0;  // what making it again would take; a guess where no step made it
    // A step: its own layer and tree, whoever else refers to them.
    std::uint64_t bytes = 0;
    bool shared = false;  // an image has its layer
    bool needed = false;  // another record stands on it
    bool held = false;    // it is shared, or one that is shared stands on it
};

struct Usage {
    // Files that only images refer to, only the build cache, both, and nobody.
    std::uint64_t images = 0, cache = 0, shared = 0, unreferenced = 0;
    std::uint64_t cache_mounts = 0, mirrors = 0, unpacked = 0;
    std::uint64_t other = 0;           // database, stat cache, what is being written
    std::vector<CacheRecord> records;  // last used first
    std::uint64_t total() const {
        return images + cache + shared + unreferenced + cache_mounts + mirrors + unpacked + other;
    }
};

struct CollectOptions {
    // Which records may go; null: none. One that another record stands on stays as long as that.
    std::function<bool(const CacheRecord&)> may_remove;
    bool unnamed_images = false;
    bool dry_run = false;  // says what would happen
    // With a limit, records go only until it holds: the cheapest to make again for their bytes, and
    // the longest unused, first. `reserved` is what removal never goes below.
    std::optional<std::uint64_t> max_used, min_free, reserved;
};

struct Collected {
    std::vector<CacheRecord> records;
    std::vector<oci::Descriptor> images;  // without a name
    std::uint64_t files = 0, bytes = 0;   // freed
    std::uint64_t left = 0;               // Usage::total() afterwards
};

class Store : public oci::BlobSource {
  public:
    // Creates what is missing. Unsupported if the store was written by a newer version.
    explicit Store(const std::string& root);
    ~Store() override;
    const std::string& root() const;
    // --root, else $SHALE_ROOT, else /var/lib/shale (root) or $XDG_DATA_HOME/shale.
    static std::string default_root();

    // --- blobs -----------------------------------------------------------------------------
    bool has_blob(const Digest& blob) const;
    // With all its bytes: one that was cut short or never finished is as good as absent.
    bool has_whole(const oci::Descriptor& blob);
    bool has_layers_of(const oci::Manifest& manifest);  // all of them, whole
    // Of a foreign layer, or of one whose own table was found wanting: see framed().
    bool has_twin(const Digest& layer) const;
    std::string blob_path(const Digest& blob) const;
    // ByCaller: the bytes are not hashed again, commit() takes the caller's word.
    enum class Hashing { Here, ByCaller };
    BlobWriter new_blob(Hashing hashing = Hashing::Here);
    Digest put_blob(Bytes bytes);
    std::string read_document(const Digest& blob, std::uint64_t limit);  // verified on every read
    std::uint64_t blob_size(const Digest& blob) override;
    void read_blob(const Digest& blob, std::uint64_t offset, MutableBytes out) override;

    // --- framed access to layers --------------------------------------------------------------
    // Blob bytes by layer digest, but of the framed twin where there is one; what TOCs refer to.
    oci::BlobSource& framed();
    // TOC of a layer in the store; the first call on a foreign layer re-frames it (and verifies its
    // DiffID when given). Kept in memory; concurrent callers share the work.
    std::shared_ptr<const layer::Toc> toc(const oci::Descriptor& layer,
                                          const std::optional<Digest>& diff_id = std::nullopt);
    layer::ContentIndex content_index(const std::vector<Digest>& sources);
    // Where the contents of a layer of our own lie, which is known when it has just been written.
    // Otherwise content_index() finds out.
    void put_contents(const Digest& layer, std::shared_ptr<const layer::ContentTable> table);

    // --- images -----------------------------------------------------------------------------
    void tag(const oci::Reference& name, const oci::Descriptor& manifest);
    bool untag(const oci::Reference& name);
    std::optional<oci::Descriptor> resolve(const oci::Reference& name) const;
    std::vector<ImageRecord> images() const;  // sorted by name
    // An image without a name, as a build without --tag makes it. It stays until it is forgotten,
    // or until tag() gives this manifest a name. One that bears a name already is left as it is.
    void keep(const oci::Descriptor& manifest);
    bool forget(const Digest& manifest);  // false if no unnamed image has this manifest
    std::vector<oci::Descriptor> unnamed() const;
    oci::Manifest manifest(const oci::Descriptor& manifest);
    oci::ImageConfig config(const oci::Manifest& manifest);
    // Merges the layers (all must be in the store); remembered by chain of DiffIDs.
    ImageTree image_tree(const oci::Manifest& manifest, const oci::ImageConfig& config);

    // The merged tree if an earlier image_tree() left it behind; reads no layer. Null otherwise.
    // The config is believed about its DiffIDs.
    std::shared_ptr<const snapshot::Tree> known_tree(const oci::ImageConfig& config);

    // --- trees and the build cache -------------------------------------------------------------
    Digest put_tree(const snapshot::Tree& tree);
    std::shared_ptr<const snapshot::Tree> tree(const Digest& digest);  // NotFound if absent
    bool has_tree(const Digest& digest) const;
    // Keys are made by the build; several keys may name one record. A record whose tree or source
    // blobs are gone is not returned.
    std::optional<StepRecord> find_step(const Digest& key);
    void put_step(const Digest& key, const StepRecord& record);

    // --- space -----------------------------------------------------------------------------------
    Usage usage();
    // Removes what `options` allow and every file that nothing refers to. Needs the store for
    // itself: Failed, naming the processes, if others still use it after `patience`. Pinned blobs
    // stay.
    Collected collect(const CollectOptions& options, std::chrono::milliseconds patience);
    // For a reader that lives long: from now on only these layers (and their twins) are needed, and
    // nothing else of this Store may be used. A collection may then happen beside it.
    void pin(const std::vector<Digest>& layers);

    std::string stat_cache_path() const;
    std::string watched_path() const;  // a directory for snapshots of watched build contexts
    // Directories that others fill; the store counts and collects what is in them. Each <hex> has a
    // lock file beside it or within, whose modification time says when it was last used.
    std::string cache_mounts_path() const;    // <hex>/about.json, <hex>/N/, <hex>/N.lock
    std::string git_mirrors_path() const;     // <hex>/, <hex>.lock
    std::string unpacked_steps_path() const;  // unpacked_steps.hpp
    std::string downloads_path() const;       // small files about URLs; not collected
    // A directory for one command's scratch data, on the store's file system.
    TempDir scratch(const std::string& prefix);
    // From now on the scratch data and the pins of this Store outlive the process if it is killed:
    // until somebody discards them, or the machine is started again.
    void keep_scratch();
    // Removes what a process left that had called keep_scratch() and was killed, by any path in it.
    // Nothing happens while that process lives.
    static void discard_scratch(const std::string& path) noexcept;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace shale::store
