// Opening a store, and the parts of its face that only pass on: tags, trees, step records, scratch.
// Blobs are in blobs.cpp, images in images.cpp.
#include "reserve.hpp"
#include "state.hpp"

#include <shale/store.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

namespace shale::store {

namespace {

constexpr std::string_view kLayoutVersion = R"("1.0.0")";

void check_layout_version(const std::string& path) {
    const auto version =
        in_context([&] { return path; },
                   [&] { return json_member(read_file(path, 64 << 10), "imageLayoutVersion"); });
    if (!version) fail(ErrorKind::Corrupt, path + ": no imageLayoutVersion");
    if (*version != kLayoutVersion)
        fail(ErrorKind::Unsupported, path + ": image layout version " + *version + ", we know " +
                                         std::string(kLayoutVersion));
}

// A store that is there, on a read-only file system or somebody else's.
std::optional<TempDir> place_beside(const std::string& root) {
    if (!path_exists(join_path(root, "oci-layout")) ||
        ::faccessat(AT_FDCWD, root.c_str(), W_OK, AT_EACCESS) == 0)
        return std::nullopt;
    return std::optional<TempDir>(std::in_place, TempDir::default_parent(), "shale-store-");
}

bool is_ours_or_roots(const std::string& path) {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0 && (info.st_uid == 0 || info.st_uid == ::geteuid());
}

std::string absolute(const std::string& path) {
    return std::filesystem::absolute(path).lexically_normal().string();
}

// What a copy of the database may take; without one, layers are verified again.
constexpr std::uint64_t kMostCopied = 256u << 20;

void copy_if_readable(const std::string& from, const std::string& to) {
    try {
        write_file_atomic(to, as_bytes(read_file(from, kMostCopied)), 0600);
    } catch (const Error& error) {
        log(LogLevel::Debug, std::string("not used: ") + error.what());
    }
}

}  // namespace

Layout::Layout(const std::string& root_directory, const std::string& derived_in)
    : root(absolute(root_directory)), blobs(join_path(root, "blobs/sha256")),
      frames(join_path(derived_in, "frames")), places(join_path(derived_in, "places")),
      trees(join_path(derived_in, "trees")), tmp(join_path(derived_in, "tmp")),
      database(join_path(derived_in, "shale.db")), lock(join_path(root, "lock")),
      update_lock(join_path(root, "update.lock")), cache_mounts(join_path(root, "cache-mounts")),
      git_mirrors(join_path(root, "remotes/git")), downloads(join_path(root, "remotes/http")),
      contents(join_path(root, "contents")), unpacked(join_path(root, "unpacked")),
      derived_also(derived_in != root && is_ours_or_roots(root) ? root : ""),
      derived_in_(derived_in) {}

DerivedFiles Layout::derived(const std::string& name) const {
    return {join_path(derived_in_, name),
            derived_also.empty() ? "" : join_path(derived_also, name)};
}

std::vector<std::string> Layout::framed() const {
    const auto twins = derived("frames");
    if (twins.also.empty()) return {twins.own, blobs};
    return {twins.own, twins.also, blobs};
}

Store::State::State(const std::string& root)
    : beside(place_beside(root)), layout(root, beside ? beside->path() : absolute(root)) {
    if (beside) {
        prepare_beside();
    } else {
        make_directories(layout.root);
        // Waits while a collection is under way.
        in_use = std::make_unique<FileLock>(layout.lock, FileLock::Mode::Shared);
        prepare();
    }
    const LayerHome home{
        layout.blobs, layout.derived("frames"), layout.derived("places"), blobs, framed, session,
        *database};
    tocs = std::make_unique<LayerTocs>(home);
    contents = std::make_unique<ContentTables>(home, *tocs);
    if (!beside) remove_leftovers(layout.tmp, system_clock().now_ns());
}

void Store::State::prepare() {
    const FileLock lock(layout.update_lock, FileLock::Mode::Exclusive);
    for (const std::string& directory :
         {layout.blobs, layout.frames, layout.places, layout.trees, layout.tmp})
        make_directories(directory);
    const std::string marker = join_path(layout.root, "oci-layout");
    if (path_exists(marker)) {
        check_layout_version(marker);
    } else {
        sync_directory_of(layout.blobs);
        sync_directory_of(layout.root);
        publish_file(session, "layout", marker, as_bytes(R"({"imageLayoutVersion":"1.0.0"})"));
    }
    tags.create();
    open_database();
    keep_reserve(layout.root);
}

// What the store has made of its blobs is read where it is (DerivedFiles), if its owner may be
// believed; what is known about layers is a copy. Whoever may write does not wait for us, so the
// copy may be torn; without it layers are verified again.
void Store::State::prepare_beside() {
    check_layout_version(join_path(layout.root, "oci-layout"));
    for (const std::string& directory : {layout.frames, layout.places, layout.trees, layout.tmp})
        make_directories(directory);
    if (!layout.derived_also.empty())
        for (const char* suffix : {"", "-wal"})
            copy_if_readable(join_path(layout.root, "shale.db") + suffix, layout.database + suffix);
    try {
        database = std::make_unique<Database>(layout.database);
    } catch (const Error& error) {
        log(LogLevel::Debug, std::string("not used: ") + error.what());
        for (const char* suffix : {"", "-wal", "-shm"})
            ::unlink((layout.database + suffix).c_str());
        database = std::make_unique<Database>(layout.database);
    }
}

void Store::State::open_database() {
    try {
        database = std::make_unique<Database>(layout.database);
    } catch (const Error& error) {
        // SQLite says "disk I/O error", or "unable to open".
        const bool may_be_full =
            error.kind() == ErrorKind::System || error.kind() == ErrorKind::Denied;
        if (!may_be_full || !is_full(layout.root)) throw;
        if (!use_reserve(layout.root))
            throw Error(ErrorKind::System, std::string(error.what()) + ": the disk is full",
                        ENOSPC);
        log(LogLevel::Warn, "the disk is full; the store's reserve is in use: `shale "
                            "prune` and `shale rm` make room");
        database = std::make_unique<Database>(layout.database);
    }
}

void Store::State::require_writable() const {
    if (beside) fail(ErrorKind::Denied, "the store '" + layout.root + "' can only be read");
}

Store::Store(const std::string& root)
    : state_(in_context([&] { return "opening store '" + root + "'"; },
                        [&] { return std::make_unique<State>(root); })) {}
Store::~Store() = default;

const std::string& Store::root() const {
    return state_->layout.root;
}

std::string Store::default_root() {
    const auto variable = [](const char* name) {
        const char* value = std::getenv(name);
        return std::string(value ? value : "");
    };
    if (auto root = variable("SHALE_ROOT"); !root.empty()) return root;
    if (::geteuid() == 0) return "/var/lib/shale";
    // The base directory specification tells to ignore relative values.
    if (auto data = variable("XDG_DATA_HOME"); data.starts_with('/'))
        return join_path(data, "shale");
    if (auto home = variable("HOME"); home.starts_with('/'))
        return join_path(home, ".local/share/shale");
    fail(ErrorKind::Invalid, "no place for the store: set SHALE_ROOT or HOME");
}

void Store::tag(const oci::Reference& name, const oci::Descriptor& manifest) {
    state_->require_writable();
    if (!has_blob(manifest.digest))
        fail(ErrorKind::NotFound, "cannot tag " + name.familiar() + ": manifest " +
                                      manifest.digest.str() + " is not in the store");
    state_->tags.set(name, manifest);
}
bool Store::untag(const oci::Reference& name) {
    state_->require_writable();
    return state_->tags.remove(name);
}
void Store::keep(const oci::Descriptor& manifest) {
    state_->require_writable();
    if (!has_blob(manifest.digest))
        fail(ErrorKind::NotFound,
             "cannot keep an image: manifest " + manifest.digest.str() + " is not in the store");
    state_->tags.keep(manifest);
}
bool Store::forget(const Digest& manifest) {
    state_->require_writable();
    return state_->tags.forget(manifest);
}
std::vector<oci::Descriptor> Store::unnamed() const {
    return state_->tags.unnamed();
}
std::optional<oci::Descriptor> Store::resolve(const oci::Reference& name) const {
    return state_->tags.find(name);
}
std::vector<ImageRecord> Store::images() const {
    return state_->tags.list();
}

Digest Store::put_tree(const snapshot::Tree& tree) {
    return state_->trees.put(tree);
}
bool Store::has_tree(const Digest& digest) const {
    return state_->trees.has(digest);
}
std::shared_ptr<const snapshot::Tree> Store::tree(const Digest& digest) {
    if (auto tree = state_->trees.find(digest)) return tree;
    fail(ErrorKind::NotFound, "snapshot " + digest.str() + " is not in the store");
}

std::optional<StepRecord> Store::find_step(const Digest& key) {
    auto record = state_->database->find_step(key);
    if (!record || !has_tree(record->tree)) return std::nullopt;
    const auto present = [&](const Digest& blob) { return has_blob(blob); };
    if (!std::all_of(record->sources.begin(), record->sources.end(), present)) return std::nullopt;
    if (record->layer && !has_whole(*record->layer)) {
        // A layer can be made again from the tree and its sources, unless it is one of them.
        if (std::ranges::count(record->sources, record->layer->digest) != 0) return std::nullopt;
        record->layer.reset();
        record->diff_id.reset();
    }
    state_->database->touch_step(key, system_clock().now_ns());
    return record;
}

void Store::put_step(const Digest& key, const StepRecord& record) {
    // The step that wrote the layer hashed its tar: nobody needs to read it again to know its
    // DiffID. One with a twin came from elsewhere, and its own table was found wanting: nothing may
    // vouch for that when the twin is lost.
    if (record.layer && record.diff_id && !has_twin(record.layer->digest))
        state_->database->put_diff_id(record.layer->digest, *record.diff_id);
    state_->database->put_step(key, record);
}

std::string Store::stat_cache_path() const {
    return join_path(state_->layout.root, "stat-cache");
}

std::string Store::watched_path() const {
    return join_path(state_->layout.root, "watched");
}

std::string Store::cache_mounts_path() const {
    return state_->layout.cache_mounts;
}

std::string Store::git_mirrors_path() const {
    return state_->layout.git_mirrors;
}

std::string Store::unpacked_steps_path() const {
    return state_->layout.unpacked;
}

std::string Store::downloads_path() const {
    return state_->layout.downloads;
}

TempDir Store::scratch(const std::string& prefix) {
    return TempDir(state_->session.directory(), prefix);
}

void Store::keep_scratch() {
    state_->session.keep();
}

// ".../tmp/session-XXXXXX/what/ever"
void Store::discard_scratch(const std::string& path) noexcept {
    constexpr std::string_view kSession = "/tmp/session-";
    const auto at = path.rfind(kSession);  // the store may lie in anything
    if (at == std::string::npos) return;
    discard_session(path.substr(0, path.find('/', at + kSession.size())));
}

}  // namespace shale::store
