// Tree::parse: the on-disk form back into a tree, trusting nothing.
//
// Section lengths come from the header and must add up to the file exactly, so nothing is allocated
// that the file itself does not pay for. Each node is checked against its parent (range, order of
// names) and against what its type allows; xattr sets and link groups must be numbered by first
// appearance and all be used, as the writer numbers them. Digests are taken over: the checksum
// guards them against damage, Tree::verify_digests() recomputes them for whoever does not trust the
// file.
#include "digests.hpp"
#include "disk_format.hpp"
#include "tree_data.hpp"

#include <shale/codec.hpp>

#include <algorithm>

namespace shale::snapshot {

namespace {

class Parser {
  public:
    explicit Parser(Bytes bytes) : all_(bytes), in_(bytes, "snapshot") {}

    std::unique_ptr<Tree::Data> run() {
        read_header();
        read_sections();
        read_xattr_sets();
        for (NodeId node = 0; node < header_.node_count; ++node)
            read_node(node);
        check_totals();
        index_children(*data_);
        return std::move(data_);
    }

  private:
    [[noreturn]] void reject(NodeId node, const std::string& why) const {
        fail(ErrorKind::Corrupt, "snapshot: node " + std::to_string(node) + ": " + why);
    }

    void read_header() {
        if (all_.size() < sizeof(DiskHeader) + kChecksumBytes) in_.corrupt("file too short");
        std::memcpy(&header_, in_.take(sizeof header_).data(), sizeof header_);
        if (std::memcmp(header_.magic, kMagic, sizeof kMagic) != 0) in_.corrupt("wrong magic");
        if (header_.version != kVersion)
            fail(ErrorKind::Unsupported, "snapshot: version " + std::to_string(header_.version) +
                                             ", this program reads " + std::to_string(kVersion));
        const Bytes covered = all_.first(all_.size() - kChecksumBytes);
        ByteReader trailer(all_.last(kChecksumBytes), "snapshot checksum");
        const auto checksum = codec::xxh3_128(covered);
        if (trailer.u64() != checksum.low || trailer.u64() != checksum.high)
            in_.corrupt("checksum mismatch");
        if (header_.reserved != 0 || header_.node_count == 0 || header_.node_count == kNoNode ||
            header_.names_bytes > kPoolLimit || header_.targets_bytes > kPoolLimit)
            in_.corrupt("impossible header");
    }

    void read_sections() {
        nodes_ = in_.take(std::uint64_t{header_.node_count} * sizeof(DiskNode));
        contents_ = in_.take(std::uint64_t{header_.content_count} * kDigestBytes);
        const Bytes digests = in_.take(std::uint64_t{header_.node_count} * kDigestBytes);
        const Bytes groups = in_.take(std::uint64_t{header_.link_group_count} * kDigestBytes);
        data_->names = as_text(in_.take(header_.names_bytes));
        data_->targets = as_text(in_.take(header_.targets_bytes));
        xattrs_ = in_.take(header_.xattr_bytes);
        if (in_.remaining() != kChecksumBytes) in_.corrupt("section lengths do not add up");

        data_->nodes.resize(header_.node_count);
        data_->contents.resize(header_.node_count);
        data_->digests.resize(header_.node_count);
        std::memcpy(data_->digests.data(), digests.data(), digests.size());
        data_->group_digests.resize(header_.link_group_count + std::size_t{1});
        if (!groups.empty()) std::memcpy(&data_->group_digests[1], groups.data(), groups.size());
        group_first_.resize(header_.link_group_count + std::size_t{1}, kNoNode);
        group_members_.resize(header_.link_group_count + std::size_t{1});
    }

    void read_xattr_sets() {
        ByteReader in(xattrs_, "snapshot xattrs");
        for (std::uint32_t set = 0; set < header_.xattr_set_count; ++set) {
            std::vector<Xattr> xattrs;
            const std::uint32_t count = in.u32();
            if (count == 0) in.corrupt("empty set");
            for (std::uint32_t at = 0; at < count; ++at) {
                const std::uint32_t name_bytes = in.u32();
                const std::uint32_t value_bytes = in.u32();
                Xattr xattr{std::string(as_text(in.take(name_bytes))),
                            std::string(as_text(in.take(value_bytes)))};
                if (xattr.name.empty() || xattr.name.size() > 255 ||
                    xattr.name.find('\0') != std::string::npos ||
                    (at > 0 && xattr.name <= xattrs.back().name))
                    in.corrupt("impossible or unsorted name");
                xattrs.push_back(std::move(xattr));
            }
            data_->xattr_digests.push_back(digest_of_xattrs(xattrs));
            data_->xattr_sets.push_back(std::move(xattrs));
        }
        if (in.remaining() != 0) in.corrupt("bytes left over");
    }

    void read_node(NodeId id) {
        DiskNode disk;
        std::memcpy(&disk, nodes_.data() + id * sizeof disk, sizeof disk);
        Node& node = data_->nodes[id];
        if (disk.type > static_cast<std::uint8_t>(FileType::Socket)) reject(id, "unknown type");
        if (disk.mode > 07777) reject(id, "impossible mode");
        node.type = static_cast<FileType>(disk.type);
        node.mode = disk.mode;
        node.mtime_ns = disk.mtime_ns;
        node.uid = disk.uid;
        node.gid = disk.gid;
        node.end = disk.end;
        place(id, node, disk);
        read_value(id, node, disk);
        read_xattr_set(id, node, disk);
        read_link_group(id, node, disk);
    }

    // Finds the parent (the innermost directory still open) and checks range and name against it.
    void place(NodeId id, Node& node, const DiskNode& disk) {
        node.name_bytes = disk.name_bytes;
        node.name_offset = static_cast<std::uint32_t>(names_at_);
        if (disk.name_bytes > data_->names.size() - names_at_) reject(id, "name out of bounds");
        names_at_ += disk.name_bytes;
        const bool is_directory = node.type == FileType::Directory;
        if (id == kRoot) {
            if (!is_directory || disk.name_bytes != 0 || disk.end != header_.node_count)
                reject(id, "the root is not a root");
        } else {
            while (data_->nodes[open_.back().directory].end == id)
                open_.pop_back();
            Open& parent = open_.back();
            node.parent = parent.directory;
            if (disk.end <= id || disk.end > data_->nodes[parent.directory].end ||
                (!is_directory && disk.end != id + 1))
                reject(id, "impossible subtree range");
            if (!is_valid_name(data_->name(id))) reject(id, "impossible name");
            if (parent.last_child != kNoNode && data_->name(parent.last_child) >= data_->name(id))
                reject(id, "names out of order");
            parent.last_child = id;
        }
        if (is_directory) open_.push_back({id, kNoNode});
        if (open_.size() > kMaxDepth + 1) reject(id, "nested too deep");
    }

    void read_value(NodeId id, Node& node, const DiskNode& disk) {
        switch (node.type) {
        case FileType::Regular:
            if (contents_at_ == header_.content_count) reject(id, "no content digest");
            std::memcpy(data_->contents[id].bytes.data(),
                        contents_.data() + contents_at_++ * kDigestBytes, kDigestBytes);
            node.value = disk.value;
            return;
        case FileType::Symlink:
            if (disk.value == 0 || disk.value > data_->targets.size() - targets_at_)
                reject(id, "link target out of bounds");
            node.value = targets_at_ << 32 | disk.value;
            targets_at_ += disk.value;
            if (data_->target(id).find('\0') != std::string_view::npos)
                reject(id, "NUL in link target");
            return;
        case FileType::CharDevice:
        case FileType::BlockDevice:
            node.value = disk.value;
            return;
        case FileType::Directory:
        case FileType::Fifo:
        case FileType::Socket:
            if (disk.value != 0) reject(id, "a size where none can be");
        }
    }

    void read_xattr_set(NodeId id, Node& node, const DiskNode& disk) {
        if (disk.xattr_set > header_.xattr_set_count || disk.xattr_set > sets_seen_ + 1)
            reject(id, "impossible xattr set");
        sets_seen_ = std::max(sets_seen_, disk.xattr_set);
        node.xattr_set = disk.xattr_set;
    }

    void read_link_group(NodeId id, Node& node, const DiskNode& disk) {
        const std::uint32_t group = disk.link_group;
        if (group == 0) return;
        if (group > header_.link_group_count || group > groups_seen_ + 1 ||
            node.type == FileType::Directory || node.type == FileType::Symlink)
            reject(id, "impossible link group");
        groups_seen_ = std::max(groups_seen_, group);
        node.link_group = group;
        ++group_members_[group];
        NodeId& first = group_first_[group];
        if (first == kNoNode) first = id;
        if (!is_same_inode(data_->nodes[first], node) ||
            data_->contents[first] != data_->contents[id])
            reject(id, "differs from the file it is a hard link of");
    }

    void check_totals() const {
        if (names_at_ != data_->names.size()) in_.corrupt("names left over");
        if (targets_at_ != data_->targets.size()) in_.corrupt("link targets left over");
        if (contents_at_ != header_.content_count) in_.corrupt("content digests left over");
        if (sets_seen_ != header_.xattr_set_count) in_.corrupt("unused xattr sets");
        if (groups_seen_ != header_.link_group_count) in_.corrupt("unused link groups");
        for (std::size_t group = 1; group < group_members_.size(); ++group)
            if (group_members_[group] < 2) in_.corrupt("a link group of one");
    }

    struct Open {
        NodeId directory;
        NodeId last_child;
    };

    Bytes all_;
    ByteReader in_;
    DiskHeader header_{};
    Bytes nodes_, contents_, xattrs_;
    std::unique_ptr<Tree::Data> data_ = std::make_unique<Tree::Data>();
    std::vector<Open> open_;  // from the root to the directory being filled
    std::vector<NodeId> group_first_;
    std::vector<std::uint32_t> group_members_;
    std::uint64_t names_at_ = 0, targets_at_ = 0;
    std::uint32_t contents_at_ = 0, sets_seen_ = 0, groups_seen_ = 0;
};

}  // namespace

Tree Tree::parse(Bytes bytes) {
    return Tree(Parser(bytes).run());
}

}  // namespace shale::snapshot
