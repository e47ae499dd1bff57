#include "member_plan.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace shale::layer {

namespace {

bool is_removal(const diff::Change& change) {
    return change.kind == diff::ChangeKind::Removed;
}

// Where two paths part: the first component in which they differ, up to the end of each.
struct Parting {
    std::string_view a, b;
};

Parting part(std::string_view a, std::string_view b) {
    std::size_t same = 0;
    while (same < a.size() && same < b.size() && a[same] == b[same])
        ++same;
    // Back to the start of the component in which the difference lies.
    std::size_t start = same;
    while (start > 0 && a[start - 1] != '/')
        --start;
    return {a.substr(start), b.substr(start)};
}

// Depth-first order of the written members. Only the component where two paths part decides.
bool written_before(const diff::Change& a, const diff::Change& b) {
    const auto [rest_a, rest_b] = part(a.path, b.path);
    const auto name_a = rest_a.substr(0, rest_a.find('/'));
    const auto name_b = rest_b.substr(0, rest_b.find('/'));
    const bool whiteout_a = is_removal(a) && name_a.size() == rest_a.size();
    const bool whiteout_b = is_removal(b) && name_b.size() == rest_b.size();
    if (name_a != name_b) return whiteout_a != whiteout_b ? whiteout_a : name_a < name_b;
    return rest_a.size() < rest_b.size();  // one is an ancestor of the other
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

}  // namespace

std::vector<const diff::Change*> member_order(const std::vector<diff::Change>& changes) {
    std::vector<const diff::Change*> order;
    order.reserve(changes.size());
    for (const diff::Change& change : changes)
        order.push_back(&change);
    const auto before = [](const auto* a, const auto* b) { return written_before(*a, *b); };
    if (!std::is_sorted(order.begin(), order.end(), before))
        std::sort(order.begin(), order.end(), before);
    return order;
}

tar::Member MemberPlan::member(const diff::Change& change) {
    if (is_removal(change)) return whiteout_of(change.path);
    reject_unstorable(change.path);
    const snapshot::Entry entry = after_.entry(change.after);
    tar::Member member;
    member.path = change.path;
    member.type = member_type(entry.type, change.path);
    member.mode = entry.mode;
    member.uid = entry.uid;
    member.gid = entry.gid;
    member.mtime_ns = entry.mtime_ns;
    if (entry.link_group != 0) {
        const auto [first, is_first] = first_names_.try_emplace(entry.link_group, change.path);
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
