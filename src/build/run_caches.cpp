#include "run_caches.hpp"

#include <shale/tree_tar.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>

namespace shale::build {
namespace {

CacheBirth birth_of(Session& session, const RunMount& mount) {
    CacheBirth birth;
    birth.mode = mount.mode.value_or(0755);
    birth.uid = mount.uid.value_or(0);
    birth.gid = mount.gid.value_or(0);
    if (!mount.from) return birth;
    birth.fill = [&session, &mount](const std::string& directory) {
        auto& store = session.services.store;
        const auto& loaded = mount.from->load();
        const auto tree = subtree(*loaded.tree, find_source(*loaded.tree, mount.source));
        layer::ContentReader contents(store.content_index(loaded.sources), store.framed());
        layer::apply(tree_tar(tree, contents_of(contents)), "cache mount " + mount.id, directory);
        if (mount.uid || mount.gid)
            if (::chown(directory.c_str(), mount.uid.value_or(0), mount.gid.value_or(0)) != 0)
                throw_errno("chown", directory);
        if (mount.mode && ::chmod(directory.c_str(), *mount.mode) != 0)
            throw_errno("chmod", directory);
    };
    return birth;
}

CacheIdentity identity_of(Session& session, const RunMount& mount) {
    CacheIdentity identity;
    identity.name_space = session.arguments.given("BUILDKIT_CACHE_MOUNT_NS").value_or("");
    identity.id = mount.id;
    if (mount.from) {
        const auto& tree = *mount.from->load().tree;
        const auto node = find_source(tree, mount.source);
        if (tree.entry(node).type != FileType::Directory)
            fail(ErrorKind::Invalid,
                 "cache mount " + mount.id + ": source \"" + mount.source + "\" is no directory");
        identity.seed = tree.key_digest(node).str() + " ";
    }
    if (mount.mode || mount.uid || mount.gid)
        identity.seed += fmt::format("{:o} {}:{}", mount.mode.value_or(0755), mount.uid.value_or(0),
                                     mount.gid.value_or(0));
    return identity;
}

// A seed's source is the whole cache already.
std::string source_in_cache(const RunMount& mount) {
    return mount.from ? std::string() : mount.source;
}

}  // namespace

// In the order of the digests, and each once: a RUN that asks twice for one directory would wait
// for itself. Only private ones are several; they come last, when the others have theirs.
RunCaches::RunCaches(Session& session, const RunSpec& spec,
                     const std::function<void(const RunMount&)>& waiting)
    : session_(session), spec_(spec), caches_(spec.mounts.size()) {
    std::map<Digest, std::vector<std::size_t>> wanted;
    for (std::size_t i = 0; i < spec.mounts.size(); ++i)
        if (spec.mounts[i].type == dockerfile::MountType::Cache)
            wanted[identity_of(session, spec.mounts[i]).digest()].push_back(i);
    const auto is_private = [&](std::size_t i) {
        return spec.mounts[i].sharing == CacheSharing::Private;
    };
    for (const auto& [digest, users] : wanted) {
        std::shared_ptr<CacheMount> common;
        for (const auto user : users)
            if (!is_private(user)) {
                if (!common) common = take(user, strictest(users), waiting);
                caches_[user] = common;
            }
        for (const auto user : users)
            if (is_private(user)) caches_[user] = take(user, CacheSharing::Private, waiting);
    }
}

CacheSharing RunCaches::strictest(const std::vector<std::size_t>& users) const {
    for (const auto user : users)
        if (spec_.mounts[user].sharing == CacheSharing::Locked) return CacheSharing::Locked;
    return CacheSharing::Shared;
}

std::shared_ptr<CacheMount> RunCaches::take(std::size_t index, CacheSharing sharing,
                                            const std::function<void(const RunMount&)>& waiting) {
    const RunMount& mount = spec_.mounts[index];
    return std::make_shared<CacheMount>(session_.shared.cache_mounts.take(
        identity_of(session_, mount), sharing, birth_of(session_, mount), spec_.renew_caches,
        [&] { waiting(mount); }, session_.stop));
}

UniqueFd RunCaches::open(std::size_t index) const {
    const RunMount& mount = spec_.mounts[index];
    return caches_[index]->open(source_in_cache(mount), birth_of(session_, mount));
}

void RunCaches::make_point(std::size_t index, const std::string& path, bool directory) const {
    const RunMount& mount = spec_.mounts[index];
    const CacheBirth birth = birth_of(session_, mount);
    const std::string where = join_path(source_in_cache(mount), path);
    if (directory) {
        caches_[index]->open(where, birth);
        return;
    }
    const auto slash = where.rfind('/');
    const bool nested = slash != std::string::npos;
    const UniqueFd parent = caches_[index]->open(nested ? where.substr(0, slash) : "", birth);
    const std::string name = nested ? where.substr(slash + 1) : where;
    const UniqueFd made(::openat(parent.get(), name.c_str(),
                                 O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (!made && errno != EEXIST) throw_errno("creating a mount point in a cache", where);
}

}  // namespace shale::build
