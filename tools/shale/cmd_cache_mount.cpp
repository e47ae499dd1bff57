// shale cache-mount: the directories of RUN --mount=type=cache, carried between machines.
//
// An archive is an ordinary tar of the directory and one file more, which says which cache mount it
// is: what a build asks for is a namespace, a name, and what the directory began as. The file is
// taken out again when the archive is imported. It is extracted beside the cache mounts and put in
// place when it is whole.
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "json_text.hpp"
#include "layer_output.hpp"
#include "table.hpp"
#include "workspace.hpp"

#include <shale/base.hpp>
#include <shale/cache_mounts.hpp>
#include <shale/codec.hpp>
#include <shale/diff.hpp>
#include <shale/layer.hpp>
#include <shale/snapshot.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <vector>

namespace shale::cli {

namespace {

using build::CacheIdentity;
using build::KnownCacheMount;

constexpr std::string_view kIdentityFile = ".shale-cache-mount.json";
constexpr std::uint64_t kMostIdentityBytes = 64 << 10;
// More than any real cache, little enough that a decompression bomb ends.
constexpr std::uint64_t kMostTarBytes = 1ull << 42;
constexpr std::size_t kShortestDigest = 4;

struct Flags {
    std::string action, output, id, name_space, compression;
    std::vector<std::string> words;
    bool json = false, no_wait = false;
};

std::string title(const CacheIdentity& identity) {
    return identity.name_space.empty() ? identity.id
                                       : identity.id + " (namespace " + identity.name_space + ")";
}

// Tells once, and waits; or does not wait.
std::function<void()> waiting_for(const Flags& flags, const CacheIdentity& identity) {
    if (flags.no_wait) return nullptr;
    return [name = title(identity)] {
        print_note("waiting for cache mount " + name + ", which is in use");
    };
}

// --- which one ---

KnownCacheMount find(store::Store& store, const Flags& flags, const std::string& word) {
    const auto all = build::known_cache_mounts(store);
    std::vector<KnownCacheMount> found;
    for (const auto& known : all)
        if (known.identity.id == word && known.identity.name_space == flags.name_space)
            found.push_back(known);
    // An id that could be somebody else's digest, too, is an id.
    if (found.empty() && word.size() >= kShortestDigest)
        for (const auto& known : all)
            if (known.digest.hex().starts_with(word)) found.push_back(known);
    if (found.size() == 1) return found.front();
    if (found.empty()) {
        std::vector<std::string> names;
        for (const auto& known : all)
            names.push_back(known.identity.id);
        const auto nearest = nearest_match(word, names);
        fail(ErrorKind::NotFound,
             "there is no cache mount " + word +
                 (flags.name_space.empty() ? "" : " in namespace " + flags.name_space) +
                 (nearest.empty() ? "; `shale cache-mount ls` lists them"
                                  : " (did you mean " + nearest + "?)"));
    }
    std::string digests;
    for (const auto& known : found)
        digests += (digests.empty() ? "" : ", ") + known.digest.short_hex();
    fail(ErrorKind::Invalid,
         "there are several cache mounts " + word +
             ", which began with different files or owners; say which: " + digests);
}

// --- ls ---

int list(const Flags& flags, Workspace& workspace) {
    auto& store = workspace.store();
    std::map<Digest, std::uint64_t> bytes;
    for (const auto& record : store.usage().records)
        if (record.kind == store::RecordKind::CacheMount) bytes[record.id] = record.bytes;
    const auto all = build::known_cache_mounts(store);
    if (flags.json) {
        auto array = nlohmann::ordered_json::array();
        for (const auto& known : all)
            array.push_back({{"id", known.identity.id},
                             {"namespace", known.identity.name_space},
                             {"digest", known.digest.hex()},
                             {"bytes", bytes[known.digest]},
                             {"copies", known.copies},
                             {"inUse", known.in_use},
                             {"used", format_rfc3339(known.used_ns)}});
        print_result(json_text(array));
        return kOk;
    }
    Table table({"ID", "NAMESPACE", "DIGEST", "SIZE", "USED", "STATE"});
    const auto now = system_clock().now_ns();
    for (const auto& known : all)
        table.add({known.identity.id, known.identity.name_space, known.digest.short_hex(),
                   format_size(bytes[known.digest]), format_age(now, known.used_ns),
                   known.in_use ? "in use" : ""});
    print_result(table.str());
    return kOk;
}

// --- export ---

layer::Form form_of(const Flags& flags) {
    if (!flags.compression.empty()) return layer::parse_form(flags.compression);
    const auto ends = [&](std::string_view end) { return flags.output.ends_with(end); };
    if (ends(".gz") || ends(".tgz")) return layer::Form::Gzip;
    if (ends(".tar")) return layer::Form::Uncompressed;
    return layer::Form::Zstd;
}

std::string identity_text(const CacheIdentity& identity) {
    const nlohmann::ordered_json json = {
        {"id", identity.id}, {"namespace", identity.name_space}, {"seed", identity.seed}};
    return json.dump(1) + "\n";
}

// The directory's tree, and in it the file that says what it is.
snapshot::Tree tree_of(const std::string& directory, const std::string& identity) {
    const auto scanned = snapshot::scan(directory);
    if (scanned.find(kIdentityFile) != snapshot::kNoNode)
        fail(ErrorKind::Unsupported,
             "the cache mount has a file " + std::string(kIdentityFile) + " of its own");
    snapshot::TreeBuilder builder(scanned);
    snapshot::EntrySpec file;
    file.type = FileType::Regular;
    file.mode = 0600;
    file.size = identity.size();
    file.content = codec::sha256(identity);
    builder.put(kIdentityFile, file);
    return builder.finish();
}

layer::OpenContent contents_of(const std::string& directory, const std::string& identity) {
    return [files = layer::content_from_directory(directory),
            identity](std::string_view path, const snapshot::Entry& entry) -> codec::Source {
        if (path != kIdentityFile) return files(path, entry);
        return [identity, at = std::size_t{0}](MutableBytes out) mutable {
            const auto count = std::min(out.size(), identity.size() - at);
            std::memcpy(out.data(), identity.data() + at, count);
            at += count;
            return count;
        };
    };
}

int export_one(const Flags& flags, Workspace& workspace) {
    if (flags.words.size() != 1) fail(ErrorKind::Invalid, "export takes one ID");
    if (flags.output.empty())
        fail(ErrorKind::Invalid, "export needs -o FILE; - is standard output");
    if (flags.output == "-" && is_terminal(STDOUT_FILENO))
        fail(ErrorKind::Invalid, "refusing to write an archive to a terminal");
    const auto stop = workspace.stop();
    auto& store = workspace.store();
    const auto identity = find(store, flags, flags.words.front()).identity;
    const build::CacheMountHold hold(store, identity, waiting_for(flags, identity), stop);
    if (!hold.exists())
        fail(ErrorKind::NotFound, "cache mount " + title(identity) + " has been emptied");
    const auto text = identity_text(identity);
    const auto tree = in_context([&] { return "cache mount " + title(identity); },
                                 [&] { return tree_of(hold.path(), text); });
    const auto nothing = snapshot::TreeBuilder().finish();
    OutputFile output(flags.output);
    write_layer_blob(diff::compare(nothing, tree), tree, contents_of(hold.path(), text),
                     {form_of(flags), std::nullopt}, [&](Bytes bytes) {
                         if (stop.stop_requested()) fail(ErrorKind::Cancelled, "interrupted");
                         output.write(bytes);
                     });
    output.commit();
    return kOk;
}

// --- import ---

std::size_t read_some(int fd, MutableBytes out, const std::string& name) {
    for (;;) {
        const auto count = ::read(fd, out.data(), out.size());
        if (count >= 0) return static_cast<std::size_t>(count);
        if (errno != EINTR) throw_errno("read", name);
    }
}

// What a file or a pipe holds, decompressed; read once, from its beginning to its end.
codec::Source open_archive(const std::string& name, const std::stop_token& stop) {
    auto fd = std::make_shared<UniqueFd>(name == "-" ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                                     : open_file(name, O_RDONLY).release());
    if (!*fd) throw_errno("open", "standard input");
    std::vector<std::byte> head(8);
    std::size_t known = 0;
    while (known < head.size()) {
        const auto count = read_some(fd->get(), MutableBytes(head).subspan(known), name);
        if (count == 0) break;
        known += count;
    }
    head.resize(known);
    const auto format = codec::sniff(head);
    const auto stream = std::make_shared<codec::StreamDecompressor>(
        format,
        [fd, name, stop, head, sent = std::size_t{0}](MutableBytes out) mutable {
            if (stop.stop_requested()) fail(ErrorKind::Cancelled, "interrupted");
            if (sent == head.size()) return read_some(fd->get(), out, name);
            const auto count = std::min(out.size(), head.size() - sent);
            std::memcpy(out.data(), head.data() + sent, count);
            sent += count;
            return count;
        },
        kMostTarBytes);
    return [stream](MutableBytes out) { return stream->read(out); };
}

// What the archive says it is; the file that says so is gone then. nullopt: an archive of others.
std::optional<CacheIdentity> take_identity(const std::string& directory, const std::string& name) {
    const auto path = join_path(directory, kIdentityFile);
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) {
        if (errno == ENOENT) return std::nullopt;
        throw_errno("stat", path);
    }
    const auto refuse = [&] {
        fail(ErrorKind::Corrupt,
             name + ": " + std::string(kIdentityFile) + " does not say which cache mount it is");
    };
    if (!S_ISREG(status.st_mode)) refuse();
    const auto json = nlohmann::json::parse(read_file(path, kMostIdentityBytes), nullptr, false);
    const auto word = [&](const char* key) {
        if (!json.is_object() || !json.contains(key) || !json[key].is_string()) refuse();
        return json[key].get<std::string>();
    };
    CacheIdentity identity{word("namespace"), word("id"), word("seed")};
    if (identity.id.empty()) refuse();
    struct stat before {};  // the directory's own time is part of what was carried
    if (::stat(directory.c_str(), &before) != 0) throw_errno("stat", directory);
    if (::unlink(path.c_str()) != 0) throw_errno("remove", path);
    const timespec times[2] = {before.st_atim, before.st_mtim};
    if (::utimensat(AT_FDCWD, directory.c_str(), times, 0) != 0) throw_errno("utimes", directory);
    return identity;
}

void sync_file_system(const std::string& directory) {
    const UniqueFd fd = open_file(directory, O_RDONLY | O_DIRECTORY);
    if (::syncfs(fd.get()) != 0) throw_errno("sync", directory);
}

int import_one(const Flags& flags, Workspace& workspace) {
    if (flags.words.size() != 1) fail(ErrorKind::Invalid, "import takes one FILE");
    const auto& file = flags.words.front();
    const auto stop = workspace.stop();
    auto& store = workspace.store();
    const TempDir scratch = store.scratch("cache-import-");
    const auto directory = join_path(scratch.path(), "new");
    make_directories(directory);
    in_context([&] { return file; },
               [&] { layer::apply(open_archive(file, stop), file, directory); });
    auto identity = take_identity(directory, file);
    if (!identity && flags.id.empty())
        fail(ErrorKind::Invalid,
             file + " does not say which cache mount it is; give its name with --id");
    if (!identity) identity.emplace();
    if (!flags.id.empty()) identity->id = flags.id;
    if (!flags.name_space.empty()) identity->name_space = flags.name_space;
    sync_file_system(directory);
    build::CacheMountHold hold(store, *identity, waiting_for(flags, *identity), stop);
    hold.replace(directory);
    print_note("cache mount " + title(*identity) + " is what " + file + " holds");
    return kOk;
}

// --- rm ---

int remove(const Flags& flags, Workspace& workspace) {
    if (flags.words.empty()) fail(ErrorKind::Invalid, "rm needs an ID; `shale prune` removes all");
    const auto stop = workspace.stop();
    auto& store = workspace.store();
    std::vector<KnownCacheMount> found;
    for (const auto& word : flags.words)
        found.push_back(find(store, flags, word));
    for (const auto& known : found)
        build::remove_cache_mount(store, known.identity, waiting_for(flags, known.identity), stop);
    return kOk;
}

int run(const Flags& flags, Workspace& workspace) {
    const auto only = [&](bool given, const char* flag, const char* action) {
        if (given && flags.action != action)
            fail(ErrorKind::Invalid, std::string(flag) + " belongs to " + action);
    };
    only(!flags.output.empty(), "--output", "export");
    only(!flags.compression.empty(), "--compression", "export");
    only(!flags.id.empty(), "--id", "import");
    only(flags.json, "--json", "ls");
    if (flags.action == "ls" && !flags.words.empty()) fail(ErrorKind::Invalid, "ls takes no ID");
    // What a RUN has put into a user's cache mount belongs to his subordinate IDs.
    if (::geteuid() != 0) workspace.enter_namespaces();
    if (flags.action == "ls") return list(flags, workspace);
    if (flags.action == "export") return export_one(flags, workspace);
    if (flags.action == "import") return import_one(flags, workspace);
    return remove(flags, workspace);
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    restrict_to(required(add_argument(app, "ACTION", flags->action, "What to do")),
                "ls|export|import|rm");
    add_arguments(app, "ID", flags->words,
                  "export, rm: the cache mount's id or digest; import: an archive, - is standard "
                  "input");
    add_value(app, "-o,--output", flags->output, "FILE",
              "export: where to write the archive; - is standard output");
    add_value(app, "--compression", flags->compression, "zstd|gzip|uncompressed",
              "export: default by the ending of FILE (.gz, .tgz, .tar), else zstd");
    add_value(app, "--id", flags->id, "ID",
              "import: the cache mount to fill, whatever the archive says");
    add_value(app, "--namespace", flags->name_space, "NAME",
              "Of the cache mounts of builds with BUILDKIT_CACHE_MOUNT_NS");
    add_switch(app, "--no-wait", flags->no_wait, "Fail if a build has it, instead of waiting");
    add_switch(app, "--json", flags->json, "ls: print JSON");
    return [flags](Workspace& workspace) { return run(*flags, workspace); };
}

}  // namespace

const Command& cache_mount_command() {
    static const Command command = {
        .name = "cache-mount",
        .group = "Build",
        .summary = "List, export, import and remove directories of RUN --mount=type=cache",
        .usage = "ls|export|import|rm [OPTIONS] [ID|FILE]",
        .details =
            "A cache mount is known by its id, which is its target unless the Dockerfile says "
            "id=. `export` writes what it holds as a tar, with owners, modes, times and extended "
            "attributes; sockets are left out. `import` puts the whole of an archive in the place "
            "of what the cache mount held, or, if anything is wrong with the archive, changes "
            "nothing; nothing is written outside, whatever names and links it holds. Archives of "
            "others, such as tar(1) makes, need --id.\n\n"
            "Both wait for builds that use the cache mount, and builds wait for them. Of a cache "
            "mount with sharing=private that several builds used at one time, the first copy is "
            "meant.",
        .examples = {{"shale cache-mount export /root/.npm -o npm.tar.zst",
                      "At the end of a CI job"},
                     {"shale cache-mount import npm.tar.zst && shale build .",
                      "At the beginning of the next, on another machine"},
                     {"tar c -C ~/.npm . | shale cache-mount import --id /root/.npm -",
                      "Begin with one's own"},
                     {"shale cache-mount rm /root/.npm", "Begin with nothing"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
