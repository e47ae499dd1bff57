// The binary form is the kernel's (include/uapi/linux/posix_acl_xattr.h): a version, then eight
// bytes for each entry, little-endian: tag, rights, and the number of a user or group.
#include "acl.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

namespace shale::tar {

namespace {

constexpr std::uint32_t kVersion = 2;
constexpr std::uint32_t kNobody = 0xffffffff;  // of entries that name no one
enum Tag : std::uint16_t { UserObj = 1, User = 2, GroupObj = 4, Group = 8, Mask = 16, Other = 32 };

struct AclEntry {
    std::uint16_t tag = 0, rights = 0;
    std::uint32_t id = kNobody;
    bool operator<(const AclEntry& other) const {
        return std::tie(tag, id) < std::tie(other.tag, other.id);
    }
};

std::uint16_t tag_of(int libarchive_tag) {
    switch (libarchive_tag) {
    case ARCHIVE_ENTRY_ACL_USER_OBJ:
        return UserObj;
    case ARCHIVE_ENTRY_ACL_USER:
        return User;
    case ARCHIVE_ENTRY_ACL_GROUP_OBJ:
        return GroupObj;
    case ARCHIVE_ENTRY_ACL_GROUP:
        return Group;
    case ARCHIVE_ENTRY_ACL_MASK:
        return Mask;
    case ARCHIVE_ENTRY_ACL_OTHER:
        return Other;
    default:
        return 0;
    }
}

// In the order in which the kernel wants them. Empty if there is no list of that type, or none that
// can be kept.
std::vector<AclEntry> acl_of(archive_entry* entry, int type) {
    std::vector<AclEntry> acl;
    if (libarchive().entry_acl_reset(entry, type) == 0) return acl;
    int found = 0, rights = 0, tag = 0, id = 0;
    const char* name = nullptr;
    while (libarchive().entry_acl_next(entry, type, &found, &rights, &tag, &id, &name) ==
           ARCHIVE_OK) {
        AclEntry one{tag_of(tag), static_cast<std::uint16_t>(rights & 7), kNobody};
        if (one.tag == User || one.tag == Group) {
            // libarchive has no larger number; it makes this one of those.
            if (id < 0 || id == std::numeric_limits<int>::max()) return {};
            one.id = static_cast<std::uint32_t>(id);
        }
        if (one.tag == 0) return {};
        acl.push_back(one);
    }
    std::sort(acl.begin(), acl.end());
    return acl;
}

const AclEntry* find_tag(const std::vector<AclEntry>& acl, Tag tag) {
    const auto found = std::ranges::find(acl, tag, &AclEntry::tag);
    return found == acl.end() ? nullptr : &*found;
}

// What the kernel takes: one entry of each that is not named, and a mask if anybody is.
bool is_valid(const std::vector<AclEntry>& acl) {
    for (const Tag tag : {UserObj, GroupObj, Other})
        if (std::ranges::count(acl, tag, &AclEntry::tag) != 1) return false;
    const auto masks = std::ranges::count(acl, Mask, &AclEntry::tag);
    const bool names = find_tag(acl, User) != nullptr || find_tag(acl, Group) != nullptr;
    const auto same = [](const AclEntry& a, const AclEntry& b) { return !(a < b) && !(b < a); };
    return masks <= 1 && (masks == 1 || !names) &&
           std::adjacent_find(acl.begin(), acl.end(), same) == acl.end();
}

std::string encode(const std::vector<AclEntry>& acl) {
    std::string out;
    put_little(out, kVersion);
    for (const AclEntry& entry : acl) {
        put_little(out, entry.tag);
        put_little(out, entry.rights);
        put_little(out, entry.id);
    }
    return out;
}

void add_attribute(Member& member, std::string name, std::string value) {
    const auto at = std::ranges::lower_bound(member.xattrs, name, {}, &Xattr::name);
    if (at == member.xattrs.end() || at->name != name)
        member.xattrs.insert(at, {std::move(name), std::move(value)});
}

}  // namespace

void take_acls(archive_entry* entry, Member& member) {
    if (member.type == MemberType::Symlink || member.type == MemberType::Hardlink) return;
    const auto access = acl_of(entry, ARCHIVE_ENTRY_ACL_TYPE_ACCESS);
    if (const AclEntry* mask = find_tag(access, Mask); mask != nullptr && is_valid(access)) {
        add_attribute(member, "system.posix_acl_access", encode(access));
        member.mode = (member.mode & ~070u) | static_cast<std::uint32_t>(mask->rights << 3);
    }
    if (member.type != MemberType::Directory) return;
    const auto initial = acl_of(entry, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT);
    if (is_valid(initial)) add_attribute(member, "system.posix_acl_default", encode(initial));
}

}  // namespace shale::tar
