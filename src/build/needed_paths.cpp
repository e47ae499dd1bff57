#include "needed_paths.hpp"

#include "copy.hpp"

#include <shale/remote.hpp>

#include <algorithm>

namespace shale::build {
namespace {

bool is_at_or_below(std::string_view path, std::string_view top) {
    return top.empty() || path == top ||
           (path.size() > top.size() && path.starts_with(top) && path[top.size()] == '/');
}

Need need_of(const std::string& source) {
    // Up to the component in which something is left to expand or to match. Quotes and escapes
    // count as such: they are removed at expansion only.
    const auto open = source.find_first_of("$*?[\\'\"`");
    std::string_view literal = source;
    if (open != std::string::npos) {
        literal = literal.substr(0, open);
        const auto slash = literal.rfind('/');
        literal = slash == std::string_view::npos ? "" : literal.substr(0, slash);
    }
    return {clean_absolute_path(literal).substr(1), open != std::string::npos};
}

// A malformed reference is somebody else's to report.
bool is_git(const std::string& source) {
    try {
        return remote::parse_git(source).has_value();
    } catch (const Error&) {
        return true;
    }
}

}  // namespace

std::vector<Need> needed_paths(const dockerfile::Stage& stage) {
    std::vector<Need> needs;
    for (const auto& instruction : stage.instructions) {
        if (const auto* run = std::get_if<dockerfile::Run>(&instruction.value))
            for (const auto& mount : run->mounts)
                if (mount.type == dockerfile::MountType::Bind && mount.from.empty())
                    needs.push_back(need_of(mount.source));
        const auto* copy = std::get_if<dockerfile::Copy>(&instruction.value);
        if (!copy || !copy->from.empty()) continue;
        const auto more = needed_paths(*copy);
        needs.insert(needs.end(), more.begin(), more.end());
    }
    return needs;
}

std::vector<Need> needed_paths(const dockerfile::Copy& copy) {
    std::vector<Need> needs;
    for (const auto& source : copy.sources)
        if (!copy.is_add || (!remote::is_http_url(source) && !is_git(source)))
            needs.push_back(need_of(source));
    return needs;
}

bool NeededPaths::add(const Need& need) {
    // A pattern inside a path that is covered as a plain one still has links to be followed.
    const bool known = std::any_of(needs_.begin(), needs_.end(), [&](const Need& other) {
        return is_at_or_below(need.path, other.path) && (other.is_pattern || !need.is_pattern);
    });
    if (known) return false;
    needs_.push_back(need);
    return true;
}

bool NeededPaths::covers(std::string_view path) const {
    return std::any_of(needs_.begin(), needs_.end(),
                       [&](const Need& need) { return is_at_or_below(path, need.path); });
}

bool NeededPaths::admits(std::string_view path) const {
    return std::any_of(needs_.begin(), needs_.end(), [&](const Need& need) {
        return is_at_or_below(path, need.path) || is_at_or_below(need.path, path);
    });
}

std::string NeededPaths::text() const {
    std::vector<std::string> lines;
    for (const Need& need : needs_)
        lines.push_back((need.is_pattern ? "pattern " : "path ") + need.path);
    std::sort(lines.begin(), lines.end());
    std::string joined;
    for (const auto& line : lines)
        joined.append(line).push_back('\0');
    return joined;
}

bool NeededPaths::follow_links(const snapshot::Tree& tree) {
    const snapshot::TreeBuilder view(tree);
    std::vector<Need> found;
    const auto follow = [&](const std::string& path, bool is_pattern) {
        std::string target;
        try {
            target = resolve_destination(view, path);
        } catch (const Error&) {  // links in a circle: whoever copies them says so
            return path;
        }
        if (target != path) found.push_back({target, is_pattern});
        return target;
    };
    for (const Need& need : needs_) {
        const auto top = tree.find(follow(need.path, need.is_pattern));
        if (!need.is_pattern || top == snapshot::kNoNode) continue;
        for (auto node = top; node < tree.end(top); ++node)
            if (tree.entry(node).type == FileType::Symlink) follow(tree.path(node), false);
    }
    bool grew = false;
    for (const Need& need : found)
        grew |= add(need);
    return grew;
}

}  // namespace shale::build
