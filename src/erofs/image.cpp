// Two passes over the tree: the first decides where every inode lies, which needs sizes only, the
// second writes, which needs to know where the others lie.
//
//   block 0        superblock; the inodes begin behind it with the root's, whose number must be
//                  small, the others in the tree's order
//   then           directories and link targets that do not fit behind their inode
//   then           attributes that several inodes share
//
// A directory's last block lies behind its inode if both fit into one block: most directories are
// small, and looking one up then reads what holds the inode already.
#include "directory.hpp"
#include "xattrs.hpp"

#include <shale/erofs.hpp>

#include <limits>
#include <unordered_map>

namespace shale::erofs {

namespace {

using snapshot::Entry;
using snapshot::kNoNode;
using snapshot::kRoot;
using snapshot::NodeId;

std::uint64_t rounded_up(std::uint64_t value, std::uint64_t unit) {
    return (value + unit - 1) / unit * unit;
}

std::uint8_t directory_type(FileType type) {
    switch (type) {
    case FileType::Regular:
        return 1;
    case FileType::Directory:
        return 2;
    case FileType::CharDevice:
        return 3;
    case FileType::BlockDevice:
        return 4;
    case FileType::Fifo:
        return 5;
    case FileType::Socket:
        return 6;
    case FileType::Symlink:
        return 7;
    }
    return 0;
}

bool is_device(FileType type) {
    return type == FileType::CharDevice || type == FileType::BlockDevice;
}

// As the kernel's new_encode_dev().
std::uint32_t encode_device(std::uint32_t major, std::uint32_t minor) {
    return (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12;
}

void check(const Entry& entry) {
    if (entry.type == FileType::Regular &&
        entry.size > std::uint64_t{std::numeric_limits<std::int64_t>::max()})
        fail(ErrorKind::Unsupported, "a file cannot be that large");
    if (!is_device(entry.type)) return;
    if (entry.device_major > 0xfff || entry.device_minor > 0xfffff)
        fail(ErrorKind::Unsupported, "EROFS has no room for these device numbers");
    if (entry.type == FileType::CharDevice && entry.device_major == 0 && entry.device_minor == 0)
        fail(ErrorKind::Unsupported, "device 0:0 is a whiteout to overlayfs");
}

class ImageWriter {
  public:
    ImageWriter(const snapshot::Tree& tree, std::string_view prefix)
        : tree_(tree), xattrs_(tree, prefix), places_(tree.size()) {}

    std::string write() {
        place_inodes();
        std::string out(xattr_offset_, '\0');
        for (NodeId node = 0; node < tree_.size(); ++node)
            if (is_first_link(node)) write_inode(out, node);
        out.append(xattrs_.shared_area());
        out.resize(rounded_up(out.size(), kBlock));
        write_super_block(out);
        return out;
    }

  private:
    struct Place {
        std::uint64_t inode = 0;  // offset in the image
        std::uint32_t block = 0;  // of data that does not lie behind the inode
        DataLayout layout = DataLayout::Plain;
    };
    // Of a hardlink group: the inode belongs to the first member.
    struct Group {
        NodeId first = kNoNode;
        std::uint32_t members = 0;
    };

    // Calls visit(name, node) for ".", ".." and the children, sorted as bytes.
    template <typename Visit>
    void each_name(NodeId directory, Visit visit) const {
        const NodeId parent = directory == kRoot ? kRoot : tree_.parent(directory);
        const std::pair<std::string_view, NodeId> dots[] = {{".", directory}, {"..", parent}};
        std::size_t dot = 0;
        for (NodeId node = tree_.first_child(directory); node != kNoNode;
             node = tree_.next_sibling(node)) {
            const auto name = tree_.name(node);
            for (; dot < std::size(dots) && dots[dot].first < name; ++dot)
                visit(dots[dot].first, dots[dot].second);
            visit(name, node);
        }
        for (; dot < std::size(dots); ++dot)
            visit(dots[dot].first, dots[dot].second);
    }

    std::uint64_t data_bytes(NodeId node, const Entry& entry) const {
        if (entry.type == FileType::Symlink) return entry.link_target.size();
        if (entry.type != FileType::Directory) return 0;
        DirectorySizer sizer;
        each_name(node, [&](std::string_view name, NodeId) { sizer.add(name); });
        return sizer.bytes();
    }

    static std::uint64_t chunk_table_bytes(const Entry& entry) {
        if (entry.type != FileType::Regular) return 0;
        return rounded_up(entry.size, 1ull << kLargestChunkBits) >> kLargestChunkBits << 2;
    }

    void place_inodes() {
        std::uint64_t end = kSuperOffset + sizeof(SuperBlock);
        std::uint64_t blocks = 0;  // of data; their place is known when the inodes have theirs
        for (NodeId node = 0; node < tree_.size(); ++node) {
            const auto entry = tree_.entry(node);
            if (entry.type == FileType::Directory && node != kRoot)
                ++subdirectories_[tree_.parent(node)];
            if (entry.link_group != 0) {
                auto& group = groups_[entry.link_group];
                if (group.members++ == 0) group.first = node;
                if (group.first != node) continue;
            }
            in_context([&] { return "/" + tree_.path(node); }, [&] { check(entry); });
            place_inode(node, entry, end, blocks);
            ++inodes_;
        }
        const auto data = rounded_up(end, kBlock);
        for (NodeId node = 0; node < tree_.size(); ++node)
            places_[node].block += static_cast<std::uint32_t>(data / kBlock);
        xattr_offset_ = data + blocks * kBlock;
        if (xattr_offset_ / kBlock + xattrs_.shared_area().size() / kBlock + 1 >= kHole)
            fail(ErrorKind::Unsupported, "too many entries for an EROFS image");
    }

    void place_inode(NodeId node, const Entry& entry, std::uint64_t& end, std::uint64_t& blocks) {
        Place& place = places_[node];
        const auto head = sizeof(Inode) + xattrs_.body(entry).size();
        const auto bytes = data_bytes(node, entry);
        const auto tail = bytes % kBlock;
        place.inode = rounded_up(end, kSlot);
        place.block = static_cast<std::uint32_t>(blocks);
        if (tail > 0 && head + tail <= kBlock) {
            place.layout = DataLayout::Inline;
            const auto in_block = place.inode % kBlock;
            if (in_block + head + tail > kBlock) place.inode += kBlock - in_block;
            blocks += bytes / kBlock;
            end = place.inode + head + tail;
            return;
        }
        if (chunk_table_bytes(entry) > 0) place.layout = DataLayout::Chunked;
        blocks += rounded_up(bytes, kBlock) / kBlock;
        end = place.inode + head + chunk_table_bytes(entry);
    }

    bool is_first_link(NodeId node) const {
        const auto group = tree_.entry(node).link_group;
        return group == 0 || groups_.at(group).first == node;
    }

    std::uint64_t nid(NodeId node) const {
        const auto group = tree_.entry(node).link_group;
        return places_[group == 0 ? node : groups_.at(group).first].inode / kSlot;
    }

    std::uint32_t links(NodeId node, const Entry& entry) const {
        if (entry.link_group != 0) return groups_.at(entry.link_group).members;
        if (entry.type != FileType::Directory) return 1;
        const auto found = subdirectories_.find(node);
        return 2 + (found == subdirectories_.end() ? 0 : found->second);
    }

    Inode inode(NodeId node, const Entry& entry, std::uint64_t xattr_bytes) const {
        const Place& place = places_[node];
        Inode out;
        out.format = static_cast<std::uint16_t>(1u | static_cast<unsigned>(place.layout) << 1);
        if (xattr_bytes > 0)
            out.xattr_count =
                static_cast<std::uint16_t>((xattr_bytes - sizeof(XattrHeader)) / 4 + 1);
        out.mode = static_cast<std::uint16_t>(mode_bits_of(entry.type) | entry.mode);
        out.size = entry.type == FileType::Regular ? entry.size : data_bytes(node, entry);
        out.number = static_cast<std::uint32_t>(node + 1);
        out.uid = entry.uid;
        out.gid = entry.gid;
        const timespec time = to_timespec(entry.mtime_ns);
        out.mtime = time.tv_sec;
        out.mtime_ns = static_cast<std::uint32_t>(time.tv_nsec);
        out.links = links(node, entry);
        if (is_device(entry.type))
            out.place = encode_device(entry.device_major, entry.device_minor);
        else if (place.layout == DataLayout::Chunked)
            out.place = kLargestChunk;
        else if (out.size > 0)
            out.place = place.block;
        return out;
    }

    std::string data(NodeId node, const Entry& entry) const {
        if (entry.type == FileType::Symlink) return std::string(entry.link_target);
        if (entry.type != FileType::Directory) return {};
        DirectoryWriter writer;
        each_name(node, [&](std::string_view name, NodeId child) {
            writer.add(name, nid(child), directory_type(tree_.entry(child).type));
        });
        return std::move(writer).finish();
    }

    void write_inode(std::string& out, NodeId node) const {
        const auto entry = tree_.entry(node);
        const Place& place = places_[node];
        const auto xattrs = xattrs_.body(entry);
        std::string text;
        put_little(text, inode(node, entry, xattrs.size()));
        text.append(xattrs).append(chunk_table_bytes(entry), '\xff');
        auto bytes = data(node, entry);
        if (place.layout == DataLayout::Inline) {
            const auto whole = bytes.size() / kBlock * kBlock;
            text.append(bytes, whole);
            bytes.resize(whole);
        }
        put_at(out, place.inode, text);
        if (!bytes.empty()) put_at(out, place.block * kBlock, bytes);
    }

    static void put_at(std::string& out, std::uint64_t offset, std::string_view text) {
        SHALE_ENSURE(offset + text.size() <= out.size());
        std::memcpy(out.data() + offset, text.data(), text.size());
    }

    void write_super_block(std::string& out) const {
        SuperBlock super;
        super.root_nid = static_cast<std::uint16_t>(nid(kRoot));
        super.inodes = inodes_;
        super.blocks = static_cast<std::uint32_t>(out.size() / kBlock);
        super.xattr_block = static_cast<std::uint32_t>(xattr_offset_ / kBlock);
        // overlayfs tells file systems apart by it; equal trees may share one.
        std::memcpy(super.uuid, tree_.digest().bytes.data(), sizeof super.uuid);
        std::string text;
        put_little(text, super);
        put_at(out, kSuperOffset, text);
    }

    const snapshot::Tree& tree_;
    const XattrTable xattrs_;
    std::vector<Place> places_;  // by node; of a group, the first member's counts
    std::unordered_map<std::uint64_t, Group> groups_;
    std::unordered_map<NodeId, std::uint32_t> subdirectories_;
    std::uint64_t inodes_ = 0;
    std::uint64_t xattr_offset_ = 0;
};

}  // namespace

std::string image_of(const snapshot::Tree& tree, std::string_view prefix) {
    return in_context([] { return std::string("writing an EROFS image"); },
                      [&] { return ImageWriter(tree, prefix).write(); });
}

}  // namespace shale::erofs
