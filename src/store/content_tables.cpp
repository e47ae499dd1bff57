#include "content_tables.hpp"

#include <unistd.h>

namespace shale::store {

namespace {

// Bytes of tables kept at hand after their last user let go. Those in files cost address space, not
// memory, but files that were removed stay on disk as long as they are mapped.
constexpr std::size_t kCachedBytes = 256u << 20;
// Below this, reading the table of contents takes a few milliseconds, and a file more than it
// saves.
constexpr std::size_t kLeastContents = 4096;

}  // namespace

ContentTables::ContentTables(const LayerHome& home, LayerTocs& tocs)
    : home_(home), tocs_(tocs), cache_(kCachedBytes) {}

ContentTables::Table ContentTables::find(const Digest& blob) {
    const std::lock_guard lock(mutex_);
    const auto found = cache_.find(blob);
    return found ? *found : nullptr;
}

// Null if there is no file, or none that is whole.
ContentTables::Table ContentTables::load(const std::string& path) const {
    try {
        return std::make_shared<const layer::ContentTable>(Mapping(path));
    } catch (const Error& error) {
        if (error.kind() == ErrorKind::Corrupt) ::unlink(path.c_str());
        return nullptr;
    }
}

ContentTables::Table ContentTables::get(const Digest& blob) {
    if (auto known = find(blob)) return known;
    const bool of_twin = tocs_.has_twin(blob);
    // Another process may have made the twin while we had the plain blob open.
    if (of_twin) home_.framed.forget(blob);
    home_.framed.blob_size(blob);  // or it is not there
    if (auto stored = load(home_.places.find(LayerHome::places_name(blob, of_twin))))
        return keep(blob, std::move(stored));
    oci::Descriptor layer;
    layer.digest = blob;
    auto made = std::make_shared<const layer::ContentTable>(*tocs_.get(layer, std::nullopt));
    put(blob, made);
    return made;
}

void ContentTables::put(const Digest& blob, Table table) {
    if (table->size() >= kLeastContents) {
        const std::string path =
            home_.places.path(LayerHome::places_name(blob, tocs_.has_twin(blob)));
        try {
            TempFile file(home_.session, "places");
            file.write(table->bytes());
            file.publish_unsynced(path);
            if (auto stored = load(path)) table = std::move(stored);  // and not the one in memory
        } catch (const Error&) {  // a full disk, say: it stays in memory
        }
    }
    keep(blob, std::move(table));
}

ContentTables::Table ContentTables::keep(const Digest& blob, Table table) {
    const std::lock_guard lock(mutex_);
    cache_.put(blob, table, table->bytes().size() + 1);
    return table;
}

}  // namespace shale::store
