// Where contents lie in the layers of the store, kept in files so that nobody reads a table of
// contents of a million entries to find one of them.
#pragma once

#include "durable.hpp"
#include "layer_tocs.hpp"
#include "lru_cache.hpp"

#include <shale/base.hpp>
#include <shale/layer.hpp>

#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace shale::store {

// Safe from any thread. The files are made of tables of contents and can be made again at any time,
// so they are not synced; a torn or damaged one is found out by its checksum and made again.
class ContentTables {
  public:
    using Table = std::shared_ptr<const layer::ContentTable>;

    // `tocs` must outlive it, and what `home` refers to.
    ContentTables(const LayerHome& home, LayerTocs& tocs);
    // NotFound if the store has no such layer.
    Table get(const Digest& blob);
    // Of a layer that was just written.
    void put(const Digest& blob, Table table);

  private:
    Table find(const Digest& blob);
    Table load(const std::string& path) const;
    Table keep(const Digest& blob, Table table);

    LayerHome home_;
    LayerTocs& tocs_;
    std::mutex mutex_;
    LruCache<Digest, Table, DigestHash> cache_;
};

}  // namespace shale::store
