// lazy: layers that stay in their registry: a table of contents comes with one request, a frame
// with another when somebody reads it, and every byte is verified before it is shown.
//
// What vouches for what: the manifest, whose digest names the image, states the digest of each
// layer's tail (its table of contents and footer); the table states the digest of each frame. Of
// zstd:chunked, eStargz and zstd:stargz it states that of the table, which states those of the
// contents, or of their chunks. The DiffID cannot be checked without the whole layer: what a lazy
// image shows is what its table says.
//
// What is fetched before somebody asks: frames behind those that are read one after another, never
// more of them than were read up to there; and, in the background, what a list of earlier
// reads names, or what the maker of an eStargz put first, or all.
#pragma once

#include <shale/base.hpp>
#include <shale/layer.hpp>
#include <shale/oci.hpp>

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace shale::lazy {

// Safe from any thread once the layers are added.
class RemoteBlobs final : public oci::BlobSource {
  public:
    // Fills `out` with the bytes of a layer from `offset`; throws if it cannot. Called from several
    // threads at a time.
    using Fetch =
        std::function<void(const oci::Descriptor& layer, std::uint64_t offset, MutableBytes out)>;
    // Blobs that were not added are `local`'s, which outlives this. Frames that were fetched are
    // kept in unnamed files in `directory`.
    RemoteBlobs(Fetch fetch, oci::BlobSource& local, std::string directory);
    // Waits for fetches under way: whoever cannot wait makes Fetch throw.
    ~RemoteBlobs() override;

    // Fetches the tables of contents, several at a time. Null, and not added, is a layer that
    // cannot be read in parts: the manifest does not vouch for a table, or the table not for its
    // frames. Corrupt if a table is not the one that the manifest means, or if one layer is
    // described in two ways; Unsupported if all tables together are too large. Nothing more can be
    // done with this then.
    using Tocs = std::vector<std::shared_ptr<const layer::Toc>>;
    Tocs add(std::span<const oci::Descriptor> layers);
    std::shared_ptr<const layer::Toc> add(const oci::Descriptor& layer);

    std::uint64_t blob_size(const Digest& blob) override;
    // Of a remote blob: its tail, or exactly one frame. Corrupt if what comes is not what the table
    // says of it.
    void read_blob(const Digest& blob, std::uint64_t offset, MutableBytes out) override;

    struct Place {  // of a frame
        Digest blob;
        std::uint64_t offset = 0;
        bool operator==(const Place&) const = default;
    };
    // All of the layers that were added.
    std::vector<Place> frames() const;
    // Those that makers of eStargz layers put before the landmark, as what a container reads first;
    // at most 64 MiB.
    std::vector<Place> frames_put_first() const;
    // For fork(2): while this is not allowed, only readers fetch, and there is no thread of ours.
    // To begin with it is. Not to be disallowed once something was fetched ahead.
    void allow_ahead(bool is_allowed);
    // Frames may have been kept by a process that this one is a copy of, and that was killed: they
    // are looked for, and verified, before they are fetched.
    void look_for_kept();
    // Fetches these in the background, in this order, neighbours with one request; what is here, or
    // of no remote blob, is passed over. What could not be fetched is tried once more in the end;
    // all is given up when several fetches in a row failed. `done` is called then, from there,
    // unless this ends first: with null if all is here, else with a failure. Once in the life of
    // this.
    void fetch_in_background(std::vector<Place> frames,
                             std::function<void(std::exception_ptr)> done);

    struct Stats {
        std::uint64_t requests = 0, bytes = 0;
    };
    Stats stats() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

// Corrupt if a layer is there twice, described in two ways: one blob is read by one table.
void check_repeats(std::span<const oci::Descriptor> layers);

// Corrupt if a content has two sizes, or is empty by name and not in fact: readers find contents by
// digest, and of what was not read as a whole that is its table's word alone.
void check_contents(std::span<const std::shared_ptr<const layer::Toc>> tocs);

// The frames that hold these contents, in their order, each once.
std::vector<RemoteBlobs::Place> frames_of(const layer::ContentIndex& index,
                                          std::span<const Digest> contents);

// ---------------------------------------------------------------------------------------------
// Which contents of an image were read first: what the next mount of one like it fetches ahead.
// Contents are named by digest, so that a list serves other versions of the image, too.

// More are not noted, nor read.
inline constexpr std::size_t kMostAccesses = 200'000;

// Safe from any thread.
class AccessRecorder {
  public:
    void note(const Digest& content);
    std::vector<Digest> contents() const;  // in the order of their first note

  private:
    mutable std::mutex mutex_;
    std::vector<Digest> order_;
    std::unordered_set<Digest, DigestHash> noted_;
};

// A text file: docs/formats/access-list.md. `about` is a line for people.
std::string encode_access_list(std::string_view about, const std::vector<Digest>& contents);
// Corrupt, naming the line.
std::vector<Digest> decode_access_list(std::string_view text);

}  // namespace shale::lazy
