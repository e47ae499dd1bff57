// write_tree and Tree::serialise: the on-disk form. Equal trees give equal bytes.
#include "disk_format.hpp"
#include "mapped_file.hpp"
#include "patch.hpp"
#include "tree_data.hpp"
#include "xattr_section.hpp"

#include <shale/checksum.hpp>
#include <shale/codec.hpp>
#include <shale/snapshot_file.hpp>

namespace shale::snapshot {

static_assert(sizeof(Node) == kNodeBytes && alignof(Node) == 8);

namespace {

// What is handed on at once: a whole number of pieces.
constexpr std::uint64_t kChunkBytes = 256 << 10;
static_assert(kChunkBytes % kPieceBytes == 0);

// Gathers what passes through into chunks, and sums up their pieces.
class PieceWriter {
  public:
    explicit PieceWriter(const std::function<void(Bytes)>& out) : out_(out) {
        chunk_.reserve(kChunkBytes);
    }

    void put(Bytes bytes) {
        while (!bytes.empty()) {
            const auto room = std::min<std::size_t>(bytes.size(), kChunkBytes - chunk_.size());
            chunk_.append(as_text(bytes.first(room)));
            bytes = bytes.subspan(room);
            if (chunk_.size() == kChunkBytes) close_chunk();
        }
    }
    template <typename T>
    void put(const Column<T>& column) {
        put(column.bytes());
    }
    void pad_to(std::uint64_t offset) {
        const std::string zeros(offset - (written_ + chunk_.size()), '\0');
        put(as_bytes(zeros));
    }
    void finish() {
        close_chunk();
        codec::append_checksum(sums_);
        out_(as_bytes(sums_));
    }

  private:
    void close_chunk() {
        const Bytes chunk = as_bytes(chunk_);
        for (std::size_t at = 0; at < chunk.size(); at += kPieceBytes)
            put_little(sums_, codec::xxh3_64(chunk.subspan(
                                  at, std::min<std::size_t>(kPieceBytes, chunk.size() - at))));
        if (!chunk.empty()) out_(chunk);
        written_ += chunk.size();
        chunk_.clear();
    }

    const std::function<void(Bytes)>& out_;
    std::string chunk_, sums_;
    std::uint64_t written_ = 0;
};

}  // namespace

void write_tree(const Tree& tree, const std::function<void(Bytes)>& out) {
    const Tree::Data& data = tree.data();
    if (data.patch) return write_tree(flatten(data), out);
    if (data.file) data.file->require_all();
    const std::string xattrs = encode_xattr_sets(data);
    DiskHeader header{};
    std::memcpy(header.magic, kMagic, sizeof kMagic);
    header.version = kVersion;
    header.node_count = data.size();
    header.names_bytes = data.names.size();
    header.targets_bytes = data.targets.size();
    header.xattr_bytes = xattrs.size();
    header.xattr_set_count = static_cast<std::uint32_t>(data.xattr_sets.size() - 1);
    header.link_group_count = static_cast<std::uint32_t>(data.group_digests.size() - 1);
    const Layout at = layout_of(header);

    PieceWriter writer(out);
    writer.put({reinterpret_cast<const std::byte*>(&header), sizeof header});
    writer.put(data.nodes);
    writer.pad_to(at.slots);
    writer.put(data.child_slots);
    writer.pad_to(at.contents);
    writer.put(data.contents);
    writer.pad_to(at.digests);
    writer.put(data.digests);
    writer.pad_to(at.groups);
    writer.put(data.group_digests);
    writer.pad_to(at.names);
    writer.put(data.names);
    writer.pad_to(at.targets);
    writer.put(data.targets);
    writer.pad_to(at.xattrs);
    writer.put(as_bytes(xattrs));
    writer.pad_to(at.sums);
    writer.finish();
}

bool is_file_of(const std::string& path, const Tree& tree) {
    try {
        // Costs nothing, and is nearly always the answer if they differ.
        if (open_tree(path).digest() != tree.digest()) return false;
        const Mapping file(path);
        std::size_t at = 0;
        bool is_same = true;
        write_tree(tree, [&](Bytes bytes) {
            is_same = is_same && bytes.size() <= file.bytes().size() - at &&
                      std::memcmp(file.bytes().data() + at, bytes.data(), bytes.size()) == 0;
            if (is_same) at += bytes.size();
        });
        return is_same && at == file.bytes().size();
    } catch (const Error&) {  // of that file: none, another kind, damaged
        return false;
    }
}

std::string Tree::serialise() const {
    std::string out;
    write_tree(*this, [&](Bytes bytes) { out.append(as_text(bytes)); });
    return out;
}

}  // namespace shale::snapshot
