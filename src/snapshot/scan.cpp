// scan: a directory becomes a tree.
//
// The walk delivers entries in tree order, so nodes are appended as they come; only the digests of
// regular files are missing then. Those the stat cache knows are filled in at once, the others go
// to the ContentHasher, whose outcomes are filled in when the walk has ended. Of the names of one
// inode only the first is hashed; the others copy its node, so that a link group has equal metadata
// even if the inode changed while we walked past its names.
#include "assembler.hpp"
#include "content_hasher.hpp"
#include "stat_cache.hpp"

#include <fcntl.h>

#include <cerrno>
#include <map>
#include <set>
#include <unordered_map>

namespace shale::snapshot {

namespace {

// After so many files their digests are collected.
constexpr std::uint64_t kOutcomesAtOnce = 1024;

FileStamp stamp_of(const walk::Entry& entry) {
    return {entry.dev, entry.ino, entry.size, entry.mtime_ns, entry.ctime_ns};
}

bool can_be_linked(const walk::Entry& entry) {
    return entry.nlink > 1 && entry.type != FileType::Directory && entry.type != FileType::Symlink;
}

class Scanner {
  public:
    Scanner(const std::string& root, const ScanOptions& options)
        : root_(root), options_(options), hasher_(options.io, options.stat_cache) {
        if (options.stat_cache) first_order_ = options.stat_cache->impl().begin_scan();
    }

    Tree run(ScanStats* stats) {
        walk::EngineReport report;
        const walk::Stats walked = walk::walk_with(
            root_, options_.walk, {}, [this](const walk::Entry& entry) { take(entry); }, &report);
        apply(hasher_.finish());
        for (const auto& [node, first] : links_)
            copy_link(node, first);
        if (stats) {
            stats->walk = walked;
            stats->walk_engine = report;
            stats->files_hashed = hasher_.files();
            stats->bytes_hashed = hasher_.bytes();
            stats->files_from_cache = from_cache_;
            stats->engine = hasher_.engine();
        }
        return without_vanished(nodes_.finish());
    }

  private:
    // A directory that is still being filled.
    struct Open {
        NodeId node;
        std::size_t path_bytes;
    };

    void take(const walk::Entry& walked) {
        if (walked.type == FileType::Socket && !options_.keep_sockets) return;
        const NodeId node = append(walked);
        if (walked.type == FileType::Directory) open_.push_back({node, walked.path.size()});
        if (open_.size() > kMaxDepth + 1)
            fail(ErrorKind::Unsupported, "'" + where(walked.path.substr(0, 64)) +
                                             "...' is nested deeper than " +
                                             std::to_string(kMaxDepth) + " directories");
        if (can_be_linked(walked)) {
            const auto [first, is_new] = inodes_.at(walked, node);
            if (!is_new) return links_.emplace_back(node, first), void();
        }
        if (walked.type == FileType::Regular) find_content(walked, node);
    }

    NodeId append(const walk::Entry& walked) {
        NodeId parent = kNoNode;
        if (!walked.path.empty()) {
            const std::size_t parent_bytes = walked.path.size() - walked.name.size() -
                                             (walked.path.size() > walked.name.size() ? 1 : 0);
            while (open_.back().node != kRoot && open_.back().path_bytes != parent_bytes)
                open_.pop_back();
            parent = open_.back().node;
        }
        Entry entry;
        entry.type = walked.type;
        entry.mode = walked.mode;
        entry.uid = options_.zero_owner ? 0 : walked.uid;
        entry.gid = options_.zero_owner ? 0 : walked.gid;
        entry.size = walked.size;
        entry.mtime_ns = walked.mtime_ns;
        entry.device_major = walked.device_major;
        entry.device_minor = walked.device_minor;
        entry.link_target = walked.link_target;
        if (walked.xattrs) entry.xattrs = *walked.xattrs;
        if (can_be_linked(walked)) entry.link_group = inodes_.group(walked);
        return nodes_.append(parent, walked.name, entry);
    }

    void find_content(const walk::Entry& walked, NodeId node) {
        if (options_.skip_content && options_.skip_content(walked)) return;
        const bool may_cache = options_.stat_cache && is_trusted(walked);
        if (may_cache)
            if (const auto known =
                    options_.stat_cache->impl().find(stamp_of(walked), first_order_ + node)) {
                ++from_cache_;
                return nodes_.set_content(node, *known, walked.size);
            }
        hasher_.add({node, directory_of(walked), std::string(walked.name), stamp_of(walked),
                     may_cache, first_order_ + node, io::is_sparse(walked.size, walked.blocks)});
        if (++handed_out_ % kOutcomesAtOnce == 0) apply(hasher_.take());
    }

    // Asks the file itself, not its directory: a file may be a mount point.
    bool is_trusted(const walk::Entry& walked) {
        const auto [at, is_new] = trusted_.try_emplace(walked.dev, false);
        if (is_new) {
            const UniqueFd file(::openat(walked.dir_fd, std::string(walked.name).c_str(),
                                         O_PATH | O_NOFOLLOW | O_CLOEXEC));
            at->second = file && is_trusted_filesystem(file.get());
        }
        return at->second;
    }

    // The walk's descriptor lives only during the callback; files of one directory share a copy.
    std::shared_ptr<const UniqueFd> directory_of(const walk::Entry& walked) {
        const NodeId parent = open_.back().node;
        if (directory_node_ != parent) {
            UniqueFd copy(::fcntl(walked.dir_fd, F_DUPFD_CLOEXEC, 0));
            if (!copy) throw_errno("dup", where(walked.path));
            directory_ = std::make_shared<const UniqueFd>(std::move(copy));
            directory_node_ = parent;
        }
        return directory_;
    }

    void apply(const std::vector<HashOutcome>& outcomes) {
        for (const HashOutcome& outcome : outcomes)
            switch (outcome.kind) {
            case HashOutcome::Kind::Hashed:
                if (outcome.changed) restate(outcome);
                nodes_.set_content(outcome.node, outcome.content,
                                   outcome.changed ? outcome.changed->stamp.size
                                                   : nodes_.size_of(outcome.node));
                break;
            case HashOutcome::Kind::Vanished:
                unread_.insert(outcome.node);
                break;
            case HashOutcome::Kind::Unstable:
                throw_errno(ESTALE, "file keeps changing while it is read",
                            where(nodes_.path(outcome.node)));
            case HashOutcome::Kind::Refused:
                throw_errno(outcome.error, "read", where(nodes_.path(outcome.node)));
            }
    }

    void restate(const HashOutcome& outcome) {
        const auto& now = *outcome.changed;
        nodes_.set_metadata(outcome.node, now.mode, options_.zero_owner ? 0 : now.uid,
                            options_.zero_owner ? 0 : now.gid, now.stamp.mtime_ns);
    }

    void copy_link(NodeId node, NodeId first) {
        if (unread_.contains(first))
            throw_errno(ESTALE, "another name of it vanished while it was read",
                        where(nodes_.path(node)));
        nodes_.copy_inode(node, first);
    }

    Tree without_vanished(Tree tree) {
        if (unread_.empty()) return tree;
        TreeBuilder builder(tree);
        for (const NodeId node : unread_)
            builder.remove(tree.path(node));
        return builder.finish();
    }

    std::string where(std::string_view path) const { return join_path(root_, path); }

    // Inodes with several names: the number of their link group and the first node met.
    class Inodes {
      public:
        std::uint64_t group(const walk::Entry& entry) {
            return known_.try_emplace({entry.dev, entry.ino}, Known{known_.size() + 1, kNoNode})
                .first->second.group;
        }
        struct First {
            NodeId node;
            bool is_new;
        };
        First at(const walk::Entry& entry, NodeId node) {
            Known& known = known_[{entry.dev, entry.ino}];
            const bool is_new = known.first == kNoNode;
            if (is_new) known.first = node;
            return {known.first, is_new};
        }

      private:
        struct Known {
            std::uint64_t group = 0;
            NodeId first = kNoNode;
        };
        std::map<std::pair<std::uint64_t, std::uint64_t>, Known> known_;
    };

    const std::string& root_;
    const ScanOptions& options_;
    Assembler nodes_;
    std::vector<Open> open_;
    Inodes inodes_;
    std::vector<std::pair<NodeId, NodeId>> links_;     // later name -> first name
    std::unordered_map<std::uint64_t, bool> trusted_;  // by device
    std::shared_ptr<const UniqueFd> directory_;
    NodeId directory_node_ = kNoNode;
    std::uint64_t from_cache_ = 0, handed_out_ = 0;
    std::uint64_t first_order_ = 0;  // of look-ups in the cache
    std::set<NodeId> unread_;        // vanished before they were read
    ContentHasher hasher_;           // last: its threads stop before anything else goes
};

}  // namespace

Tree scan(const std::string& root, const ScanOptions& options, ScanStats* stats) {
    return Scanner(root, options).run(stats);
}

}  // namespace shale::snapshot
