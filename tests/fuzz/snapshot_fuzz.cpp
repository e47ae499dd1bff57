// Snapshot files from strangers. The checksum is put right first, or nothing would get past it.
// What is accepted must be written back byte for byte, and must stand look-ups, resolution and
// edits.
#include <shale/codec.hpp>
#include <shale/snapshot.hpp>

using namespace shale;
using snapshot::NodeId;
using snapshot::Tree;

namespace {

void use(const Tree& tree) {
    for (NodeId node = 0; node < tree.size(); ++node) {
        SHALE_ENSURE(tree.find(tree.path(node)) == node);
        try {
            tree.resolve(tree.path(node));
        } catch (const Error&) {  // too many links
        }
    }
    tree.key_digest(snapshot::kRoot);
    snapshot::TreeBuilder builder(tree);
    for (NodeId node = 1; node < tree.size(); node += 3)
        builder.remove(tree.path(node));
    builder.put("added", {});
    const Tree edited = builder.finish();
    SHALE_ENSURE(Tree::parse(as_bytes(edited.serialise())).digest() == edited.digest());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 16) return 0;
    std::string bytes(reinterpret_cast<const char*>(data), size - 16);
    const auto checksum = codec::xxh3_128(as_bytes(bytes));
    put_little(bytes, checksum.low);
    put_little(bytes, checksum.high);
    std::optional<Tree> tree;
    try {
        tree = Tree::parse(as_bytes(bytes));
    } catch (const Error&) {  // a refusal is an answer
        return 0;
    }
    SHALE_ENSURE(tree->serialise() == bytes);
    use(*tree);
    return 0;
}
