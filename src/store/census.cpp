#include "census.hpp"

#include "foundations.hpp"

#include <shale/snapshot_file.hpp>

#include <algorithm>
#include <filesystem>
#include <utility>

namespace shale::store {

namespace {

namespace fs = std::filesystem;

// Files named by a digest and `suffix`. Others are not ours, and stay.
StoredFiles files_in(const std::string& directory, std::string_view suffix = {}) {
    StoredFiles files;
    for (const auto& item : fs::directory_iterator(directory)) {
        const std::string path = item.path().string();
        const std::string name = item.path().filename().string();
        if (!name.ends_with(suffix)) continue;
        const auto stem = std::string_view(name).substr(0, name.size() - suffix.size());
        if (const auto digest = Digest::from_hex(stem)) files[*digest] = {path, blocks_of(path)};
    }
    return files;
}

// Of a file that cannot be read for good there is none to keep; nobody can read the patch either.
std::optional<Digest> base_of(const std::string& tree) {
    try {
        return snapshot::base_of_patch_file(tree);
    } catch (const Error& error) {
        const int why = error.sys_errno();
        if (why != EIO && why != EISDIR && why != EACCES && why != ELOOP) throw;
        return std::nullopt;
    }
}

// What is neither blobs, twins and trees nor a cache directory.
std::uint64_t blocks_of_rest(const Layout& layout) {
    const auto is_counted = [&](const fs::path& path) {
        const auto name = path.filename();
        return path == layout.frames || path == layout.places || path == layout.trees ||
               path == layout.contents || path == layout.cache_mounts || path == layout.unpacked ||
               name == "blobs" || name == "remotes";
    };
    std::uint64_t bytes = blocks_below(layout.downloads);
    for (const auto& item : fs::directory_iterator(layout.root)) {
        const std::string path = item.path().string();
        if (is_counted(item.path())) continue;
        bytes += item.is_directory() && !item.is_symlink() ? blocks_below(path) : blocks_of(path);
    }
    return bytes;
}

}  // namespace

Census Census::take(Store& store, const Layout& layout, const Tags& tags, Database& database,
                    bool with_unnamed) {
    Census census;
    census.blobs = files_in(layout.blobs);
    census.twins = files_in(layout.frames);
    census.places = files_in(layout.places);
    census.twin_places = files_in(layout.places, kTwinSuffix);
    census.trees = files_in(layout.trees);
    for (const auto& [digest, file] : census.trees)
        if (const auto base = base_of(file.path)) census.bases[digest] = *base;
    if (path_exists(layout.contents)) census.contents = files_in(layout.contents);
    census.beside = cache_directories(layout);
    census.other = blocks_of_rest(layout);
    for (const auto& image : tags.all(with_unnamed))
        add_image(store, image, census.images);
    for (const auto& [chain, tree] : database.chains())
        if (census.images.chains.contains(chain))
            for (const Digest& needed : census.with_base(tree))
                census.images.trees.insert(needed);
    for (const Digest& blob : pinned_blobs(layout.tmp))
        census.pinned.insert(blob);
    census.groups = group_records(database.steps());
    return census;
}

std::uint64_t Census::blob_bytes(const Digest& blob) const {
    std::uint64_t bytes = 0;
    for (const StoredFiles* files : of_blobs())
        if (const auto found = files->find(blob); found != files->end())
            bytes += found->second.bytes;
    return bytes;
}

std::vector<Digest> Census::with_base(const Digest& tree) const {
    const auto base = bases.find(tree);
    if (base == bases.end()) return {tree};
    return {tree, base->second};
}

std::uint64_t Census::tree_bytes(const Digest& tree) const {
    const auto found = trees.find(tree);
    return found == trees.end() ? 0 : found->second.bytes;
}

namespace {

// From each record that an image shares down to all that it stands on.
void mark_held(const Census& census, const Foundations& foundations,
               std::vector<CacheRecord>& records) {
    std::unordered_multimap<Digest, std::size_t, DigestHash> named;
    std::vector<std::size_t> waiting;
    const auto hold = [&](std::size_t at) {
        if (std::exchange(records[at].held, true)) return;
        waiting.push_back(at);
    };
    for (std::size_t at = 0; at < records.size(); ++at)
        if (const auto name = foundations.name(census.groups[at])) named.emplace(*name, at);
    for (std::size_t at = 0; at < records.size(); ++at)
        if (records[at].shared) hold(at);
    while (!waiting.empty()) {
        const auto& group = census.groups[waiting.back()];
        waiting.pop_back();
        for (const Digest& name : foundations.below(group)) {
            const auto [first, last] = named.equal_range(name);
            for (auto below = first; below != last; ++below)
                hold(below->second);
        }
    }
}

}  // namespace

std::vector<CacheRecord> describe_records(const Census& census) {
    const Foundations foundations(census.groups);
    Digests needed;
    for (const auto& group : census.groups)
        for (const Digest& name : foundations.below(group))
            needed.insert(name);

    std::vector<CacheRecord> records;
    for (const auto& group : census.groups) {
        CacheRecord record;
        record.id = group.keys.front();
        record.name = group.record.name;
        record.created_ns = group.record.created_ns;
        record.used_ns = group.used_ns;
        record.cost_ms = group.record.cost_ms;
        record.bytes = census.tree_bytes(group.record.tree);
        if (const auto& layer = group.record.layer) {
            record.bytes += census.blob_bytes(layer->digest);
            record.shared = foundations.is_in(group, census.images.blobs);
            record.needed = needed.contains(*foundations.name(group));
        }
        records.push_back(std::move(record));
    }
    mark_held(census, foundations, records);
    return records;
}

Usage Store::usage() {
    const Census census =
        Census::take(*this, state_->layout, state_->tags, *state_->database, true);
    Digests cached_blobs, cached_trees;
    for (const auto& group : census.groups) {
        for (const Digest& blob : group.blobs())
            cached_blobs.insert(blob);
        for (const Digest& tree : census.with_base(group.record.tree))
            cached_trees.insert(tree);
    }
    Usage usage;
    usage.other = census.other;
    const auto count = [&](const StoredFiles& files, const Digests& by_images,
                           const Digests& by_cache) {
        for (const auto& [digest, file] : files) {
            const bool image = by_images.contains(digest), cache = by_cache.contains(digest);
            (image && cache ? usage.shared
             : image        ? usage.images
             : cache        ? usage.cache
                            : usage.unreferenced) += file.bytes;
        }
    };
    for (const StoredFiles* files : census.of_blobs())
        count(*files, census.images.blobs, cached_blobs);
    count(census.trees, census.images.trees, cached_trees);
    count(census.contents, {}, {});
    usage.records = describe_records(census);
    for (const auto& [record, paths] : census.beside) {
        (record.kind == RecordKind::CacheMount  ? usage.cache_mounts
         : record.kind == RecordKind::GitMirror ? usage.mirrors
                                                : usage.unpacked) += record.bytes;
        usage.records.push_back(record);
    }
    std::stable_sort(usage.records.begin(), usage.records.end(),
                     [](const auto& a, const auto& b) { return a.used_ns > b.used_ns; });
    return usage;
}

}  // namespace shale::store
