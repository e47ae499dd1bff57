// A tree with a layer on top: the set semantics of the image spec. Whiteouts and opaque markers act
// on the base alone, wherever in the layer they stand, so they all go first; then the entries, in
// order.
//
// The parent of an entry may be a symlink of the tree so far (lib -> usr/lib): it is followed
// within the root, as extraction under chroot would. apply() follows the same rules on a real
// directory.
#include "reserved_xattrs.hpp"

#include <shale/layer.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace shale::layer {

namespace {

using snapshot::EntrySpec;
using tar::MemberType;

FileType file_type(MemberType type) {
    switch (type) {
    case MemberType::Regular:
    case MemberType::Hardlink:
        return FileType::Regular;
    case MemberType::Symlink:
        return FileType::Symlink;
    case MemberType::Directory:
        return FileType::Directory;
    case MemberType::CharDevice:
        return FileType::CharDevice;
    case MemberType::BlockDevice:
        return FileType::BlockDevice;
    case MemberType::Fifo:
        return FileType::Fifo;
    }
    return FileType::Regular;
}

std::string_view parent_of(std::string_view path) {
    const auto slash = path.rfind('/');
    return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

std::string_view name_of(std::string_view path) {
    return path.substr(path.rfind('/') + 1);
}

std::string child_path(std::string_view directory, std::string_view name) {
    return directory.empty() ? std::string(name) : fmt::format("{}/{}", directory, name);
}

bool is_at_or_below(std::string_view path, std::string_view top) {
    return path == top || (path.starts_with(top) && path[top.size()] == '/');
}

class Merger {
  public:
    explicit Merger(const snapshot::Tree& base) : builder_(base), next_group_(base.size() + 1) {}

    snapshot::Tree run(const Toc& toc) {
        std::vector<const TocEntry*> additions;
        for (const TocEntry& entry : toc.entries) {
            const auto whiteout = tar::classify_whiteout(entry.member.path);
            if (whiteout.kind == tar::WhiteoutKind::None) additions.push_back(&entry);
            if (whiteout.kind == tar::WhiteoutKind::Opaque) clear(entry.member.path);
            if (whiteout.kind == tar::WhiteoutKind::Whiteout && !whiteout.path.empty())
                remove(entry.member.path, name_of(whiteout.path));
        }
        cached_ = false;
        for (const TocEntry* entry : additions)
            add(*entry);
        return builder_.finish();
    }

  private:
    void clear(const std::string& marker) {
        const auto directory = resolve(parent_of(marker));
        if (!directory) return;
        const auto spec = builder_.get(*directory);
        if (spec && spec->type == FileType::Directory) builder_.clear_children(*directory);
        cached_ = false;
    }

    void remove(const std::string& whiteout, std::string_view victim) {
        const auto directory = resolve(parent_of(whiteout));
        if (directory) builder_.remove(child_path(*directory, victim));
        cached_ = false;
    }

    void add(const TocEntry& entry) {
        const tar::Member& member = entry.member;
        const std::string path = resolve_entry(member.path, member.path);
        if (member.type == MemberType::Hardlink) {
            link(member, path);
        } else {
            put(path, entry_spec(entry));
        }
    }

    void put(const std::string& path, EntrySpec spec) {
        // Only a symlink or the loss of one changes how a parent resolves.
        const bool may_redirect = spec.type != FileType::Directory;
        if (cached_ && may_redirect &&
            (is_at_or_below(cached_parent_, path) || is_at_or_below(cached_result_, path)))
            cached_ = false;
        builder_.put(path, std::move(spec));
    }

    void link(const tar::Member& member, const std::string& path) {
        const std::string target = resolve_entry(member.link_target, member.path);
        auto spec = builder_.get(target);
        if (!spec || spec->type == FileType::Directory || is_at_or_below(target, path))
            fail(ErrorKind::Corrupt,
                 fmt::format("layer entry \"{}\": its hardlink target \"{}\" {}", member.path,
                             member.link_target,
                             !spec                               ? "does not exist"
                             : spec->type == FileType::Directory ? "is a directory"
                                                                 : "is the entry itself"));
        if (spec->link_group == 0 && spec->type != FileType::Symlink) {
            spec->link_group = next_group_++;
            builder_.put(target, *spec);
        }
        put(path, std::move(*spec));
    }

    std::string resolve_entry(std::string_view path, const std::string& member_path) {
        if (path.empty()) return {};
        const auto directory = resolve(parent_of(path));
        if (!directory)
            fail(ErrorKind::Corrupt,
                 fmt::format("layer entry \"{}\": \"{}\" lies below something that is no directory",
                             member_path, path));
        return child_path(*directory, name_of(path));
    }

    // The directory that `path` names once its symlinks are followed; its missing part is taken as
    // it is. nullopt if a component is neither directory nor symlink, or links go round in circles.
    std::optional<std::string> resolve(std::string_view path) {
        if (cached_ && path == cached_parent_) return cached_result_;
        std::optional<std::string> result = resolve_slowly(path);
        if (result) {
            cached_ = true;
            cached_parent_ = path;
            cached_result_ = *result;
        }
        return result;
    }

    std::optional<std::string> resolve_slowly(std::string_view path) {
        std::string pending(path), current;
        for (int links = 0; !pending.empty();) {
            const std::size_t slash = std::min(pending.find('/'), pending.size());
            const std::string name = pending.substr(0, slash);
            pending.erase(0, slash + 1);
            if (name.empty() || name == ".") continue;
            if (name == "..") {
                current = parent_of(current);
                continue;
            }
            std::string next = child_path(current, name);
            const auto spec = builder_.get(next);
            if (spec && spec->type == FileType::Symlink) {
                if (++links > kMaxLinks) return std::nullopt;
                if (spec->link_target.starts_with('/')) current.clear();
                pending = spec->link_target + "/" + pending;
                continue;
            }
            if (spec && spec->type != FileType::Directory) return std::nullopt;
            current = std::move(next);
        }
        return current;
    }

    snapshot::TreeBuilder builder_;
    std::uint64_t next_group_;  // above every group of the base
    bool cached_ = false;       // entries of one directory follow each other
    std::string cached_parent_, cached_result_;
};

}  // namespace

snapshot::EntrySpec entry_spec(const TocEntry& entry) {
    const tar::Member& member = entry.member;
    EntrySpec spec;
    spec.type = file_type(member.type);
    spec.mode = member.mode;
    spec.uid = member.uid;
    spec.gid = member.gid;
    spec.size = member.size;
    spec.mtime_ns = member.mtime_ns;
    spec.device_major = member.device_major;
    spec.device_minor = member.device_minor;
    if (spec.type == FileType::Symlink) spec.link_target = member.link_target;
    spec.xattrs = without_reserved(member.xattrs);
    if (spec.type == FileType::Regular) spec.content = entry.content;
    return spec;
}

snapshot::Tree merge(const snapshot::Tree& base, const Toc& toc) {
    return Merger(base).run(toc);
}

}  // namespace shale::layer
