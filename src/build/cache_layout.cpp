// Blobs first, then index.json, replaced as a whole: a reader finds the old cache or the new one.
// Writers exclude each other by a lock on the directory itself, so that nothing strange lies in it.
#include "cache_layout.hpp"

#include "archive_parts.hpp"
#include "image_files.hpp"
#include "lock_wait.hpp"
#include "oci_layout.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>

namespace shale::build {
namespace {

// Anybody who may read the directory may hold it.
UniqueFd locked(const std::string& directory, const std::stop_token& stop) {
    auto fd = open_file(directory, O_RDONLY | O_DIRECTORY);
    const auto attempt = [&] {
        if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return true;
        if (errno != EWOULDBLOCK && errno != EINTR) throw_errno("flock", directory);
        return false;
    };
    wait_for_lock(attempt, nullptr, stop);
    return fd;
}

// Never waits for the writer of a pipe, as the directory may be a stranger's.
std::string read_layout_file(const std::string& path) {
    const UniqueFd fd = open_regular_file(path);
    return read_file(fmt::format("/proc/self/fd/{}", fd.get()), oci::kMaxManifestBytes);
}

oci::Index read_index(const std::string& directory) {
    const auto path = join_path(directory, "index.json");
    if (!path_exists(path)) return {};
    return in_context([&] { return path; },
                      [&] { return oci::decode_index(read_layout_file(path)); });
}

// Every blob that the document leads to.
void reach(const std::string& blobs, const Digest& document, int depth,
           std::set<std::string>& out) {
    if (!out.insert(document.hex()).second) return;  // indexes may name one child again and again
    const auto json = read_layout_file(join_path(blobs, document.hex()));
    if (!oci::is_index(json)) {
        const auto manifest = oci::decode_manifest(json);
        out.insert(manifest.config.digest.hex());
        for (const auto& layer : manifest.layers)
            out.insert(layer.digest.hex());
        return;
    }
    if (depth == kMaxNesting) fail(ErrorKind::Corrupt, blobs + ": indexes are nested too deeply");
    for (const auto& child : oci::decode_index(json).manifests)
        reach(blobs, child.digest, depth + 1, out);
}

}  // namespace

CacheLayout::CacheLayout(std::string directory) : directory_(std::move(directory)) {
    blobs_directory(directory_);
}

std::string CacheLayout::blob_path(const Digest& blob) const {
    return join_path(directory_, blob_name(blob));
}

bool CacheLayout::has(const oci::Descriptor& blob) const {
    struct stat status {};
    return ::lstat(blob_path(blob.digest).c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
           static_cast<std::uint64_t>(status.st_size) == blob.size;
}

void CacheLayout::put(const oci::Descriptor& blob, store::Store& store) const {
    if (has(blob)) return;
    write_layout_file(blob_path(blob.digest), blob_part(store, blob).open());
}

void CacheLayout::move_tag(oci::Descriptor descriptor, const std::string& tag) const {
    auto index = read_index(directory_);
    std::erase_if(index.manifests, [&](const oci::Descriptor& entry) {
        const auto name = entry.annotations.find(kRefName);
        return name != entry.annotations.end() && name->second == tag;
    });
    descriptor.annotations[kRefName] = tag;
    index.manifests.push_back(std::move(descriptor));
    write_file_atomic(join_path(directory_, "oci-layout"),
                      as_bytes(std::string_view(R"({"imageLayoutVersion":"1.0.0"})")));
    write_file_atomic(join_path(directory_, "index.json"), as_bytes(oci::encode(index)));
}

void CacheLayout::remove_unreferenced() const {
    const auto blobs = blobs_directory(directory_);
    std::set<std::string> reached;
    for (const auto& entry : read_index(directory_).manifests)
        reach(blobs, entry.digest, 0, reached);
    std::vector<std::string> stale;
    for (const auto& file : std::filesystem::directory_iterator(blobs)) {
        const auto name = file.path().filename().string();
        if (Digest::from_hex(name) && !reached.contains(name)) stale.push_back(file.path());
    }
    for (const auto& path : stale)
        if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw_errno("unlink", path);
}

void CacheLayout::publish(const oci::Descriptor& descriptor, const oci::Manifest& manifest,
                          const std::string& tag, bool reset, store::Store& store,
                          const std::stop_token& stop) {
    const auto lock = locked(directory_, stop);
    for (const auto& layer : manifest.layers)
        put(layer, store);
    put(manifest.config, store);
    put(descriptor, store);
    move_tag(descriptor, tag);
    if (reset) remove_unreferenced();
}

}  // namespace shale::build
