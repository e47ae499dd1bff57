// Tree files. Each is named by the digest of the tree in it, so it never changes once written. A
// whole tree is used from its mapping; one that is a patch on another shares the other's. What a
// patch stands on is a whole tree, and stays as long as the patch (census.cpp).
#include "trees.hpp"

#include <shale/snapshot_file.hpp>

#include <sys/stat.h>
#include <unistd.h>

namespace shale::store {

namespace {
// Nodes of trees kept in memory after their last user let go; some 150 bytes each.
constexpr std::size_t kCachedNodes = 500'000;

// A patch has few of its own, and what it shares is its base's.
std::size_t nodes_of(const snapshot::Tree& tree) {
    return snapshot::base_of(tree) ? tree.size() / 16 : tree.size();
}
}  // namespace

Trees::Trees(DerivedFiles files, Session& session)
    : files_(std::move(files)), session_(session), cache_(kCachedNodes) {}

std::string Trees::path(const Digest& digest) const {
    return files_.find(digest.hex());
}

// A patch whose base is not there as a whole tree is as good as absent, and is written again.
bool Trees::has(const Digest& digest) const {
    if (!path_exists(path(digest))) return false;
    try {
        const auto base = snapshot::base_of_patch_file(path(digest));
        return !base || is_whole(*base);
    } catch (const Error&) {  // so is what cannot be read
        return false;
    }
}

bool Trees::is_whole(const Digest& digest) const {
    return path_exists(path(digest)) && !snapshot::base_of_patch_file(path(digest));
}

void Trees::write(const snapshot::Tree& tree, const std::string& path) {
    TempFile file(session_, "tree");
    if (const auto base = snapshot::base_of(tree); base && is_whole(*base))
        file.write(as_bytes(snapshot::serialise_patch(tree)));
    else
        snapshot::write_tree(tree, [&](Bytes bytes) { file.write(bytes); });
    file.publish(path);  // and with the directory, the name of the base
}

Digest Trees::put(const snapshot::Tree& tree) {
    const Digest digest = tree.digest();
    if (has(digest))
        sync_directory_of(path(digest));  // whoever wrote it may not have got that far yet
    else
        write(tree, files_.path(digest.hex()));
    return digest;
}

Digest Trees::put_shared(const std::shared_ptr<const snapshot::Tree>& tree) {
    const Digest digest = put(*tree);
    std::lock_guard lock(mutex_);
    cache_.put(digest, tree, nodes_of(*tree));
    return digest;
}

std::shared_ptr<const snapshot::Tree> Trees::load(const Digest& digest) {
    std::shared_ptr<const snapshot::Tree> tree;
    if (const auto base = snapshot::base_of_patch_file(path(digest))) {
        const auto below = is_whole(*base) ? find(*base) : nullptr;
        if (!below) fail(ErrorKind::Corrupt, "the tree it is a patch on is gone: " + base->str());
        const Mapping file(path(digest));
        tree = std::make_shared<const snapshot::Tree>(snapshot::parse_patch(file.bytes(), *below));
    } else {
        tree = std::make_shared<const snapshot::Tree>(snapshot::open_whole_tree(path(digest)));
    }
    if (tree->digest() != digest)
        fail(ErrorKind::Corrupt, "it holds the tree " + tree->digest().str());
    return tree;
}

std::shared_ptr<const snapshot::Tree> Trees::find(const Digest& digest) {
    if (!has(digest)) return nullptr;
    {
        std::lock_guard lock(mutex_);
        if (auto tree = cache_.find(digest)) return *tree;
    }
    std::shared_ptr<const snapshot::Tree> tree;
    try {
        tree = load(digest);
    } catch (const Error& error) {
        // Removed by another process since we looked.
        if (error.kind() == ErrorKind::NotFound) return nullptr;
        if (error.kind() != ErrorKind::Corrupt) throw;
        // Left in place it would fail every build that meets it; gone, it is a cache miss.
        ::unlink(path(digest).c_str());
        fail(ErrorKind::Corrupt, "snapshot '" + path(digest) +
                                     "' was damaged and is now removed; " +
                                     "run the command again: " + error.what());
    }
    std::lock_guard lock(mutex_);
    cache_.put(digest, tree, nodes_of(*tree));
    return tree;
}

}  // namespace shale::store
