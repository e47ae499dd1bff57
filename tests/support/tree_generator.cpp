// The generator, and the writer that puts a model on disk.
//
// Names and contents are drawn from small pools on purpose: collisions, equal files and names that
// sort badly ("a", "a-b", "a/b") are where tree code goes wrong.
#include "tree_generator.hpp"

#include <shale/codec.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <iterator>

namespace shale::testing {

namespace {

using snapshot::EntrySpec;

void set_content(Item& item, std::string content) {
    item.content = std::move(content);
    item.spec.size = item.content.size();
    item.spec.content = codec::sha256(item.content);
}

bool is_directory(const Item& item) {
    return item.spec.type == FileType::Directory;
}

bool can_link(const Item& item) {
    return item.spec.type == FileType::Regular || item.spec.type == FileType::Fifo;
}

bool is_below(const std::string& path, const std::string& directory) {
    return path == directory || (path.size() > directory.size() && path.starts_with(directory) &&
                                 (directory.empty() || path[directory.size()] == '/'));
}

}  // namespace

std::uint64_t seed_for_test(std::uint64_t default_seed) {
    const char* chosen = std::getenv("SHALE_SEED");
    const std::uint64_t seed = chosen ? std::strtoull(chosen, nullptr, 10) : default_seed;
    std::cout << "SHALE_SEED=" << seed << "\n";
    return seed;
}

std::uint64_t TreeGenerator::below(std::uint64_t bound) {
    return std::uniform_int_distribution<std::uint64_t>(0, bound - 1)(random_);
}

std::string TreeGenerator::name() {
    static const std::vector<std::string> kOdd = {
        "a",         "b",  "a-b",      "a.b",     "A",   "\xff\xfe", "with space",
        "new\nline", "-n", "\xc3\xa9", ".hidden", "...", "~",        std::string(255, 'L'),
        "etc",       "usr"};
    if (chance(40)) return kOdd[below(kOdd.size())];
    return std::string(1, static_cast<char>('a' + below(6))) + std::to_string(below(30));
}

std::string TreeGenerator::text(std::size_t bytes) {
    std::string text(bytes, static_cast<char>('a' + below(3)));
    for (std::size_t at = 0; at < bytes; at += 97)
        text[at] = static_cast<char>(below(256));
    return text;
}

void TreeGenerator::randomise_metadata(EntrySpec& spec) {
    static constexpr std::uint32_t kModes[] = {0644, 0755, 0600, 0700, 04755, 02755, 01777, 0444};
    if (spec.type != FileType::Symlink) spec.mode = kModes[below(std::size(kModes))];
    // A directory that its owner cannot search would stop a walk by anyone but root.
    if (spec.type == FileType::Directory) spec.mode |= 0700;
    spec.mtime_ns = static_cast<std::int64_t>(below(1'800'000'000'000'000'000));
    if (shape_.needs_root) {
        spec.uid = static_cast<std::uint32_t>(chance(50) ? 0 : below(70000));
        spec.gid = static_cast<std::uint32_t>(chance(50) ? 0 : below(70000));
    }
    spec.xattrs.clear();
    const bool can_have_user = spec.type == FileType::Regular || spec.type == FileType::Directory;
    if (shape_.needs_root && can_have_user && chance(10))
        spec.xattrs.push_back({"trusted.note", text(below(40))});
    if (can_have_user && chance(15)) spec.xattrs.push_back({"user.a", text(below(300))});
    if (can_have_user && chance(10)) spec.xattrs.push_back({"user.b", ""});
}

Item TreeGenerator::directory() {
    Item made;
    randomise_metadata(made.spec);
    return made;
}

Item TreeGenerator::item() {
    Item made;
    const auto kind = below(100);
    if (kind < 25) return directory();
    if (kind < 40) {
        made.spec.type = FileType::Symlink;
        made.spec.mode = 0777;
        made.spec.link_target =
            (chance(30) ? "/" : "") + name() + (chance(30) ? "/../" : "") + name();
    } else if (kind < 44) {
        made.spec.type = FileType::Fifo;
    } else if (kind < 48 && shape_.needs_root) {
        made.spec.type = chance(50) ? FileType::CharDevice : FileType::BlockDevice;
        made.spec.device_major = static_cast<std::uint32_t>(1 + below(200));
        made.spec.device_minor = static_cast<std::uint32_t>(below(1000));
    } else {
        made.spec.type = FileType::Regular;
        set_content(made, text(chance(20) ? 0 : below(shape_.max_content)));
    }
    randomise_metadata(made.spec);
    return made;
}

std::string TreeGenerator::any_path(const Model& model, bool directories_only) {
    std::vector<std::string> paths;
    for (const auto& [path, item] : model)
        if (!directories_only || is_directory(item)) paths.push_back(path);
    return paths[below(paths.size())];
}

void TreeGenerator::add(Model& model) {
    const std::string parent = any_path(model, true);
    if (std::count(parent.begin(), parent.end(), '/') + 1 >= static_cast<long>(shape_.max_depth))
        return;
    model.try_emplace(join_path(parent, name()), item());
}

void TreeGenerator::add_link(Model& model) {
    const std::string from = any_path(model, false);
    if (!can_link(model[from])) return;
    const std::string to = join_path(any_path(model, true), name());
    if (model.contains(to)) return;
    Item& first = model[from];
    if (first.spec.link_group == 0) first.spec.link_group = ++last_group_;
    model[to] = Item(first);
}

Model TreeGenerator::tree() {
    Model model;
    model[""] = directory();
    for (unsigned at = 0; at < shape_.entries; ++at)
        if (chance(8))
            add_link(model);
        else
            add(model);
    return model;
}

// Changes one inode: all names of it.
void TreeGenerator::edit(Model& model) {
    const std::string path = any_path(model, false);
    Item changed = model[path];
    const std::uint64_t group = changed.spec.link_group;
    if (changed.spec.type == FileType::Regular && chance(60)) {
        const bool same_size = chance(50);
        set_content(changed, text(same_size ? changed.content.size() : below(shape_.max_content)));
    } else {
        randomise_metadata(changed.spec);
    }
    if (group == 0 || chance(20)) {  // the second case breaks the link
        changed.spec.link_group = 0;
        model[path] = std::move(changed);
        return;
    }
    for (auto& [name, item] : model)
        if (item.spec.link_group == group) item = changed;
}

void TreeGenerator::mutate(Model& model, unsigned count) {
    for (unsigned at = 0; at < count; ++at) {
        const auto kind = below(100);
        if (kind < 25) {
            add(model);
        } else if (kind < 60) {
            edit(model);
        } else if (kind < 70) {
            add_link(model);
        } else if (const std::string path = any_path(model, false); !path.empty()) {
            if (kind < 80) {
                erase_subtree(model, path);
            } else if (kind < 90) {  // another type, maybe
                erase_subtree(model, path);
                model[path] = item();
            } else if (const std::string parent = any_path(model, true); !is_below(parent, path)) {
                const std::string to = join_path(parent, name());
                if (is_below(path, to)) continue;
                Model moved;
                for (const auto& old : subtree(model, path))
                    moved[to + old.substr(path.size())] = model[old];
                erase_subtree(model, path);
                erase_subtree(model, to);
                model.merge(moved);
            }
        }
    }
}

std::vector<std::string> subtree(const Model& model, const std::string& path) {
    std::vector<std::string> paths;
    for (auto at = model.lower_bound(path); at != model.end() && at->first.starts_with(path); ++at)
        if (is_below(at->first, path)) paths.push_back(at->first);
    return paths;
}

void erase_subtree(Model& model, const std::string& path) {
    for (const auto& old : subtree(model, path))
        model.erase(old);
}

snapshot::Tree tree_of(const Model& model) {
    snapshot::TreeBuilder builder;
    for (const auto& [path, item] : model)
        builder.put(path, item.spec);
    return builder.finish();
}

namespace {

void check(int result, const char* operation, const std::string& path) {
    if (result != 0) throw_errno(operation, path);
}

void create(const Item& item, const std::string& path) {
    const EntrySpec& spec = item.spec;
    switch (spec.type) {
    case FileType::Directory:
        check(::mkdir(path.c_str(), 0700), "mkdir", path);
        return;
    case FileType::Symlink:
        check(::symlink(spec.link_target.c_str(), path.c_str()), "symlink", path);
        return;
    case FileType::Regular: {
        const UniqueFd fd = open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
        write_all(fd.get(), as_bytes(item.content), path);
        return;
    }
    case FileType::CharDevice:
    case FileType::BlockDevice:
    case FileType::Fifo:
    case FileType::Socket:
        check(::mknod(path.c_str(), mode_bits_of(spec.type) | 0600,
                      makedev(spec.device_major, spec.device_minor)),
              "mknod", path);
    }
}

// Owner before mode and xattrs: chown clears set-id bits and capabilities. Times last.
void set_metadata(const EntrySpec& spec, const std::string& path) {
    const char* name = path.c_str();
    if (::geteuid() == 0) check(::lchown(name, spec.uid, spec.gid), "lchown", path);
    if (spec.type != FileType::Symlink) check(::chmod(name, spec.mode), "chmod", path);
    for (const Xattr& xattr : spec.xattrs)
        check(::lsetxattr(name, xattr.name.c_str(), xattr.value.data(), xattr.value.size(), 0),
              "lsetxattr", path);
    const timespec mtime{spec.mtime_ns / 1'000'000'000, spec.mtime_ns % 1'000'000'000};
    const timespec times[2] = {mtime, mtime};
    check(::utimensat(AT_FDCWD, name, times, AT_SYMLINK_NOFOLLOW), "utimensat", path);
}

}  // namespace

void write_to_disk(const Model& model, const std::string& directory) {
    std::map<std::uint64_t, std::string> first_of;
    for (const auto& [path, item] : model) {
        if (path.empty()) continue;
        const std::string full = join_path(directory, path);
        if (const auto group = item.spec.link_group; group != 0) {
            const auto [first, is_new] = first_of.try_emplace(group, full);
            if (!is_new) {
                check(::link(first->second.c_str(), full.c_str()), "link", full);
                continue;
            }
        }
        create(item, full);
        if (!is_directory(item)) set_metadata(item.spec, full);
    }
    // Children first: making them moved their directory's mtime.
    for (auto at = model.rbegin(); at != model.rend(); ++at)
        if (is_directory(at->second))
            set_metadata(at->second.spec,
                         at->first.empty() ? directory : join_path(directory, at->first));
}

}  // namespace shale::testing
