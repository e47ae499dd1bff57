// Why an entry counts as modified, and which changes are worth telling.
#include <shale/report.hpp>

#include <algorithm>

namespace shale::report {

using diff::Change;
using diff::ChangeKind;
using snapshot::Tree;

std::vector<Change> only_below(std::vector<Change> changes, const Tree& after,
                               std::string_view path) {
    while (path.starts_with('/'))
        path.remove_prefix(1);
    while (path.ends_with('/'))
        path.remove_suffix(1);
    if (path.empty()) return changes;
    std::erase_if(changes, [&](const Change& change) {
        const std::string at = change.path(after);
        return !at.starts_with(path) || (at.size() > path.size() && at[path.size()] != '/');
    });
    return changes;
}

namespace {

bool are_equal_times(std::int64_t a, std::int64_t b, const Ignored& ignored) {
    if (ignored.mtime || a == b) return true;
    const std::int64_t second = whole_seconds(a);
    return ignored.fractions && second == whole_seconds(b) && (a == second || b == second);
}

}  // namespace

Reasons reasons_of(const Change& change, const Tree& before_tree, const Tree& after_tree,
                   const Ignored& ignored) {
    Reasons reasons;
    if (change.kind != ChangeKind::Modified) return reasons;
    const auto before = before_tree.entry(change.before), after = after_tree.entry(change.after);
    reasons.type = before.type != after.type;
    reasons.content = before.size != after.size || before.content != after.content ||
                      before.link_target != after.link_target ||
                      before.device_major != after.device_major ||
                      before.device_minor != after.device_minor;
    reasons.mode = !ignored.mode && before.mode != after.mode;
    reasons.owner = !ignored.owner && (before.uid != after.uid || before.gid != after.gid);
    reasons.mtime = !are_equal_times(before.mtime_ns, after.mtime_ns, ignored);
    reasons.xattrs = !std::equal(before.xattrs.begin(), before.xattrs.end(), after.xattrs.begin(),
                                 after.xattrs.end());
    return reasons;
}

std::vector<Change> without(std::vector<Change> changes, const Tree& before, const Tree& after,
                            const Ignored& ignored) {
    std::erase_if(changes, [&](const Change& change) {
        return change.kind == ChangeKind::Modified &&
               !reasons_of(change, before, after, ignored).any();
    });
    return changes;
}

}  // namespace shale::report
