// Patches of trees from strangers, on a base that is known, in memory and mapped. The header's
// digest of the base and the checksum are put right first, or nothing would get past them. What
// parse_patch() accepts must be a well-formed tree that stands look-ups and edits, which are
// patches of patches.
#include "tree_laws.hpp"

#include <shale/checksum.hpp>
#include <shale/snapshot.hpp>
#include <shale/snapshot_file.hpp>

#include <sys/mman.h>

#include <cstring>

using namespace shale;
using snapshot::NodeId;
using snapshot::Tree;

namespace {

constexpr std::size_t kMaxBytes = 1 << 16, kBaseAt = 64, kDigestBytes = 32;

Tree make_base() {
    snapshot::set_least_shared(2);
    snapshot::TreeBuilder builder;
    for (char d = 'a'; d < 'f'; ++d)
        for (char f = 'a'; f < 'f'; ++f) {
            snapshot::EntrySpec file;
            file.type = FileType::Regular;
            builder.put(std::string{d, '/', f}, file);
        }
    return builder.finish();
}

Tree mapped(const Tree& tree) {
    const UniqueFd file(::memfd_create("base", MFD_CLOEXEC));
    write_all(file.get(), as_bytes(tree.serialise()), "memfd");
    return snapshot::open_tree("/proc/self/fd/" + std::to_string(file.get()));
}

void use(const Tree& tree) {
    for (NodeId node = 0; node < tree.size(); ++node) {
        SHALE_ENSURE(tree.find(tree.path(node)) == node);
        tree.entry(node).spec();
    }
    tree.key_digest(snapshot::kRoot);
    snapshot::TreeBuilder builder(tree);
    check_edit(builder);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const Tree base = make_base(), file = mapped(base);
    if (size < kBaseAt + kDigestBytes || size > kMaxBytes) return 0;
    std::string bytes(reinterpret_cast<const char*>(data), size);
    std::memcpy(bytes.data() + kBaseAt, base.digest().bytes.data(), kDigestBytes);
    codec::append_checksum(bytes);
    for (const Tree* below : {&base, &file}) {
        std::optional<Tree> tree;
        try {
            tree = snapshot::parse_patch(as_bytes(bytes), *below);
        } catch (const Error&) {  // a refusal is an answer
            return 0;
        }
        use(*tree);
    }
    return 0;
}
