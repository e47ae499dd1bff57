// The mounts of one RUN, decided: options expanded, defaults filled in, sources known. What a mount
// adds to cache keys is here; making it is run_mounts.hpp's.
#pragma once

#include "cache_mount.hpp"
#include "key.hpp"
#include "root.hpp"

#include <shale/dockerfile.hpp>
#include <shale/sandbox.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace shale::build {

class Context;

struct RunMount {
    dockerfile::MountType type = dockerfile::MountType::Bind;
    std::string target;  // absolute and clean; empty: a secret that is only a variable
    bool read_only = false;
    // What a bind shows and a cache begins as: a root, or else the build context (binds only).
    std::shared_ptr<Root> from;
    std::string source;  // path in it, or in the cache
    std::string id;      // cache, secret, ssh
    CacheSharing sharing = CacheSharing::Shared;
    std::optional<std::string> variable;  // of a secret
    bool required = false;
    std::uint64_t tmpfs_bytes = 0;
    std::optional<std::uint32_t> mode, uid, gid;
};

// `from` is resolved by the caller. `working_directory` is absolute; `ordinal` counts the ssh
// mounts of the RUN. Throws Invalid with the message the user is to see.
RunMount decide_mount(const dockerfile::Mount& expanded, const std::string& working_directory,
                      unsigned ordinal);

// A bind's part of the tree it comes from, links followed inside; NotFound `"/x": not found`.
snapshot::NodeId find_source(const snapshot::Tree& tree, const std::string& source);

// What of the mount makes a RUN another RUN: target, type and options; a bind's contents, by where
// they come from (`by_content` false) or by their bytes. Never the value of a secret, what is in a
// cache or which cache it is.
void add_to_key(Key& key, const RunMount& mount, Context& context, bool by_content);

// What a bind reads, for the record; nullopt for other mounts.
std::optional<FileSelection> selection_of(const RunMount& mount, const Context& context);

// Where a path of the container, clean and without a leading slash, leads if it is a link.
using ReadLink = std::function<std::optional<std::string>(const std::string& path)>;
// Whether what is mounted at `target` would end up inside /proc: a runtime would put a file of ours
// over one that the kernel answers from.
bool leads_into_proc(const std::string& target, const ReadLink& read_link);
// As the tree has it, and what was mounted on it: directories of this machine, and tmpfs.
ReadLink links_of(const snapshot::Tree& tree, std::span<const sandbox::BindMount> mounts);

// A stable order in which a mount below another one's target comes after it.
void sort_by_depth(std::vector<RunMount>& mounts);

// Whether `path` lies below `directory` (both absolute and clean) and is not it.
bool is_below(const std::string& path, const std::string& directory);

}  // namespace shale::build
