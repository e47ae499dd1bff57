// Collection: which records of the build cache go, cache mounts and git mirrors among them, and
// then every file that nothing refers to.
//
// It has the store for itself: an exclusive lock that every open Store excludes, except readers
// that have pinned what they need. The names of images go first, then records, in one transaction,
// then files: killed anywhere in between, a collection leaves files that nobody refers to and the
// next one finds.
//
// Which record goes first is a matter of price: the milliseconds that making it again would take,
// per byte that it occupies, halved for every day that nobody used it. A record on whose layer
// another stands is not looked at before that one is gone, because without it the other would
// hardly be found again. What a cache mount or a mirror would take is a guess (beside.cpp).
#include "census.hpp"
#include "foundations.hpp"
#include "reserve.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <queue>
#include <unordered_map>

namespace shale::store {

namespace {

constexpr double kHalfLifeNs = 24.0 * 3600 * 1e9;
// A record without bytes still costs a row, and its price must stay finite.
constexpr double kLeastBytes = 4096;

double price(const CacheRecord& record, std::uint64_t bytes, std::int64_t now_ns) {
    const double age = static_cast<double>(std::max<std::int64_t>(now_ns - record.used_ns, 0));
    const double per_byte =
        (1 + static_cast<double>(record.cost_ms)) / (kLeastBytes + static_cast<double>(bytes));
    return per_byte * std::exp2(-age / kHalfLifeNs);
}

// Counts who refers to what, and what would be free if a record went.
class Ledger {
  public:
    explicit Ledger(const Census& census) : census_(census), foundations_(census.groups) {
        for (const auto& group : census.groups) {
            for (const Digest& blob : group.blobs())
                ++counts_.blob_users[blob];
            for (const Digest& name : foundations_.below(group))
                ++counts_.standing[name];
            for (const Digest& tree : census.with_base(group.record.tree))
                ++counts_.tree_users[tree];
        }
    }
    bool is_needed(const RecordGroup& group) const {
        const auto name = foundations_.name(group);
        return name && has(counts_.standing, *name);
    }
    // Takes the record out; returns the bytes that nobody refers to any more.
    std::uint64_t remove(const RecordGroup& group) {
        std::uint64_t freed = 0;
        for (const Digest& name : foundations_.below(group))
            --counts_.standing[name];
        for (const Digest& blob : group.blobs())
            if (--counts_.blob_users[blob] == 0 && !stays(blob)) freed += census_.blob_bytes(blob);
        for (const Digest& tree : census_.with_base(group.record.tree))
            if (--counts_.tree_users[tree] == 0 && !census_.images.trees.contains(tree))
                freed += census_.tree_bytes(tree);
        return freed;
    }
    const Foundations& foundations() const { return foundations_; }
    using Counts = std::unordered_map<Digest, std::uint32_t, DigestHash>;
    struct AllCounts {
        Counts blob_users, tree_users, standing;
    };
    const AllCounts& counts() const { return counts_; }
    void restore(const AllCounts& counts) { counts_ = counts; }
    bool has_blob(const Digest& blob) const { return has(counts_.blob_users, blob) || stays(blob); }
    bool has_tree(const Digest& tree) const {
        return has(counts_.tree_users, tree) || census_.images.trees.contains(tree);
    }

  private:
    static bool has(const Counts& users, const Digest& digest) {
        const auto found = users.find(digest);
        return found != users.end() && found->second > 0;
    }
    bool stays(const Digest& blob) const {
        return census_.images.blobs.contains(blob) || census_.pinned.contains(blob);
    }

    const Census& census_;
    const Foundations foundations_;
    AllCounts counts_;
};

class Collection {
  public:
    Collection(const Census& census, const Layout& layout, const CollectOptions& options)
        : census_(census), layout_(layout), options_(options), ledger_(census),
          records_(describe_records(census)) {
        for (const auto& directory : census.beside)
            records_.push_back(directory.record);
    }

    void choose() {
        const auto total = census_.other + bytes_of_all();
        done_.left = total - unreferenced();
        if (options_.may_remove) evict();
        for (const auto* files : census_.of_blobs())
            for (const auto& [digest, file] : *files)
                if (!ledger_.has_blob(digest)) doomed_.push_back(&file);
        // Patches first, so that whatever ends this leaves none without what it stands on.
        for (const bool patches : {true, false})
            for (const auto& [digest, file] : census_.trees)
                if (census_.bases.contains(digest) == patches && !ledger_.has_tree(digest))
                    doomed_.push_back(&file);
        for (const auto& [digest, file] : census_.contents)
            doomed_.push_back(&file);
        for (const StoredFile* file : doomed_)
            done_.bytes += file->bytes;
        for (const CacheDirectory* directory : doomed_directories_)
            done_.bytes += directory->record.bytes;
        done_.files = doomed_.size();
        done_.left = total - done_.bytes;
    }
    // What takes long to remove is moved to the session first.
    void remove(Database& database, Tags& tags, BlobFiles& blobs, BlobFiles& framed,
                Session& session) {
        Digests kept;
        for (const auto& [digest, file] : census_.blobs)
            if (ledger_.has_blob(digest)) kept.insert(digest);
        for (const auto& image : done_.images)
            tags.forget(image.digest);
        const auto forget = [&] { database.forget(doomed_keys_, census_.images.chains, kept); };
        bool has_room = true;
        try {
            forget();
        } catch (const Error& error) {
            // Not even for that. Records whose files are gone mean nothing, so they may wait.
            if (error.sys_errno() != ENOSPC) throw;
            log(LogLevel::Debug, std::string("files are removed first: ") + error.what());
            has_room = false;
        }
        for (const StoredFile* file : doomed_)
            if (::unlink(file->path.c_str()) != 0 && errno != ENOENT) {
                if (!is_refusal(errno)) throw_errno("removing", file->path);
                --done_.files;
                stays(file->path, file->bytes, std::strerror(errno));
            }
        if (!has_room) forget();
        for (const auto& [digest, file] : census_.blobs)
            if (!kept.contains(digest)) blobs.forget(digest), framed.forget(digest);
        for (const CacheDirectory* directory : doomed_directories_)
            try {
                remove_cache_directory(*directory, session.directory());
            } catch (const Error& error) {
                if (!is_refusal(error.sys_errno())) throw;
                stays(directory->paths.front(), directory->record.bytes, error.what());
            }
    }
    Collected& done() { return done_; }

  private:
    struct Candidate {
        double price;
        std::size_t at;
        bool operator>(const Candidate& other) const { return price > other.price; }
    };

    // A broken disk is something else.
    static bool is_refusal(int error) {
        return error == EPERM || error == EACCES || error == EBUSY;
    }

    // One that somebody else has made immutable, say, or mounted something on. Nothing refers to it
    // any more, so it costs space and no more than that, and the next collection tries again.
    void stays(const std::string& path, std::uint64_t bytes, const std::string& why) {
        done_.bytes -= bytes;
        done_.left += bytes;
        log(LogLevel::Warn, path + " cannot be removed and stays: " + why);
    }

    std::uint64_t bytes_of_all() const {
        std::uint64_t bytes = 0;
        for (const auto* files : census_.of_blobs())
            for (const auto& [digest, file] : *files)
                bytes += file.bytes;
        for (const auto& [digest, file] : census_.trees)
            bytes += file.bytes;
        for (const auto& [digest, file] : census_.contents)
            bytes += file.bytes;
        for (const auto& directory : census_.beside)
            bytes += directory.record.bytes;
        return bytes;
    }
    std::uint64_t unreferenced() const {
        std::uint64_t bytes = 0;
        for (const auto* files : census_.of_blobs())
            for (const auto& [digest, file] : *files)
                if (!ledger_.has_blob(digest)) bytes += file.bytes;
        for (const auto& [digest, file] : census_.trees)
            if (!ledger_.has_tree(digest)) bytes += file.bytes;
        for (const auto& [digest, file] : census_.contents)
            bytes += file.bytes;
        return bytes;
    }

    // What may be free when it goes: the layer stays where an image has it.
    std::uint64_t bytes_of(std::size_t at) const {
        const bool stays = at < census_.groups.size() && records_[at].shared;
        return stays ? census_.tree_bytes(census_.groups[at].record.tree) : records_[at].bytes;
    }

    // Of what an image holds hardly anything would be free. Under a limit it is forgotten only if
    // the limit is kept then.
    void evict() {
        // What nobody refers to goes in any case.
        free_before_ = options_.min_free ? free_bytes(layout_.root) + unreferenced() : 0;
        left_before_ = done_.left;
        gone_.resize(records_.size());
        const bool is_limited = options_.max_used || options_.min_free;
        evict_all_that([&](const CacheRecord& record) { return !is_limited || !record.held; });
        if (!is_limited || is_enough()) return;
        const auto counts = ledger_.counts();
        const auto done = done_;
        const auto keys = doomed_keys_.size(), directories = doomed_directories_.size();
        const auto gone = gone_;
        evict_all_that([](const CacheRecord&) { return true; });
        if (is_enough()) return;
        ledger_.restore(counts);
        done_ = done;
        gone_ = gone;
        doomed_keys_.resize(keys);
        doomed_directories_.resize(directories);
    }

    template <typename MayGo>
    void evict_all_that(const MayGo& may_go) {
        const auto now_ns = system_clock().now_ns();
        std::unordered_multimap<Digest, std::size_t, DigestHash> by_name;
        std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
        const auto& groups = census_.groups;
        const auto offer = [&](std::size_t at) {
            const bool is_needed = at < groups.size() && ledger_.is_needed(groups[at]);
            if (!is_needed && !gone_[at] && may_go(records_[at]) &&
                options_.may_remove(records_[at]))
                queue.push({price(records_[at], bytes_of(at), now_ns), at});
        };
        for (std::size_t at = 0; at < records_.size(); ++at) {
            if (at < groups.size())
                if (const auto name = ledger_.foundations().name(groups[at]))
                    by_name.emplace(*name, at);
            offer(at);
        }
        while (!queue.empty() && !is_enough()) {
            const std::size_t at = queue.top().at;
            queue.pop();
            if (gone_[at]) continue;
            gone_[at] = true;
            done_.records.push_back(records_[at]);
            if (at >= groups.size()) {
                doomed_directories_.push_back(&census_.beside[at - groups.size()]);
                done_.left -= records_[at].bytes;
                continue;
            }
            const auto& group = groups[at];
            done_.left -= ledger_.remove(group);
            doomed_keys_.insert(doomed_keys_.end(), group.keys.begin(), group.keys.end());
            for (const Digest& name : ledger_.foundations().below(group)) {
                const auto [first, last] = by_name.equal_range(name);
                for (auto below = first; below != last; ++below)  // which may be free to go now
                    offer(below->second);
            }
        }
    }
    bool is_enough() const {
        const auto free = free_before_ + (left_before_ - done_.left);
        if (options_.reserved && done_.left <= *options_.reserved) return true;
        if (!options_.max_used && !options_.min_free) return false;
        return (!options_.max_used || done_.left <= *options_.max_used) &&
               (!options_.min_free || free >= *options_.min_free);
    }

    const Census& census_;
    const Layout& layout_;
    const CollectOptions& options_;
    Ledger ledger_;
    std::vector<CacheRecord> records_;                 // of census_.groups, then of census_.beside
    std::vector<bool> gone_;                           // of records_
    std::uint64_t free_before_ = 0, left_before_ = 0;  // before anything was chosen
    std::vector<Digest> doomed_keys_;
    std::vector<const StoredFile*> doomed_;
    std::vector<const CacheDirectory*> doomed_directories_;
    Collected done_;
};

// "1234 (shale shell app), 77": who keeps a collection waiting.
std::string describe_processes(const std::vector<int>& pids) {
    std::string text;
    for (const int pid : pids) {
        text += (text.empty() ? "" : ", ") + std::to_string(pid);
        std::string command;
        try {
            command = read_file("/proc/" + std::to_string(pid) + "/cmdline", 4096);
        } catch (const Error&) {  // it ended, or is not ours to see
        }
        std::replace(command.begin(), command.end(), '\0', ' ');
        while (command.ends_with(' '))
            command.pop_back();
        if (!command.empty()) text += " (" + command + ")";
    }
    return text.empty() ? "another process" : "process " + text;
}

// The store's own lock, exclusive for as long as this lives.
class Alone {
  public:
    Alone(FileLock& lock, std::chrono::milliseconds patience) : lock_(lock) {
        if (lock_.change(FileLock::Mode::Exclusive, patience)) return;
        const auto who = describe_processes(lock_.holders());
        share();
        fail(ErrorKind::Failed, "the store is in use by " + who + "; try again when it has ended");
    }
    ~Alone() { share(); }
    Alone(const Alone&) = delete;
    Alone& operator=(const Alone&) = delete;

  private:
    // Nobody holds it exclusively for long.
    void share() noexcept { lock_.change(FileLock::Mode::Shared, std::chrono::hours(1)); }
    FileLock& lock_;
};

}  // namespace

Collected Store::collect(const CollectOptions& options, std::chrono::milliseconds patience) {
    state_->require_writable();
    std::optional<Alone> alone;
    if (!options.dry_run) alone.emplace(*state_->in_use, patience);
    const auto& tmp = state_->layout.tmp;
    const auto unfinished = options.dry_run ? 0 : blocks_below(tmp);
    // Alone with the store there is nobody at his beginning.
    if (!options.dry_run) remove_leftovers(tmp, system_clock().now_ns(), 0);
    const Census census = Census::take(*this, state_->layout, state_->tags, *state_->database,
                                       !options.unnamed_images);
    Collection collection(census, state_->layout, options);
    if (options.unnamed_images) collection.done().images = state_->tags.unnamed();
    collection.choose();
    if (options.dry_run) return std::move(collection.done());
    collection.done().bytes += unfinished - std::min(unfinished, blocks_below(tmp));
    collection.remove(*state_->database, state_->tags, state_->blobs, state_->framed,
                      state_->session);
    return std::move(collection.done());
}

void Store::pin(const std::vector<Digest>& layers) {
    state_->session.pin(layers);
    // No other process may inherit the database; what would ask it goes first.
    state_->contents.reset();
    state_->tocs.reset();
    state_->database.reset();
    if (state_->in_use) state_->in_use->release();
}

}  // namespace shale::store
