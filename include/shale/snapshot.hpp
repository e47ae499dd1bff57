// snapshot: the tree. An immutable, sorted, Merkle-hashed set of entries: a directory at one
// moment, a stage after one step, a whole image merged. Identity only: where the bytes of a file
// lie is not a tree's business (layer::ContentIndex knows).
//
// Nodes are numbered in depth-first order with names byte-sorted per directory, so a subtree is a
// range of numbers. A Tree never changes after it is built and may be read from any thread.
//
// On disk: one checksummed file, docs/formats/snapshot.md.
#pragma once

#include <shale/base.hpp>
#include <shale/io.hpp>
#include <shale/walk_engine.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace shale::snapshot {

using NodeId = std::uint32_t;
inline constexpr NodeId kRoot = 0;
inline constexpr NodeId kNoNode = 0xffffffff;
// Deepest nesting a tree holds. A path of PATH_MAX bytes cannot be deeper than half of it, and code
// that walks a tree may recurse.
inline constexpr std::size_t kMaxDepth = 4096;

// What one entry is, apart from its name and children. Used to build trees. Fields that mean
// nothing for the type are dropped when the entry is put into a tree; an empty regular file without
// a content digest gets the one of the empty string.
struct EntrySpec {
    FileType type = FileType::Directory;
    std::uint32_t mode = 0755;  // 07777 bits
    std::uint32_t uid = 0, gid = 0;
    std::uint64_t size = 0;  // regular files
    std::int64_t mtime_ns = 0;
    std::uint32_t device_major = 0, device_minor = 0;
    std::string link_target;    // symlinks
    std::vector<Xattr> xattrs;  // sorted by name
    Digest content;             // SHA-256 of a regular file's bytes
    // Hardlinks: regular files (or devices, fifos) of one tree with the same non-zero value are one
    // inode and have equal metadata. When they differ, because one member was edited, they are not
    // one inode: finish() puts members that are equal to each other into groups of their own.
    std::uint64_t link_group = 0;

    bool operator==(const EntrySpec&) const = default;
};

// The same, as views into a Tree; valid while the Tree lives.
struct Entry {
    FileType type = FileType::Directory;
    std::uint32_t mode = 0;
    std::uint32_t uid = 0, gid = 0;
    std::uint64_t size = 0;
    std::int64_t mtime_ns = 0;
    std::uint32_t device_major = 0, device_minor = 0;
    std::string_view link_target;
    std::span<const Xattr> xattrs;
    Digest content;
    std::uint64_t link_group = 0;
    EntrySpec spec() const;
};

// What a cache key covers. mtime, inode and link structure never enter; see docs on cache keys.
struct KeyPolicy {
    bool owner = true;  // uid and gid
    bool mode = true;
};

class Tree {
  public:
    Tree(Tree&&) noexcept;
    Tree& operator=(Tree&&) noexcept;
    ~Tree();

    std::size_t size() const;  // nodes, the root included
    Entry entry(NodeId node) const;
    std::string_view name(NodeId node) const;  // "" for the root
    NodeId parent(NodeId node) const;          // kNoNode for the root
    NodeId end(NodeId node) const;             // one past the last node of the subtree
    std::string path(NodeId node) const;       // relative, "" for the root
    // Children in name order: first_child, then next_sibling, until kNoNode.
    NodeId first_child(NodeId node) const;
    NodeId next_sibling(NodeId node) const;
    NodeId child(NodeId directory, std::string_view name) const;  // kNoNode if absent
    // Exact path, symlinks not followed. Leading and trailing slashes are ignored; "" is the root.
    NodeId find(std::string_view path) const;

    // Follows symlinks within the tree, as chroot would; ".." stops at the root. kNoNode if a
    // component is missing; Invalid after 255 links. `path_out` receives the resolved path even if
    // the last component does not exist (then kNoNode is returned and all earlier ones exist); it
    // is empty if an earlier one is missing or is no directory.
    NodeId resolve(std::string_view path, std::string* path_out = nullptr) const;

    // Nodes with a link_group, ascending. A pass over all nodes, if there is any.
    std::vector<NodeId> hard_links() const;

    // SHA-256 over everything in the subtree (names below the node, all metadata incl. mtime,
    // content): equal digests mean equal subtrees. O(1), computed when the tree was built. Members
    // of a hardlink group also cover the paths of the whole group, from the root: equal digests at
    // equal paths mean equal link structure too.
    const Digest& digest(NodeId node = kRoot) const;
    // Recomputes every digest; Corrupt naming the first path that disagrees. parse() trusts the
    // stored digests under the file's checksum, this does not.
    void verify_digests() const;
    // SHA-256 for cache keys: as digest() but per `policy` and without mtimes; the node's own name
    // is not part of it.
    Digest key_digest(NodeId node, const KeyPolicy& policy = {}) const;

    std::string serialise() const;  // the on-disk form
    // Corrupt if the checksum, a bound or the order is wrong.
    static Tree parse(Bytes bytes);

    struct Data;
    explicit Tree(std::shared_ptr<const Data> data);
    const std::shared_ptr<const Data>& shared_data() const { return data_; }  // for this module
    const Data& data() const { return *data_; }                               // so is this

  private:
    std::shared_ptr<const Data> data_;
};

// Edits. Starts from nothing (a root directory 0755 root:root, mtime 0) or from a tree.
class TreeBuilder {
  public:
    TreeBuilder();
    // `base` must outlive the builder; the tree made of it may share its memory, and keeps that.
    explicit TreeBuilder(const Tree& base);
    TreeBuilder(TreeBuilder&&) noexcept;
    ~TreeBuilder();

    // Adds or replaces the entry at `path` ("" is the root, which must be a directory). Missing
    // parents are created 0755 root:root with mtime 0. A directory over a directory keeps its
    // children; any other replacement drops them. Invalid if a parent exists and is not a
    // directory. Also Invalid: ".", "..", a name over 255 bytes or with NUL, two xattrs of one
    // name, a symbolic link to nothing, a path deeper than kMaxDepth.
    void put(std::string_view path, EntrySpec spec);
    void remove(std::string_view path);          // with everything below; absent is fine; not ""
    void clear_children(std::string_view path);  // keeps the directory itself
    // Puts a directory of `tree`, the base or another that outlives the builder, with everything
    // below it at `path`, replacing what is there. Nothing is visited: a renamed directory, or one
    // copied from another tree, costs one edit. Links lead as they did within `tree`.
    void put_subtree(std::string_view path, const Tree& tree, NodeId directory);
    // From here on, whatever is put or laid in from another tree loses the fractions of a second of
    // its times. What shows of the base keeps them.
    void use_whole_seconds();
    // The tree will be much like `past`: finish() shares what turns out equal, as with the base. It
    // is the same tree in any case, and making it no longer costs memory for all of it.
    void expect_like(const Tree& past);
    bool is_over(const Tree& tree) const;  // whether it is the base
    // State after the edits so far. Link groups are those of the base and those that were put.
    std::optional<EntrySpec> get(std::string_view path) const;
    std::vector<std::string> children(std::string_view path) const;
    // A link_group value that neither the base nor an earlier put uses.
    std::uint64_t new_link_group();

    // Link groups are renumbered 1.. in order of first appearance; a group of one becomes 0.
    Tree finish();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

// ---------------------------------------------------------------------------------------------
// From a directory.

// Remembers content digests between scans by (dev, ino, size, mtime, ctime), valid only if ctime is
// older than the moment the hash began (the racy rule of ARCHITECTURE.md). Persists in one file.
class StatCache {
  public:
    StatCache();  // in memory only
    // Read on first use; a missing or damaged file is an empty cache. `clock` must outlive the
    // cache.
    explicit StatCache(const std::string& path, const Clock& clock = system_clock());
    ~StatCache();
    void save();  // atomic; drops entries not used for 30 days
    struct Impl;
    Impl& impl() { return *impl_; }

  private:
    std::unique_ptr<Impl> impl_;
};

struct ScanOptions {
    walk::Options walk;
    io::EngineOptions io;
    StatCache* stat_cache = nullptr;
    // Forces 0:0 on every entry, as the build context requires.
    bool zero_owner = false;
    bool keep_sockets = false;
    // Regular files for which this is true are not read and get a zero content digest.
    std::function<bool(const walk::Entry&)> skip_content;
};

struct ScanStats {
    walk::Stats walk;
    walk::EngineReport walk_engine;
    std::uint64_t files_hashed = 0, files_from_cache = 0, bytes_hashed = 0;
    std::string engine;  // that read files; "none" if none was opened
};

// Walks, hashes every regular file not known to the stat cache, builds the tree. Sockets are left
// out unless asked for, and files that vanish while they are read. A file that changes while it is
// read is read again (three times, then System error).
Tree scan(const std::string& root, const ScanOptions& options = {}, ScanStats* stats = nullptr);

}  // namespace shale::snapshot
