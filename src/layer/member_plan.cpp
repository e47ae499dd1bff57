#include "member_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace shale::layer {

namespace {

bool is_removal(const diff::Change& change) {
    return change.kind == diff::ChangeKind::Removed;
}

tar::MemberType member_type(FileType type, const std::string& path) {
    switch (type) {
    case FileType::Regular:
        return tar::MemberType::Regular;
    case FileType::Directory:
        return tar::MemberType::Directory;
    case FileType::Symlink:
        return tar::MemberType::Symlink;
    case FileType::CharDevice:
        return tar::MemberType::CharDevice;
    case FileType::BlockDevice:
        return tar::MemberType::BlockDevice;
    case FileType::Fifo:
        return tar::MemberType::Fifo;
    case FileType::Socket:
        break;
    }
    fail(ErrorKind::Unsupported, fmt::format("'{}' is a socket, which a layer cannot hold", path));
}

std::string_view last_name(std::string_view path) {
    return path.substr(path.rfind('/') + 1);
}

tar::Member whiteout_of(std::string_view path) {
    const std::string_view name = last_name(path);
    tar::Member member;
    member.path = path.substr(0, path.size() - name.size());
    member.path.append(tar::kWhiteoutPrefix).append(name);
    return member;
}

void reject_unstorable(const std::string& path) {
    if (last_name(path).starts_with(tar::kWhiteoutPrefix))
        fail(ErrorKind::Unsupported,
             fmt::format("'{}' cannot be stored in a layer: names beginning with '{}' mean removal",
                         path, tar::kWhiteoutPrefix));
    if (path.size() > tar::kMaxPathBytes)
        fail(ErrorKind::Unsupported,
             fmt::format("'{}...' cannot be stored in a layer: a path of {} bytes",
                         path.substr(0, 64), path.size()));
}

// The directory in which `change` happens; kNoNode for the root itself.
snapshot::NodeId directory_of(const diff::Change& change, const snapshot::Tree& after) {
    if (!is_removal(change)) return after.parent(change.after);
    const std::string_view path = change.removed_path;
    const auto directory = after.find(path.substr(0, path.size() - last_name(path).size()));
    SHALE_ENSURE(directory != snapshot::kNoNode);
    return directory;
}

// Nodes are numbered in the order of their paths, so only removals, which have no number, need a
// place: behind the directory they are in, before whatever else it holds.
std::vector<const diff::Change*> by_path(const std::vector<diff::Change>& changes,
                                         const snapshot::Tree& after) {
    struct Item {
        snapshot::NodeId node;  // of a removal: of the directory
        bool is_removal;
        const diff::Change* change;
        bool operator<(const Item& other) const {
            return std::pair(node, is_removal) < std::pair(other.node, other.is_removal);
        }
    };
    std::vector<const diff::Change*> order;
    order.reserve(changes.size());
    std::vector<Item> items;
    for (const diff::Change& change : changes) {
        order.push_back(&change);
        if (is_removal(change)) items.push_back({directory_of(change, after), true, &change});
    }
    if (items.empty()) return order;
    for (const diff::Change* change : order)
        if (!is_removal(*change)) items.push_back({change->after, false, change});
    std::stable_sort(items.begin(), items.end());
    std::transform(items.begin(), items.end(), order.begin(),
                   [](const Item& item) { return item.change; });
    return order;
}

}  // namespace

MemberOrder::MemberOrder(const std::vector<diff::Change>& changes, const snapshot::Tree& after) {
    add(by_path(changes, after), after);
}

void MemberOrder::add_nodes(snapshot::NodeId first, snapshot::NodeId end) {
    if (!spans_.empty() && spans_.back().end == first && spans_.back().removal == nullptr)
        spans_.back().end = end;
    else
        spans_.push_back({first, end, nullptr});
}

// With the directories that they lie in, where those are not stated anyway.
void MemberOrder::add(const std::vector<const diff::Change*>& changes,
                      const snapshot::Tree& after) {
    struct Stated {
        snapshot::NodeId node, end;
    };
    std::vector<Stated> stated = {{snapshot::kRoot, after.end(snapshot::kRoot)}};  // innermost last
    std::vector<snapshot::NodeId> missing;
    for (const diff::Change* change : changes) {
        const auto directory = directory_of(*change, after);
        if (directory != snapshot::kNoNode) {
            while (directory < stated.back().node || directory >= stated.back().end)
                stated.pop_back();
            for (auto node = directory; node != stated.back().node; node = after.parent(node))
                missing.push_back(node);
            for (; !missing.empty(); missing.pop_back()) {
                const auto node = missing.back();
                add_nodes(node, node + 1);
                stated.push_back({node, after.end(node)});
            }
        }
        if (is_removal(*change)) {
            spans_.push_back({snapshot::kNoNode, snapshot::kNoNode, change});
            continue;
        }
        const auto node = change->after, end = after.end(node);
        add_nodes(node, change->with_all_below ? end : node + 1);
        if (directory != snapshot::kNoNode) stated.push_back({node, end});
    }
}

tar::Member MemberPlan::whiteout(const diff::Change& removal) {
    return whiteout_of(removal.removed_path);
}

tar::Member MemberPlan::member(snapshot::NodeId node, const snapshot::Entry& entry) {
    const std::string path = after_.path(node);
    reject_unstorable(path);
    tar::Member member;
    member.path = path;
    member.type = member_type(entry.type, path);
    member.mode = entry.mode;
    member.uid = entry.uid;
    member.gid = entry.gid;
    member.mtime_ns = entry.mtime_ns;
    if (entry.link_group != 0) {
        const auto [first, is_first] = first_names_.try_emplace(entry.link_group, path);
        if (!is_first) {
            member.type = tar::MemberType::Hardlink;
            member.link_target = first->second;
            return member;
        }
    }
    member.device_major = entry.device_major;
    member.device_minor = entry.device_minor;
    member.link_target = entry.link_target;
    member.xattrs.assign(entry.xattrs.begin(), entry.xattrs.end());
    if (entry.type == FileType::Regular) member.size = entry.size;
    return member;
}

}  // namespace shale::layer
