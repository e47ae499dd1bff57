// What a Store consists of, in the order in which it comes to life.
#pragma once

#include "blob_files.hpp"
#include "content_tables.hpp"
#include "database.hpp"
#include "derived_files.hpp"
#include "durable.hpp"
#include "layer_tocs.hpp"
#include "tags.hpp"
#include "trees.hpp"

#include <shale/store.hpp>

#include <optional>
#include <string>
#include <vector>

namespace shale::store {

// Absolute paths of everything below the root, or, of what can be made again, below `derived_in`.
struct Layout {
    Layout(const std::string& root_directory, const std::string& derived_in);
    std::string root, blobs, frames, places, trees, tmp, database, lock, update_lock;
    std::string cache_mounts, git_mirrors, downloads, contents, unpacked;

    // What is derived, and where else there is more of it.
    DerivedFiles derived(const std::string& name) const;
    // Where the frames of a layer are looked for: its twin, wherever that is, then itself.
    std::vector<std::string> framed() const;
    // Of a store that can only be read: its root, if its owner's word about the blobs is good for
    // us; else empty. Blobs are known by their digests, what was made of them is not.
    std::string derived_also;

  private:
    std::string derived_in_;
};

struct Store::State {
    explicit State(const std::string& root);

    // Creates what is missing, under the update lock; checks the layout version.
    void prepare();
    // The same where nothing may be written.
    void prepare_beside();
    void open_database();
    void require_writable() const;
    std::string blob_path(const Digest& blob) const { return join_path(layout.blobs, blob.hex()); }

    // Of a store that may only be read: what is made of its contents, as long as it is open.
    const std::optional<TempDir> beside;
    Layout layout;
    Session session{layout.tmp};
    BlobFiles blobs{{layout.blobs}};
    BlobFiles framed{layout.framed()};
    Tags tags{layout.root, layout.update_lock, session};
    Trees trees{layout.derived("trees"), session};
    // Below: made once the directories exist.
    std::unique_ptr<FileLock> in_use;  // shared, for the life of the Store; null with `beside`
    std::unique_ptr<Database> database;
    std::unique_ptr<LayerTocs> tocs;
    std::unique_ptr<ContentTables> contents;
};

}  // namespace shale::store
