// Tree::serialise: the on-disk form. Equal trees give equal bytes.
#include "disk_format.hpp"
#include "tree_data.hpp"

#include <shale/codec.hpp>

namespace shale::snapshot {

namespace {

void put_digest(std::string& out, const Digest& digest) {
    out.append(reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size());
}

std::string encode_xattr_sets(const Tree::Data& data) {
    std::string out;
    for (std::size_t set = 1; set < data.xattr_sets.size(); ++set) {
        put_little(out, static_cast<std::uint32_t>(data.xattr_sets[set].size()));
        for (const Xattr& xattr : data.xattr_sets[set]) {
            put_little(out, static_cast<std::uint32_t>(xattr.name.size()));
            put_little(out, static_cast<std::uint32_t>(xattr.value.size()));
            out.append(xattr.name);
            out.append(xattr.value);
        }
    }
    return out;
}

DiskNode encode_node(const Node& node) {
    DiskNode disk{};
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

}  // namespace

std::string Tree::serialise() const {
    const Data& data = *data_;
    const std::string xattrs = encode_xattr_sets(data);
    std::uint32_t regular_files = 0;
    for (const Node& node : data.nodes)
        regular_files += node.type == FileType::Regular;

    DiskHeader header{};
    std::memcpy(header.magic, kMagic, sizeof kMagic);
    header.version = kVersion;
    header.node_count = static_cast<std::uint32_t>(data.nodes.size());
    header.names_bytes = data.names.size();
    header.targets_bytes = data.targets.size();
    header.xattr_bytes = xattrs.size();
    header.content_count = regular_files;
    header.xattr_set_count = static_cast<std::uint32_t>(data.xattr_sets.size() - 1);
    header.link_group_count = static_cast<std::uint32_t>(data.group_digests.size() - 1);

    std::string out;
    out.reserve(sizeof header + data.nodes.size() * (sizeof(DiskNode) + 2 * kDigestBytes) +
                data.group_digests.size() * kDigestBytes + data.names.size() + data.targets.size() +
                xattrs.size() + kChecksumBytes);
    put_little(out, header);
    for (const Node& node : data.nodes)
        put_little(out, encode_node(node));
    for (std::size_t node = 0; node < data.nodes.size(); ++node)
        if (data.nodes[node].type == FileType::Regular) put_digest(out, data.contents[node]);
    for (const Digest& digest : data.digests)
        put_digest(out, digest);
    for (std::size_t group = 1; group < data.group_digests.size(); ++group)
        put_digest(out, data.group_digests[group]);
    out.append(data.names).append(data.targets).append(xattrs);
    const auto checksum = codec::xxh3_128(as_bytes(out));
    put_little(out, checksum.low);
    put_little(out, checksum.high);
    return out;
}

}  // namespace shale::snapshot
