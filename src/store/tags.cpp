// Reads and replaces index.json.
#include "tags.hpp"

#include <algorithm>

namespace shale::store {

namespace {

constexpr std::uint64_t kMaxIndexBytes = 16u << 20;

// What was tagged, without the annotations that did it.
oci::Descriptor without_name(oci::Descriptor descriptor) {
    descriptor.annotations.erase(std::string(kRefNameKey));
    descriptor.annotations.erase(std::string(kContainerdNameKey));
    descriptor.annotations.erase(std::string(kUnnamedKey));
    return descriptor;
}

bool same_repository(const oci::Reference& left, const oci::Reference& right) {
    return left.domain == right.domain && left.repository == right.repository;
}

}  // namespace

Tags::Tags(const std::string& root, std::string lock_path, Session& session)
    : path_(join_path(root, "index.json")), lock_path_(std::move(lock_path)), session_(session) {}

void Tags::create() {
    if (!path_exists(path_)) write(IndexFile::empty());
}

IndexFile Tags::read() const {
    return in_context([&] { return path_; },
                      [&] { return IndexFile::parse(read_file(path_, kMaxIndexBytes)); });
}

void Tags::write(const IndexFile& index) {
    publish_file(session_, "index", path_, as_bytes(index.str()));
}

void Tags::set(const oci::Reference& name, const oci::Descriptor& manifest) {
    const FileLock lock(lock_path_, FileLock::Mode::Exclusive);
    IndexFile index = read();
    const std::string before = index.str();
    index.put(name, manifest);
    if (index.str() == before)
        sync_directory_of(path_);  // a rebuild that changed nothing waits for no disk
    else
        write(index);
}

bool Tags::remove(const oci::Reference& name) {
    const FileLock lock(lock_path_, FileLock::Mode::Exclusive);
    IndexFile index = read();
    const bool removed = index.remove(name);
    if (removed) write(index);
    return removed;
}

void Tags::keep(const oci::Descriptor& manifest) {
    const FileLock lock(lock_path_, FileLock::Mode::Exclusive);
    IndexFile index = read();
    if (index.keep(manifest))
        write(index);
    else
        sync_directory_of(path_);
}

bool Tags::forget(const Digest& manifest) {
    const FileLock lock(lock_path_, FileLock::Mode::Exclusive);
    IndexFile index = read();
    const bool removed = index.forget(manifest);
    if (removed) write(index);
    return removed;
}

std::vector<oci::Descriptor> Tags::unnamed() const {
    std::vector<oci::Descriptor> manifests;
    const IndexFile index = read();
    for (const auto& item : index.items())
        if (item.unnamed) manifests.push_back(without_name(*item.descriptor));
    return manifests;
}

std::vector<oci::Descriptor> Tags::all(bool with_unnamed) const {
    std::vector<oci::Descriptor> listed;
    const IndexFile index = read();
    for (const auto& item : index.items())
        if (item.descriptor && (with_unnamed || !item.unnamed)) listed.push_back(*item.descriptor);
    return listed;
}

std::optional<oci::Descriptor> Tags::find(const oci::Reference& name) const {
    const IndexFile index = read();
    const auto& items = index.items();
    const auto exact = std::find_if(items.begin(), items.end(),
                                    [&](const auto& item) { return item.name == name; });
    if (exact != items.end()) return without_name(*exact->descriptor);
    if (!name.digest) return std::nullopt;
    // "app:1@sha256:..." asks for a digest; under which tag of the repository it came is no matter.
    const auto by_digest = std::find_if(items.begin(), items.end(), [&](const auto& item) {
        return item.name && same_repository(*item.name, name) &&
               (item.name->digest == name.digest || item.descriptor->digest == *name.digest);
    });
    if (by_digest == items.end()) return std::nullopt;
    return without_name(*by_digest->descriptor);
}

std::vector<ImageRecord> Tags::list() const {
    std::vector<ImageRecord> records;
    const IndexFile index = read();
    for (const auto& item : index.items())
        if (item.name) records.push_back({*item.name, without_name(*item.descriptor)});
    std::stable_sort(records.begin(), records.end(), [](const auto& left, const auto& right) {
        return left.name.str() < right.name.str();
    });
    // Another tool may have put a second spelling of a name; find() takes the first, so do we.
    records.erase(
        std::unique(records.begin(), records.end(),
                    [](const auto& left, const auto& right) { return left.name == right.name; }),
        records.end());
    return records;
}

}  // namespace shale::store
