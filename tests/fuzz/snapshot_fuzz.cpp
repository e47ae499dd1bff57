// Snapshot files from strangers, of both versions. The checksums are put right first, or nothing
// would get past them. What parse() accepts must be written back as it was (version 2) and must
// stand look-ups, resolution and edits. What open() maps without looking may turn out to be damaged
// at any step, and must do so by an Error.
#include "tree_laws.hpp"

#include <shale/codec.hpp>
#include <shale/snapshot.hpp>
#include <shale/snapshot_file.hpp>

#include <sys/mman.h>

using namespace shale;
using snapshot::NodeId;
using snapshot::Tree;

namespace {

constexpr std::size_t kPieceBytes = 4 << 10, kMaxBytes = 1 << 20;

void put_checksum(std::string& bytes, std::size_t covered_from) {
    const auto checksum = codec::xxh3_128(as_bytes(bytes).subspan(covered_from));
    put_little(bytes, checksum.low);
    put_little(bytes, checksum.high);
}

void put_table(std::string& bytes) {
    const std::size_t covered = bytes.size();
    for (std::size_t at = 0; at < covered; at += kPieceBytes)
        put_little(bytes, codec::xxh3_64(
                              as_bytes(bytes).subspan(at, std::min(kPieceBytes, covered - at))));
    put_checksum(bytes, covered);
}

void navigate(const Tree& tree) {
    for (NodeId node = 0; node < tree.size(); ++node) {
        SHALE_ENSURE(tree.find(tree.path(node)) == node);
        tree.entry(node).spec();
        try {
            tree.resolve(tree.path(node));
        } catch (const Error& error) {  // too many links, or damaged
            if (error.kind() == ErrorKind::Corrupt) throw;
        }
    }
}

void use(const Tree& tree) {
    navigate(tree);
    tree.key_digest(snapshot::kRoot);
    snapshot::TreeBuilder builder(tree);
    for (NodeId node = 1; node < tree.size(); node += 3)
        builder.remove(tree.path(node));
    check_edit(builder);
}

void use_mapped(const std::string& bytes) {
    const UniqueFd file(::memfd_create("snapshot", MFD_CLOEXEC));
    write_all(file.get(), as_bytes(bytes), "memfd");
    try {
        const Tree tree = snapshot::open_tree("/proc/self/fd/" + std::to_string(file.get()));
        for (NodeId node = 0; node < tree.size(); ++node) {
            tree.find(tree.path(node));
            tree.entry(node).spec();
        }
        tree.key_digest(snapshot::kRoot);
        snapshot::TreeBuilder builder(tree);
        check_edit(builder);
    } catch (const Error&) {  // found damaged
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 16 || size > kMaxBytes) return 0;
    std::string bytes(reinterpret_cast<const char*>(data), size - 16);
    const bool is_first_version = bytes.size() > 8 && bytes[8] == 1;
    if (is_first_version)
        put_checksum(bytes, 0);
    else
        put_table(bytes);
    use_mapped(bytes);
    std::optional<Tree> tree;
    try {
        tree = Tree::parse(as_bytes(bytes));
    } catch (const Error&) {  // a refusal is an answer
        return 0;
    }
    SHALE_ENSURE(is_first_version || tree->serialise() == bytes);
    use(*tree);
    return 0;
}
