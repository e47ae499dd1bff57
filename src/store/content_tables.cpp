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

ContentTables::ContentTables(std::string directory, const LayerHome& home, LayerTocs& tocs)
    : directory_(std::move(directory)), home_(home), tocs_(tocs), cache_(kCachedBytes) {}

// Another one for the layer's twin, whose frames lie elsewhere.
std::string ContentTables::path(const Digest& blob) const {
    const bool has_twin = path_exists(join_path(home_.frames_directory, blob.hex()));
    std::string name = blob.hex();
    if (has_twin) name.append(kTwinSuffix);
    return join_path(directory_, name);
}

ContentTables::Table ContentTables::find(const Digest& blob) {
    const std::lock_guard lock(mutex_);
    const auto found = cache_.find(blob);
    return found ? *found : nullptr;
}

// Null if there is no file, or none that is whole.
ContentTables::Table ContentTables::load(const Digest& blob) const {
    try {
        return std::make_shared<const layer::ContentTable>(Mapping(path(blob)));
    } catch (const Error& error) {
        if (error.kind() == ErrorKind::Corrupt) ::unlink(path(blob).c_str());
        return nullptr;
    }
}

ContentTables::Table ContentTables::get(const Digest& blob) {
    if (auto known = find(blob)) return known;
    home_.framed.blob_size(blob);  // or it is not there
    if (auto stored = load(blob)) return keep(blob, std::move(stored));
    oci::Descriptor layer;
    layer.digest = blob;
    auto made = std::make_shared<const layer::ContentTable>(*tocs_.get(layer, std::nullopt));
    put(blob, made);
    return made;
}

void ContentTables::put(const Digest& blob, Table table) {
    if (table->size() >= kLeastContents) {
        try {
            TempFile file(home_.session, "places");
            file.write(table->bytes());
            file.publish_unsynced(path(blob));
            if (auto stored = load(blob)) table = std::move(stored);  // and not the one in memory
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
