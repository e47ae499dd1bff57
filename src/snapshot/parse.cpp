// Tree::parse and open_tree: the on-disk form back into a tree, trusting nothing.
//
// parse() rebuilds the arrays of a tree from the fields that no other field determines, checking
// each node against its parent (range, order of names) and against what its type allows; xattr sets
// and link groups must be numbered by first appearance and all be used, as the writer numbers them.
// A file of version 2 must then hold exactly the arrays that came out. Section lengths come from
// the header and must add up to the file, so nothing is allocated that the file itself does not pay
// for. Digests are taken over: checksums guard them against damage, Tree::verify_digests()
// recomputes them for whoever does not trust the file.
//
// open_tree() does none of that; see mapped_file.hpp.
#include "digests.hpp"
#include "disk_format.hpp"
#include "mapped_file.hpp"
#include "tree_data.hpp"
#include "xattr_section.hpp"

#include <shale/checksum.hpp>
#include <shale/snapshot_file.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

namespace shale::snapshot {

namespace {

// What the header of either version says.
struct Counts {
    std::uint32_t nodes = 0, contents = 0, xattr_sets = 0, link_groups = 0;
};

// Builds the arrays of a tree from nodes in the form of version 1.
class Rebuilder {
  public:
    // `data` holds digests, group digests, names, targets and xattr sets already; `contents` are
    // those of regular files.
    Rebuilder(std::unique_ptr<Tree::Data> data, const Counts& counts, Bytes contents)
        : counts_(counts), contents_(contents), data_(std::move(data)) {
        data_->nodes.resize(counts.nodes);
        data_->contents.resize(counts.nodes);
        group_first_.resize(counts.link_groups + std::size_t{1}, kNoNode);
        group_members_.resize(counts.link_groups + std::size_t{1});
    }

    template <typename NodeOf>
    std::unique_ptr<Tree::Data> run(NodeOf&& node_of) {
        for (NodeId node = 0; node < counts_.nodes; ++node)
            read_node(node, node_of(node));
        check_totals();
        index_children(*data_);
        return std::move(data_);
    }

  private:
    [[noreturn]] static void reject(NodeId node, const std::string& why) {
        fail(ErrorKind::Corrupt, "snapshot: node " + std::to_string(node) + ": " + why);
    }

    std::string_view name(const Node& node) const {
        return {data_->names.data() + node.name_offset, node.name_bytes};
    }
    void read_node(NodeId id, const DiskNode1& disk) {
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
    void place(NodeId id, Node& node, const DiskNode1& disk) {
        node.name_bytes = disk.name_bytes;
        node.name_offset = static_cast<std::uint32_t>(names_at_);
        if (disk.name_bytes > data_->names.size() - names_at_) reject(id, "name out of bounds");
        names_at_ += disk.name_bytes;
        const bool is_directory = node.type == FileType::Directory;
        if (id == kRoot) {
            if (!is_directory || disk.name_bytes != 0 || disk.end != counts_.nodes)
                reject(id, "the root is not a root");
        } else {
            while (data_->nodes[open_.back().directory].end == id)
                open_.pop_back();
            Open& parent = open_.back();
            node.parent = parent.directory;
            if (disk.end <= id || disk.end > data_->nodes[parent.directory].end ||
                (!is_directory && disk.end != id + 1))
                reject(id, "impossible subtree range");
            if (!is_valid_name(name(node))) reject(id, "impossible name");
            if (parent.last_child != kNoNode && name(data_->nodes[parent.last_child]) >= name(node))
                reject(id, "names out of order");
            parent.last_child = id;
        }
        if (is_directory) open_.push_back({id, kNoNode});
        if (open_.size() > kMaxDepth + 1) reject(id, "nested too deep");
    }

    void read_value(NodeId id, Node& node, const DiskNode1& disk) {
        switch (node.type) {
        case FileType::Regular:
            if (contents_at_ == counts_.contents) reject(id, "no content digest");
            std::memcpy(data_->contents[id].bytes.data(),
                        contents_.data() + contents_at_++ * kDigestBytes, kDigestBytes);
            node.value = disk.value;
            return;
        case FileType::Symlink:
            if (disk.value == 0 || disk.value > data_->targets.size() - targets_at_)
                reject(id, "link target out of bounds");
            node.value = targets_at_ << 32 | disk.value;
            targets_at_ += disk.value;
            if (std::memchr(data_->targets.data() + targets_at_ - disk.value, 0, disk.value))
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

    void read_xattr_set(NodeId id, Node& node, const DiskNode1& disk) {
        if (disk.xattr_set > counts_.xattr_sets || disk.xattr_set > sets_seen_ + 1)
            reject(id, "impossible xattr set");
        sets_seen_ = std::max(sets_seen_, disk.xattr_set);
        node.xattr_set = disk.xattr_set;
    }

    void read_link_group(NodeId id, Node& node, const DiskNode1& disk) {
        const std::uint32_t group = disk.link_group;
        if (group == 0) return;
        if (group > counts_.link_groups || group > groups_seen_ + 1 ||
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
        const auto require = [](bool is_right, const char* otherwise) {
            if (!is_right) fail(ErrorKind::Corrupt, std::string("snapshot: ") + otherwise);
        };
        require(names_at_ == data_->names.size(), "names left over");
        require(targets_at_ == data_->targets.size(), "link targets left over");
        require(contents_at_ == counts_.contents, "content digests left over");
        require(sets_seen_ == counts_.xattr_sets, "unused xattr sets");
        require(groups_seen_ == counts_.link_groups, "unused link groups");
        for (std::size_t group = 1; group < group_members_.size(); ++group)
            require(group_members_[group] >= 2, "a link group of one");
    }

    struct Open {
        NodeId directory;
        NodeId last_child;
    };

    const Counts counts_;
    const Bytes contents_;
    std::unique_ptr<Tree::Data> data_;
    std::vector<Open> open_;  // from the root to the directory being filled
    std::vector<NodeId> group_first_;
    std::vector<std::uint32_t> group_members_;
    std::uint64_t names_at_ = 0, targets_at_ = 0;
    std::uint32_t contents_at_ = 0, sets_seen_ = 0, groups_seen_ = 0;
};

std::unique_ptr<Tree::Data> parse_version_1(Bytes all) {
    ByteReader in(all, "snapshot");
    if (all.size() < sizeof(DiskHeader1) + kChecksumBytes) in.corrupt("file too short");
    DiskHeader1 header;
    std::memcpy(&header, in.take(sizeof header).data(), sizeof header);
    if (!codec::has_checksum(all)) in.corrupt("checksum mismatch");
    if (header.reserved != 0 || header.node_count == 0 || header.node_count == kNoNode ||
        header.names_bytes > kPoolLimit || header.targets_bytes > kPoolLimit)
        in.corrupt("impossible header");

    auto data = std::make_unique<Tree::Data>();
    const Bytes nodes = in.take(std::uint64_t{header.node_count} * sizeof(DiskNode1));
    const Bytes contents = in.take(std::uint64_t{header.content_count} * kDigestBytes);
    data->digests.assign(in.take(std::uint64_t{header.node_count} * kDigestBytes));
    const Bytes groups = in.take(std::uint64_t{header.link_group_count} * kDigestBytes);
    data->group_digests.append(reinterpret_cast<const Digest*>(groups.data()),
                               header.link_group_count);
    data->names.assign(in.take(header.names_bytes));
    data->targets.assign(in.take(header.targets_bytes));
    read_xattr_sets(in.take(header.xattr_bytes), header.xattr_set_count, *data);
    if (in.remaining() != kChecksumBytes) in.corrupt("section lengths do not add up");
    const Counts counts{header.node_count, header.content_count, header.xattr_set_count,
                        header.link_group_count};
    return Rebuilder(std::move(data), counts, contents).run([&](NodeId id) {
        DiskNode1 node;
        std::memcpy(&node, nodes.data() + id * sizeof node, sizeof node);
        return node;
    });
}

// The columns of a file of version 2, as views.
std::unique_ptr<Tree::Data> map_version_2(std::unique_ptr<const MappedFile> file) {
    const DiskHeader& header = file->header();
    const Layout& at = file->layout();
    const std::size_t count = header.node_count;
    auto data = std::make_unique<Tree::Data>();
    const auto section = [&](std::uint64_t offset) { return file->section(offset, 0).data(); };
    data->nodes.view(section(at.nodes), count);
    data->child_slots.view(section(at.slots), count - 1);
    data->contents.view(section(at.contents), count);
    data->digests.view(section(at.digests), count);
    data->group_digests = {};
    data->group_digests.view(section(at.groups), header.link_group_count + std::size_t{1});
    data->names.view(section(at.names), header.names_bytes);
    data->targets.view(section(at.targets), header.targets_bytes);
    file->require(at.xattrs, header.xattr_bytes);
    read_xattr_sets(file->section(at.xattrs, header.xattr_bytes), header.xattr_set_count, *data);
    data->file = std::move(file);
    return data;
}

template <typename T>
bool is_equal(const Column<T>& a, const Column<T>& b) {
    return a.size() == b.size() &&
           (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

DiskNode1 determining_fields(const Node& node) {
    DiskNode1 disk{};
    disk.value =
        node.type == FileType::Symlink ? static_cast<std::uint32_t>(node.value) : node.value;
    disk.mtime_ns = node.mtime_ns;
    disk.end = node.end;
    disk.uid = node.uid;
    disk.gid = node.gid;
    disk.xattr_set = node.xattr_set;
    disk.link_group = node.link_group;
    disk.mode = node.mode;
    disk.type = static_cast<std::uint8_t>(node.type);
    disk.name_bytes = node.name_bytes;
    return disk;
}

// Sections are separated by zeros up to the next multiple of the alignment.
void check_gaps(const MappedFile& file, const Tree::Data& data) {
    const Layout& at = file.layout();
    const std::uint64_t ends[][2] = {
        {at.nodes + data.nodes.size() * kNodeBytes, at.slots},
        {at.slots + data.child_slots.size() * kSlotBytes, at.contents},
        {at.contents + data.contents.size() * kDigestBytes, at.digests},
        {at.digests + data.digests.size() * kDigestBytes, at.groups},
        {at.groups + data.group_digests.size() * kDigestBytes, at.names},
        {at.names + data.names.size(), at.targets},
        {at.targets + data.targets.size(), at.xattrs},
        {at.xattrs + file.header().xattr_bytes, at.sums},
    };
    for (const auto& [end, next] : ends)
        for (const std::byte byte : file.section(end, next - end))
            if (byte != std::byte{0}) file.reject("bytes between sections");
}

std::unique_ptr<Tree::Data> parse_version_2(Bytes all) {
    auto mapped = map_version_2(std::make_unique<const MappedFile>(all));
    const MappedFile& file = *mapped->file;
    file.require_all();
    check_gaps(file, *mapped);
    auto data = std::make_unique<Tree::Data>();
    data->digests.append(mapped->digests.data(), mapped->digests.size());
    data->group_digests = {};
    data->group_digests.append(mapped->group_digests.data(), mapped->group_digests.size());
    data->names.append(mapped->names.data(), mapped->names.size());
    data->targets.append(mapped->targets.data(), mapped->targets.size());
    data->xattr_sets = std::move(mapped->xattr_sets);
    data->xattr_digests = std::move(mapped->xattr_digests);
    Column<Digest> contents;  // of regular files only, as version 1 has them
    for (NodeId id = 0; id < mapped->size(); ++id)
        if (mapped->nodes[id].type == FileType::Regular) contents.push_back(mapped->contents[id]);
    const Counts counts{file.header().node_count, static_cast<std::uint32_t>(contents.size()),
                        file.header().xattr_set_count, file.header().link_group_count};
    const Bytes content_bytes(reinterpret_cast<const std::byte*>(contents.data()),
                              contents.size() * kDigestBytes);
    data = Rebuilder(std::move(data), counts, content_bytes).run([&](NodeId id) {
        return determining_fields(mapped->nodes[id]);
    });
    if (!is_equal(data->nodes, mapped->nodes) || !is_equal(data->contents, mapped->contents) ||
        !is_equal(data->child_slots, mapped->child_slots) || !data->group_digests[0].is_zero())
        file.reject("its arrays contradict each other");
    return data;
}

std::uint32_t version_of(Bytes bytes) {
    ByteReader in(bytes, "snapshot");
    if (as_text(in.take(sizeof kMagic)) != std::string_view(kMagic, sizeof kMagic))
        in.corrupt("wrong magic");
    const std::uint32_t version = in.u32();
    if (version < kFirstVersion || version > kVersion)
        fail(ErrorKind::Unsupported, "snapshot: version " + std::to_string(version) +
                                         ", this program reads up to " + std::to_string(kVersion));
    return version;
}

}  // namespace

Tree Tree::parse(Bytes bytes) {
    return Tree(version_of(bytes) == 1 ? parse_version_1(bytes) : parse_version_2(bytes));
}

Tree open_tree(const std::string& path) {
    Mapping mapping(path);
    if (version_of(mapping.bytes()) == 1) return Tree(parse_version_1(mapping.bytes()));
    return Tree(map_version_2(std::make_unique<const MappedFile>(std::move(mapping))));
}

Tree open_whole_tree(const std::string& path) {
    Tree tree = open_tree(path);
    if (tree.data().file) tree.data().file->require_all();
    return tree;
}

bool is_snapshot_file(const std::string& path) {
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    char magic[sizeof kMagic];
    return file && ::pread(file.get(), magic, sizeof magic, 0) == sizeof magic &&
           std::memcmp(magic, kMagic, sizeof magic) == 0;
}

}  // namespace shale::snapshot
