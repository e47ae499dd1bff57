// The walk itself: descends depth-first, asks the filter, delivers entries.
//
// Directories come as Listings, read by this thread or ahead of it by Prefetch. When the walk
// enters a directory it asks the filter about all its entries, in order, and schedules the
// subdirectories that remain; only then does it deliver and descend. So the filter sees every
// parent before its children and nothing excluded is ever opened, while workers still have a
// directory's worth of subdirectories to read ahead. Where the filter does not mind being asked by
// them they go on from there by themselves.
//
// A directory entry is delivered after its listing was obtained, so that one which vanished in
// between is left out like any other entry. Directories the filter skipped are delivered late, when
// something below them turns out to be included.
#include "prefetch.hpp"

#include <shale/walk_engine.hpp>

#include <fcntl.h>

#include <cerrno>

namespace shale::walk {

namespace {

class Walker {
  public:
    Walker(const std::string& root, const Options& options, const EngineOptions& engine,
           const std::function<void(const Entry&)>& on_entry)
        : root_(root), options_(options), on_entry_(on_entry), prefetch_(root, options, engine) {}

    Stats run(EngineReport* report) {
        const auto holder = open_root();
        levels_.push_back({holder.get(), &holder->records.front(), 0, false});
        deliver_pending();
        Job job;
        job.parent = holder;
        job.name = ".";
        const auto listing = prefetch_.take(job);
        if (listing->failure) std::rethrow_exception(listing->failure);
        descend(listing, job);
        Stats stats = prefetch_.stats();
        if (report) {
            *report = prefetch_.report();
            // What is warmed in time blocks nobody else, so threads that joined say it, too.
            report->is_cold = report->threads > options_.threads ||
                              report->directories_blocked * 2 > stats.directories_opened;
        }
        stats.entries = entries_;
        stats.stat_calls += root_stats_.stat_calls;
        stats.xattr_calls += root_stats_.xattr_calls;
        return stats;
    }

  private:
    // A directory on the way from the root to where the walk is.
    struct Level {
        const Listing* holder;  // whose record it is: its parent
        const Record* record;
        std::size_t path_bytes;  // of its path in path_
        bool delivered;
    };
    // What the filter left of one listing, record by record.
    struct Plan {
        std::vector<Decision> decisions;         // empty without a filter
        std::vector<std::shared_ptr<Job>> jobs;  // null for all that is not descended into
        Decision decision(std::size_t at) const {
            return decisions.empty() ? Decision::Include : decisions[at];
        }
    };

    // A listing with one nameless record, the root; its descriptor is the root directory itself.
    std::shared_ptr<Listing> open_root() {
        auto holder = std::make_shared<Listing>();
        holder->fd = open_file(root_, O_RDONLY | O_DIRECTORY);
        holder->text.push_back('\0');
        ListingReader reader(options_, Engine::Threads);
        if (!reader.append_record(*holder, holder->fd.get(), 0, 0, root_))
            throw_errno(ENOENT, "stat", root_);
        root_stats_ = reader.stats();
        return holder;
    }

    Plan plan(Job& job, const std::shared_ptr<Listing>& listing) {
        if (!job.is_planned) prefetch_.plan(job, listing);
        Plan plan{std::move(job.decisions), {}};
        plan.jobs.resize(listing->records.size());
        auto next = job.children.begin();
        for (std::size_t at = 0; at < listing->records.size(); ++at)
            if (is_descended_into(listing->records[at], plan.decision(at)))
                plan.jobs[at] = std::move(*next++);
        job.children.clear();
        return plan;
    }

    void descend(const std::shared_ptr<Listing>& listing, Job& job) {
        Plan plan = this->plan(job, listing);
        for (std::size_t at = 0; at < listing->records.size(); ++at) {
            const Record& record = listing->records[at];
            const Decision decision = plan.decision(at);
            const bool is_included = decision == Decision::Include;
            if (!is_included && !plan.jobs[at]) continue;
            const Scope scope(path_, listing->name(record));
            if (plan.jobs[at])
                enter(*listing, record, *plan.jobs[at], is_included);
            else
                deliver_after_parents(*listing, record);
            plan.jobs[at].reset();
        }
    }

    void enter(const Listing& holder, const Record& record, Job& job, bool is_included) {
        const auto listing = prefetch_.take(job);
        if (listing->vanished) return;
        if (listing->failure) std::rethrow_exception(listing->failure);
        levels_.push_back({&holder, &record, path_.size(), false});
        if (is_included) deliver_pending();
        descend(listing, job);
        levels_.pop_back();
    }

    void deliver_after_parents(const Listing& holder, const Record& record) {
        deliver_pending();
        deliver(holder, record, path_);
    }

    // The directories on the way that were skipped so far, outermost first.
    void deliver_pending() {
        // Once one is delivered so are all above it: look from the inside out for the first.
        std::size_t first = levels_.size();
        while (first > 0 && !levels_[first - 1].delivered)
            --first;
        for (; first < levels_.size(); ++first) {
            Level& level = levels_[first];
            deliver(*level.holder, *level.record,
                    std::string_view(path_).substr(0, level.path_bytes));
            level.delivered = true;
        }
    }

    void deliver(const Listing& holder, const Record& record, std::string_view path) {
        Entry entry;
        entry.path = path;
        entry.name = holder.name(record);
        entry.dir_fd = path.empty() ? -1 : holder.fd.get();
        entry.type = record.type;
        entry.mode = record.mode;
        entry.uid = record.uid;
        entry.gid = record.gid;
        entry.size = record.size;
        entry.mtime_ns = record.mtime_ns;
        entry.ctime_ns = record.ctime_ns;
        entry.dev = record.dev;
        entry.ino = record.ino;
        entry.nlink = record.nlink;
        entry.device_major = record.device_major;
        entry.device_minor = record.device_minor;
        entry.blocks = record.blocks;
        entry.link_target = holder.target(record);
        entry.xattrs = record.xattrs ? &holder.xattrs[record.xattrs] : nullptr;
        ++entries_;
        on_entry_(entry);
    }

    // Appends a component to the running path for as long as it lives.
    class Scope {
      public:
        Scope(std::string& path, std::string_view name) : path_(path), length_(path.size()) {
            if (!path_.empty()) path_.push_back('/');
            path_.append(name);
        }
        ~Scope() { path_.resize(length_); }
        Scope(const Scope&) = delete;
        Scope& operator=(const Scope&) = delete;

      private:
        std::string& path_;
        std::size_t length_;
    };

    const std::string& root_;
    const Options& options_;
    const std::function<void(const Entry&)>& on_entry_;
    Prefetch prefetch_;
    std::vector<Level> levels_;  // from the root down
    std::string path_;
    Stats root_stats_;
    std::uint64_t entries_ = 0;
};

}  // namespace

Stats walk(const std::string& root, const Options& options,
           const std::function<void(const Entry&)>& on_entry) {
    return walk_with(root, options, {Engine::Threads, options.threads}, on_entry);
}

Stats walk_with(const std::string& root, const Options& options, const EngineOptions& engine,
                const std::function<void(const Entry&)>& on_entry, EngineReport* report) {
    return Walker(root, options, engine, on_entry).run(report);
}

}  // namespace shale::walk
