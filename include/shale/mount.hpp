// mount: a tree shown lazily: inode numbers, attributes, directories, and reads that fetch only the
// frames they touch. No libfuse here; fuse/ translates requests into these calls.
//
// A View is immutable apart from its frame cache and safe from any thread.
#pragma once

#include <shale/base.hpp>
#include <shale/layer.hpp>
#include <shale/oci.hpp>
#include <shale/snapshot.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shale::mount {

// 1 is the root. Members of a hardlink group share one number. Stable for the life of a View and
// for equal trees.
enum class InodeId : std::uint64_t {};
inline constexpr InodeId kRootInode{1};

struct Attributes {
    InodeId inode{};
    FileType type = FileType::Directory;
    std::uint32_t mode = 0;  // 07777 bits
    std::uint32_t uid = 0, gid = 0, nlink = 1;
    std::uint64_t size = 0;  // symlink: length of the target
    std::int64_t mtime_ns = 0;
    std::uint32_t device_major = 0, device_minor = 0;
};

class View {
  public:
    // `blobs` must outlive the view.
    View(std::shared_ptr<const snapshot::Tree> tree, layer::ContentIndex contents,
         oci::BlobSource& blobs);
    // A tree whose contents lie elsewhere than in layers: a directory of the host, for instance.
    // `read` fills `out` from a regular file of the tree, fewer bytes only at its end; it is called
    // from any thread.
    using ReadFile =
        std::function<std::size_t(snapshot::NodeId node, std::uint64_t offset, MutableBytes out)>;
    View(std::shared_ptr<const snapshot::Tree> tree, ReadFile read);
    ~View();

    const snapshot::Tree& tree() const;
    bool has_xattrs() const;  // any entry carries one
    std::optional<Attributes> attributes(InodeId inode) const;
    std::optional<Attributes> lookup(InodeId directory, std::string_view name) const;
    std::string_view link_target(InodeId inode) const;
    std::span<const Xattr> xattrs(InodeId inode) const;

    struct DirectoryEntry {
        std::string_view name;
        Attributes attributes;
    };
    // Walks a directory: begin at first_child, go on until nullopt. Each call moves `position` to
    // the next sibling; a position may be kept and continued from later.
    snapshot::NodeId first_child(InodeId directory) const;
    std::optional<DirectoryEntry> directory_entry(InodeId directory,
                                                  snapshot::NodeId& position) const;
    InodeId parent(InodeId directory) const;  // the root is its own parent

    // May fetch frames. Throws Corrupt or Network; never returns bytes that failed a checksum.
    std::size_t fetch(InodeId inode, std::uint64_t offset, MutableBytes out);

    // Regular files of at least kLargeBytes, in the order of their nodes, and how many bytes of
    // each were fetched so far; bytes fetched twice count twice.
    static constexpr std::uint64_t kLargeBytes = 4 << 20;
    struct LargeFile {
        snapshot::NodeId node;
        std::uint64_t bytes_read;
    };
    std::vector<LargeFile> large_files() const;

    layer::ContentReader& contents();  // of a view of layers only

  private:
    struct State;
    std::unique_ptr<State> state_;
};

// The contents of a view's files, each as one file named by its digest in hex, all in one flat
// directory that does not list them: what overlayfs looks for behind a metadata image. Numbers are
// given out as names are asked for; nothing depends on how many files the tree has.
//
// Safe from any thread.
class ContentView {
  public:
    // Of a view of layers. Names begin with `prefix`.
    ContentView(std::shared_ptr<View> view, std::string prefix);
    ~ContentView();
    std::optional<Attributes> lookup(std::string_view name);  // nullopt: no file has this content
    std::optional<Attributes> attributes(InodeId inode) const;
    std::size_t fetch(InodeId inode, std::uint64_t offset, MutableBytes out);  // as View's

  private:
    struct State;
    std::unique_ptr<State> state_;
};

// Bytes of a file of a tree by path, symlinks followed inside the tree; for `shale cat` and
// exports.
codec::Source open_file(const snapshot::Tree& tree, layer::ContentReader& contents,
                        std::string_view path);

}  // namespace shale::mount
