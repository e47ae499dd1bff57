#include "users.hpp"

#include <algorithm>
#include <charconv>

namespace shale::build {
namespace {

// The reference reads at most this much of either file.
constexpr std::uint64_t kMaxAccountFileBytes = 10u << 20;
// Beyond it the reference runs nothing; and the largest of all, (uid_t)-1, means "as it is" to the
// kernel, which would leave root.
constexpr std::uint32_t kMaxId = 2147483647;
constexpr std::uint32_t kNobodysId = 0xffffffff;

struct PasswdLine {
    std::string name, home;
    std::uint32_t uid = 0, gid = 0;
};
struct GroupLine {
    std::string name;
    std::uint32_t gid = 0;
    std::vector<std::string> members;
};

std::optional<std::uint32_t> number(std::string_view text) {
    std::uint32_t value = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc{} || stop != text.data() + text.size())
        return std::nullopt;
    return value;
}

std::vector<std::string> split(std::string_view text, char separator) {
    std::vector<std::string> parts;
    for (;;) {
        const auto at = text.find(separator);
        parts.emplace_back(text.substr(0, at));
        if (at == std::string_view::npos) return parts;
        text.remove_prefix(at + 1);
    }
}

// Empty if the file is missing, not regular, or too large to be an account file.
std::string read_account_file(const snapshot::Tree& tree, layer::ContentReader& contents,
                              std::string_view path) {
    const auto node = tree.resolve(path);
    if (node == snapshot::kNoNode) return {};
    const auto entry = tree.entry(node);
    if (entry.type != FileType::Regular || entry.size > kMaxAccountFileBytes) return {};
    std::string text(entry.size, '\0');
    const auto count = contents.read(entry.content, 0, std::as_writable_bytes(std::span(text)));
    text.resize(count);
    return text;
}

// Malformed lines are passed over, as libc does.
std::vector<PasswdLine> parse_passwd(std::string_view text) {
    std::vector<PasswdLine> lines;
    for (const auto& line : split(text, '\n')) {
        const auto fields = split(line, ':');
        if (fields.size() < 4 || fields[0].empty()) continue;
        const auto uid = number(fields[2]), gid = number(fields[3]);
        if (uid && gid)
            lines.push_back({fields[0], fields.size() > 5 ? fields[5] : "", *uid, *gid});
    }
    return lines;
}

std::vector<GroupLine> parse_group(std::string_view text) {
    std::vector<GroupLine> lines;
    for (const auto& line : split(text, '\n')) {
        const auto fields = split(line, ':');
        if (fields.size() < 3 || fields[0].empty()) continue;
        if (const auto gid = number(fields[2]))
            lines.push_back(
                {fields[0], *gid,
                 fields.size() > 3 ? split(fields[3], ',') : std::vector<std::string>{}});
    }
    return lines;
}

class Accounts {
  public:
    Accounts(const snapshot::Tree& tree, layer::ContentReader& contents)
        : passwd_(parse_passwd(read_account_file(tree, contents, "etc/passwd"))),
          groups_(parse_group(read_account_file(tree, contents, "etc/group"))) {}

    // Digits are a number, whatever somebody may be called.
    const PasswdLine* user(std::string_view text) const {
        const auto uid = number(text);
        for (const auto& line : passwd_)
            if (uid ? line.uid == *uid : line.name == text) return &line;
        return nullptr;
    }
    const GroupLine* group(std::string_view name) const {
        for (const auto& line : groups_)
            if (line.name == name) return &line;
        return nullptr;
    }
    std::vector<std::uint32_t> groups_of(const std::string& name) const {
        std::vector<std::uint32_t> gids;
        for (const auto& line : groups_)
            if (std::find(line.members.begin(), line.members.end(), name) != line.members.end())
                gids.push_back(line.gid);
        return gids;
    }

  private:
    std::vector<PasswdLine> passwd_;
    std::vector<GroupLine> groups_;
};

[[noreturn]] void reject_range(std::string_view user) {
    fail(ErrorKind::Invalid, "user " + std::string(user) + ": uids and gids must be in range 0-" +
                                 std::to_string(kMaxId));
}

bool is_too_large(std::string_view text) {
    return !text.empty() && !number(text) &&
           text.find_first_not_of("0123456789") == std::string_view::npos;
}

// As resolve_chown().
Owner find_owner(const snapshot::Tree& tree, layer::ContentReader& contents, std::string_view chown,
                 std::string* unknown) {
    const auto colon = chown.find(':');
    const auto user = chown.substr(0, colon);
    for (const auto part : {user, chown.substr(std::min(user.size() + 1, chown.size()))})
        if (is_too_large(part))
            fail(ErrorKind::Invalid, "--chown=" + std::string(chown) + ": " + std::string(part) +
                                         " is no user or group");
    const auto numeric_user = number(user);
    const bool all_numeric =
        numeric_user && (colon == std::string_view::npos || number(chown.substr(colon + 1)));
    Owner owner;
    if (all_numeric) {  // no account file needs to be read
        owner.uid = *numeric_user;
        owner.gid = colon == std::string_view::npos ? owner.uid : *number(chown.substr(colon + 1));
        return owner;
    }
    if (numeric_user && colon + 1 == chown.size()) return {*numeric_user, 0};
    const Accounts accounts(tree, contents);
    if (numeric_user) {
        owner.uid = owner.gid = *numeric_user;
    } else if (const auto* line = accounts.user(user)) {
        owner = {line->uid, line->gid};
    } else if (user != "root" && !user.empty()) {
        *unknown = user;
    }
    if (colon == std::string_view::npos) return owner;
    // A group that nobody knows leaves the user's own, as BuildKit does it.
    const auto group = chown.substr(colon + 1);
    if (const auto gid = number(group))
        owner.gid = *gid;
    else if (const auto* line = accounts.group(group))
        owner.gid = line->gid;
    else if (group == "root")
        owner.gid = 0;
    else if (!group.empty())
        *unknown = group;
    return owner;
}

}  // namespace

ResolvedUser resolve_user(const snapshot::Tree& tree, layer::ContentReader& contents,
                          std::string_view user) {
    const Accounts accounts(tree, contents);
    const auto colon = user.find(':');
    const auto group =
        colon == std::string_view::npos ? std::string_view() : user.substr(colon + 1);
    // Either may be empty, as in ${PUID}:${PGID} with one of them unset.
    const std::string_view name = colon == 0 || user.empty() ? "0" : user.substr(0, colon);
    if (is_too_large(name) || is_too_large(group)) reject_range(user);
    ResolvedUser resolved;
    resolved.home = "/";
    if (const auto* line = accounts.user(name)) {
        resolved.uid = line->uid;
        resolved.gid = line->gid;
        if (!line->home.empty()) resolved.home = line->home;
        if (group.empty()) resolved.groups = accounts.groups_of(line->name);
    } else if (const auto uid = number(name)) {
        resolved.uid = *uid;
    } else {
        fail(ErrorKind::NotFound,
             "unable to find user " + std::string(name) + ": no matching entries in passwd file");
    }
    if (!group.empty()) {
        if (const auto gid = number(group))
            resolved.gid = *gid;
        else if (const auto* line = accounts.group(group))
            resolved.gid = line->gid;
        else
            fail(ErrorKind::NotFound, "unable to find group " + std::string(group) +
                                          ": no matching entries in group file");
    }
    if (resolved.uid > kMaxId || resolved.gid > kMaxId) reject_range(user);
    std::erase_if(resolved.groups, [](std::uint32_t gid) { return gid > kMaxId; });
    if (std::find(resolved.groups.begin(), resolved.groups.end(), resolved.gid) ==
        resolved.groups.end())
        resolved.groups.insert(resolved.groups.begin(), resolved.gid);
    return resolved;
}

Owner resolve_chown(const snapshot::Tree& tree, layer::ContentReader& contents,
                    std::string_view chown, std::string* unknown) {
    const Owner owner = find_owner(tree, contents, chown, unknown);
    if (owner.uid == kNobodysId || owner.gid == kNobodysId)
        fail(ErrorKind::Invalid,
             "--chown=" + std::string(chown) + ": nobody can be " + std::to_string(kNobodysId));
    return owner;
}

}  // namespace shale::build
