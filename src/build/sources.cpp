// Every source is a step over nothing: a record in the store under a key, holding a tree and the
// layer that brought its contents. Downloads have two: the contents under their digest, and the
// file with its name and time, which is only a tree.
#include "sources.hpp"

#include "archive.hpp"
#include "credentials.hpp"
#include "key.hpp"
#include "open_context.hpp"
#include "stage.hpp"
#include "step.hpp"

#include <shale/codec.hpp>

#include <fcntl.h>

#include <algorithm>

namespace shale::build {
namespace {

using snapshot::NodeId;
using store::StepRecord;

// The name of a download's contents while they have no other.
constexpr const char* kContentName = "content";

Source source_of(store::Store& store, const Digest& key, const StepRecord& record) {
    Source source;
    source.root =
        std::make_shared<Root>(Key("source").add("key", key).add("tree", record.tree).finish(),
                               [&store, tree = record.tree, sources = record.sources] {
                                   return LoadedRoot{store.tree(tree), sources};
                               });
    source.layer = std::make_shared<LayerSlot>();
    source.layer->blob = record.layer;
    if (record.diff_id) source.layer->diff_id = *record.diff_id;
    source.layer->created_ns = record.created_ns;
    source.layer->before = empty_root();
    source.layer->after = source.root;
    source.layer->record_key = key;
    source.layer->record = record;
    return source;
}

// `content` is null if the contents are in `sources` already; then no layer is made.
StepRecord put_source(store::Store& store, const Digest& key, const snapshot::Tree& tree,
                      const std::vector<Digest>& sources, const layer::OpenContent& content,
                      const std::string& name, const Clock& clock) {
    StepRecord record;
    if (content) {
        const auto nothing = snapshot::TreeBuilder().finish();
        const auto stored = store_layer(store, nothing, tree, sources, content);
        record.layer = stored.descriptor;
        record.diff_id = stored.diff_id;
        record.sources = {stored.descriptor.digest};
    } else {
        record.sources = sources;
    }
    record.tree = store.put_tree(tree);
    record.created_ns = clock.now_ns();
    record.name = name;
    store.put_step(key, record);
    return record;
}

// The tree with every entry changed by `change`.
template <typename Change>
snapshot::Tree with_each(const snapshot::Tree& tree, Change&& change) {
    snapshot::TreeBuilder builder(tree);
    for (NodeId node = 0; node < tree.size(); ++node) {
        auto spec = tree.entry(node).spec();
        change(spec);
        builder.put(tree.path(node), std::move(spec));
    }
    return builder.finish();
}

// As every checkout is to look, whoever made it: the executable bit is all that git knows.
snapshot::Tree normalised(const snapshot::Tree& tree, std::int64_t mtime_ns) {
    return with_each(tree, [&](snapshot::EntrySpec& spec) {
        const bool is_executable = (spec.mode & 0100) != 0;
        if (spec.type == FileType::Regular) spec.mode = is_executable ? 0755 : 0644;
        if (spec.type == FileType::Directory) spec.mode = 0755;
        spec.mtime_ns = mtime_ns;
        spec.link_group = 0;
    });
}

snapshot::Tree in_whole_seconds(const snapshot::Tree& tree) {
    return with_each(
        tree, [](snapshot::EntrySpec& spec) { spec.mtime_ns = whole_seconds(spec.mtime_ns); });
}

snapshot::Tree scan_checkout(const std::string& directory, std::int64_t mtime_ns) {
    snapshot::ScanOptions options;
    options.zero_owner = true;
    options.walk.keep_xattr = [](std::string_view) { return false; };
    return normalised(snapshot::scan(directory, options), mtime_ns);
}

Digest git_key(const remote::GitReference& reference, const remote::GitCommit& commit,
               const GitOptions& options) {
    Key key("git");
    key.add("commit", commit.commit).add("directory", reference.directory);
    key.add("submodules", static_cast<std::uint64_t>(reference.submodules.value_or(true)));
    key.add("times", static_cast<std::uint64_t>(options.times_of_commit));
    key.add("git-dir", static_cast<std::uint64_t>(options.keep_git_dir));
    // What is in .git depends on how the commit was named, and says where it came from.
    if (options.keep_git_dir)
        key.add("object", commit.object)
            .add("ref", commit.ref)
            .add("remote", http::without_password(reference.remote));
    return key.finish();
}

std::optional<std::int64_t> newest_file(Root& root) {
    const auto& tree = *root.load().tree;
    std::optional<std::int64_t> newest;
    for (NodeId node = 0; node < tree.size(); ++node) {
        const auto entry = tree.entry(node);
        if (entry.type != FileType::Regular) continue;
        const auto seconds = entry.mtime_ns / kNsPerSecond;
        newest = std::max(newest.value_or(seconds), seconds);
    }
    return newest;
}

// A URL as others may see it: neither who asked nor what let them, and a query may be a signature.
std::string masked(const std::string& url) {
    const auto query = url.find('?');
    auto shown = http::without_password(url.substr(0, query));
    constexpr std::string_view kHidden = "://***@";
    if (const auto at = shown.find(kHidden); at != std::string::npos)
        shown.replace(at, kHidden.size(), "://xxxxx:xxxxx@");  // as provenance has it elsewhere
    return shown + (query == std::string::npos ? "" : "?xxxxx");
}

std::string material_uri(const remote::GitReference& reference) {
    return masked(reference.remote) + (reference.ref.empty() ? "" : "#" + reference.ref);
}

std::string shown(const remote::GitReference& reference) {
    auto text = http::without_password(reference.remote);
    if (!reference.ref.empty() || !reference.directory.empty()) text += "#" + reference.ref;
    if (!reference.directory.empty()) text += ":" + reference.directory;
    return text;
}

}  // namespace

Source Sources::git(const remote::GitReference& reference, const GitOptions& options) {
    Key key("git-request");
    key.add("remote", reference.remote).add("ref", reference.ref);
    key.add("directory", reference.directory).add("commit", reference.commit);
    key.add("submodules", static_cast<std::uint64_t>(reference.submodules.value_or(true)));
    key.add("believe", static_cast<std::uint64_t>(reference.fetch_by_commit));
    key.add("times", static_cast<std::uint64_t>(options.times_of_commit));
    key.add("git-dir", static_cast<std::uint64_t>(options.keep_git_dir));
    return made_.get(key.finish().hex(), [&] { return make_git(reference, options); }).first;
}

Source Sources::make_git(const remote::GitReference& reference, const GitOptions& options) {
    auto& store = services_.store;
    Source source;
    const auto title = "[internal] load git source " + shown(reference);
    tracker_.run(title, [&](VertexId) {
        const auto git = std::make_shared<remote::Git>(
            store.git_mirrors_path(), git_access(request_, reference, options.named_by), stop_);
        const auto commit = git->resolve(reference);
        const auto key = git_key(reference, commit, options);
        auto record = store.find_step(key);
        const bool is_known = record.has_value();
        if (!is_known) {
            const auto scratch = store.scratch("git-");
            const auto checkout =
                git->check_out(reference, commit, options.keep_git_dir, scratch.path());
            const auto mtime = options.times_of_commit
                                   ? checkout.commit_time * kNsPerSecond
                                   : services_.clock.now_ns() / kNsPerSecond * kNsPerSecond;
            record = put_source(store, key, scan_checkout(checkout.directory, mtime), {},
                                layer::content_from_directory(checkout.directory), title,
                                services_.clock);
        }
        source = source_of(store, key, *record);
        const auto algorithm = commit.commit.size() == 64 ? "sha256" : "sha1";
        source.material = Material{material_uri(reference), {{algorithm, commit.commit}}};
        source.time = [git, reference, commit]() -> std::optional<std::int64_t> {
            return git->commit_time(reference, commit);
        };
        return is_known ? Outcome::Cached : Outcome::Done;
    });
    return source;
}

Source Sources::download(const std::string& url, const std::string& name,
                         const std::optional<remote::Checksum>& checksum) {
    Key key("download-request");
    key.add("url", url).add("name", name).add("checksum", checksum ? checksum->str() : "");
    return made_.get(key.finish().hex(), [&] { return make_download(url, name, checksum); }).first;
}

std::shared_ptr<http::Transport> Sources::transport() {
    if (!services_.http) fail(ErrorKind::Unsupported, "this build cannot download anything");
    std::call_once(transport_made_, [&] { transport_ = services_.http(); });
    return transport_;
}

// The contents' own record. `download` tells whether they came or are the ones known before.
StepRecord Sources::fetch_content(remote::Downloader& downloader, const std::string& url,
                                  const std::optional<remote::Checksum>& checksum,
                                  remote::Download& download, VertexId vertex) {
    auto& store = services_.store;
    const auto key_of = [](const Digest& content) {
        return Key("download").add("content", content).finish();
    };
    const auto scratch = store.scratch("download-");
    remote::DownloadRequest request;
    request.url = url;
    request.authorization = http_authorization(request_, url);
    request.checksum = checksum;
    request.file = join_path(scratch.path(), kContentName);
    request.at_hand = [&](const Digest& content) {
        return store.find_step(key_of(content)).has_value();
    };
    const auto shown_url = http::without_password(url.substr(0, url.find('?')));
    std::uint64_t reported = 0;
    request.on_progress = [&](std::uint64_t current, std::uint64_t total) {
        constexpr std::uint64_t kStep = 4u << 20;
        if (current - reported < kStep && current != total) return;
        reported = current;
        tracker_.progress().status(vertex, "downloading " + shown_url, current, total);
    };
    request.stop = stop_;
    download = downloader.fetch(request);
    const auto key = key_of(download.content);
    if (const auto known = store.find_step(key)) return *known;
    if (!download.arrived)  // taken away meanwhile
        fail(ErrorKind::NotFound, "contents of " + shown_url + " are gone; try again");
    snapshot::TreeBuilder builder;
    snapshot::EntrySpec spec;
    spec.type = FileType::Regular;
    spec.mode = 0600;
    spec.size = download.size;
    spec.content = download.content;
    builder.put(kContentName, spec);
    return put_source(store, key, builder.finish(), {},
                      layer::content_from_directory(scratch.path()), "download", services_.clock);
}

Source Sources::make_download(const std::string& url, const std::string& name,
                              const std::optional<remote::Checksum>& checksum) {
    auto& store = services_.store;
    Source source;
    const auto shown_url = http::without_password(url.substr(0, url.find('?')));
    tracker_.run("[internal] load " + shown_url, [&](VertexId vertex) {
        remote::Downloader downloader(transport(), store.downloads_path());
        remote::Download download;
        const auto content = fetch_content(downloader, url, checksum, download, vertex);
        Key key("downloaded-file");
        key.add("name", name).add("content", download.content);
        // With a checksum the server need not be asked, so its time cannot matter.
        key.add("modified",
                static_cast<std::uint64_t>(checksum ? 0 : download.last_modified.value_or(0)));
        const auto digest = key.finish();
        auto record = store.find_step(digest);
        if (!record) {
            const auto plain = store.tree(content.tree);
            snapshot::TreeBuilder builder;
            auto spec = plain->entry(plain->find(kContentName)).spec();
            spec.mtime_ns = download.last_modified.value_or(0) * kNsPerSecond;
            builder.put(name, spec);
            record = put_source(store, digest, builder.finish(), content.sources, nullptr,
                                "download " + name, services_.clock);
        }
        source = source_of(store, digest, *record);
        source.material = Material{masked(url), {{"sha256", download.content.hex()}}};
        source.time = [time = download.last_modified] { return time; };
        return download.arrived ? Outcome::Done : Outcome::Cached;
    });
    return source;
}

Source Sources::archive(const std::string& title, const std::function<codec::Source()>& open) {
    auto& store = services_.store;
    Source source;
    tracker_.run(title, [&](VertexId) {
        const auto archive = index_archive(store, open, title, std::nullopt);
        const auto key = Key("archive").add("blob", archive.blob).finish();
        auto record = store.find_step(key);
        if (!record) {
            CopyOptions options;
            options.destination = "/";
            options.owner = Owner{};
            snapshot::TreeBuilder builder;
            expand_archive(builder, *archive.toc, options, 1);
            record = put_source(store, key, builder.finish(), {archive.blob}, nullptr, "archive",
                                services_.clock);
        }
        source = source_of(store, key, *record);
        source.time = [root = source.root] { return newest_file(*root); };
        return Outcome::Done;
    });
    return source;
}

Source Sources::directory(const snapshot::Tree& tree, const std::string& directory) {
    auto& store = services_.store;
    const auto key = Key("directory").add("tree", tree.key_digest(snapshot::kRoot)).finish();
    auto record = store.find_step(key);
    if (!record)
        record = put_source(store, key, in_whole_seconds(tree), {},
                            layer::content_from_directory(directory), "directory", services_.clock);
    return source_of(store, key, *record);
}

std::optional<std::string> Sources::read(const Source& source, const std::string& path,
                                         std::uint64_t limit) {
    const auto& loaded = source.root->load();
    const auto node = loaded.tree->resolve(path);
    if (node == snapshot::kNoNode) return std::nullopt;
    const auto entry = loaded.tree->entry(node);
    if (entry.type != FileType::Regular)
        fail(ErrorKind::Invalid, "\"" + path + "\" is not a regular file");
    if (entry.size > limit)
        fail(ErrorKind::Invalid, "\"" + path + "\" is larger than " + format_size(limit));
    layer::ContentReader reader(services_.store.content_index(loaded.sources),
                                services_.store.framed());
    std::string text(entry.size, '\0');
    std::size_t filled = 0;
    while (filled < text.size()) {
        const auto count = reader.read(entry.content, filled,
                                       std::as_writable_bytes(std::span(text)).subspan(filled));
        if (count == 0) fail(ErrorKind::Corrupt, "\"" + path + "\" ends early");
        filled += count;
    }
    return text;
}

std::function<codec::Source()> Sources::open(const Source& source, const std::string& path) {
    const auto& loaded = source.root->load();
    const auto node = loaded.tree->resolve(path);
    SHALE_ENSURE(node != snapshot::kNoNode);
    return bytes_of_content(services_.store, loaded.sources, loaded.tree->entry(node).content);
}

std::shared_ptr<Context> Sources::context(const ContextBase& base) {
    const auto open = [&] { return open_named_context(base, services_, *this, tracker_); };
    return contexts_.get(base.name + "=" + base.value, open).first;
}

}  // namespace shale::build
