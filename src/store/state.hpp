// What a Store consists of, in the order in which it comes to life.
#pragma once

#include "blob_files.hpp"
#include "content_tables.hpp"
#include "database.hpp"
#include "durable.hpp"
#include "layer_tocs.hpp"
#include "tags.hpp"
#include "trees.hpp"

#include <shale/store.hpp>

#include <string>

namespace shale::store {

// Absolute paths of everything below the root.
struct Layout {
    explicit Layout(const std::string& root_directory);
    std::string root, blobs, frames, places, trees, tmp, database, lock, update_lock;
    std::string cache_mounts, git_mirrors, downloads, contents;
};

struct Store::State {
    explicit State(const std::string& root);

    // Creates what is missing, under the update lock; checks the layout version.
    void prepare();
    std::string blob_path(const Digest& blob) const { return join_path(layout.blobs, blob.hex()); }

    Layout layout;
    Session session{layout.tmp};
    BlobFiles blobs{{layout.blobs}};
    BlobFiles framed{{layout.frames, layout.blobs}};
    Tags tags{layout.root, layout.update_lock, session};
    Trees trees{layout.trees, session};
    // Below: made once the directories exist.
    std::unique_ptr<FileLock> in_use;  // shared, for the life of the Store
    std::unique_ptr<Database> database;
    std::unique_ptr<LayerTocs> tocs;
    std::unique_ptr<ContentTables> contents;
};

}  // namespace shale::store
