// What an operand of COPY or ADD matches: a walk of the source by names.
#include "copy.hpp"

namespace shale::build {
namespace {

using snapshot::kNoNode;
using snapshot::NodeId;
using snapshot::Tree;

bool any_wildcard(const std::vector<std::string>& parts) {
    for (const auto& part : parts)
        if (dockerfile::has_wildcard(part)) return true;
    return false;
}

// Every child of `directory` whose name matches `pattern`, in name order.
std::vector<NodeId> matching_children(const Tree& tree, NodeId directory,
                                      const std::string& pattern) {
    std::vector<NodeId> found;
    if (tree.entry(directory).type != FileType::Directory) return found;
    for (NodeId child = tree.first_child(directory); child != kNoNode;
         child = tree.next_sibling(child))
        if (dockerfile::match_glob(pattern, tree.name(child))) found.push_back(child);
    return found;
}

std::vector<Selected> select_wildcard(const Tree& source, const std::vector<std::string>& parts) {
    std::size_t fixed = 0;
    std::string prefix;
    while (!dockerfile::has_wildcard(parts[fixed]))
        prefix += "/" + parts[fixed++];
    const NodeId start = source.resolve(prefix);
    if (start == kNoNode) return {};
    // Later components are matched by name without following links in between, as the reference
    // walks; a match itself is dereferenced.
    std::vector<std::pair<NodeId, std::string>> level{{start, prefix}};
    for (std::size_t i = fixed; i < parts.size(); ++i) {
        std::vector<std::pair<NodeId, std::string>> next;
        for (const auto& [node, path] : level)
            for (const NodeId child : matching_children(source, node, parts[i]))
                next.emplace_back(child, path + "/" + std::string(source.name(child)));
        level = std::move(next);
    }
    std::vector<Selected> selection;
    for (const auto& [node, path] : level) {
        const NodeId target = source.resolve(source.path(node));
        if (target == kNoNode) fail(ErrorKind::NotFound, "\"" + path + "\": not found");
        selection.push_back({target, std::string(source.name(node)), path.substr(1), true, {}});
    }
    return selection;
}

// By name, links in between not followed: what is kept below a pivot is found by walking.
NodeId find_below(const Tree& source, NodeId directory, const std::vector<std::string>& parts) {
    for (const auto& part : parts) {
        if (source.entry(directory).type != FileType::Directory) return kNoNode;
        directory = source.child(directory, part);
        if (directory == kNoNode) break;
    }
    return directory;
}

}  // namespace

std::vector<std::string> path_components(std::string_view path) {
    std::vector<std::string> parts;
    while (!path.empty()) {
        const auto slash = path.find('/');
        if (slash != 0) parts.emplace_back(path.substr(0, slash));
        path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    }
    return parts;
}

std::vector<Selected> select(const Tree& source, std::string_view operand) {
    const std::string clean = clean_absolute_path(operand);
    const auto parts = path_components(clean);
    if (any_wildcard(parts)) return select_wildcard(source, parts);
    const NodeId node = source.resolve(clean);
    if (node == kNoNode) fail(ErrorKind::NotFound, "\"" + clean + "\": not found");
    return {{node, parts.empty() ? "" : parts.back(), clean.substr(1), false, {}}};
}

std::vector<Selected> select_with_parents(const Tree& source, std::string_view operand) {
    constexpr std::string_view kPivot = "/./";
    const auto pivot = operand.find(kPivot);
    const bool has_pivot = pivot != std::string_view::npos;
    const auto base = has_pivot ? operand.substr(0, pivot) : std::string_view();
    const auto kept_path =
        clean_absolute_path(has_pivot ? operand.substr(pivot + kPivot.size()) : operand);
    const auto parts = path_components(kept_path);
    const bool must_exist = !any_wildcard(parts) && !any_wildcard(path_components(base));

    Kept kept;
    for (const auto& part : parts) {
        if (dockerfile::has_wildcard(part)) break;
        kept.fixed.push_back(part);
    }
    if (!parts.empty())
        kept.matcher = dockerfile::IgnoreMatcher::from_patterns({kept_path.substr(1)});
    auto selection = select(source, base);
    for (auto& selected : selection) {
        if (must_exist && find_below(source, selected.node, parts) == kNoNode) {
            const auto clean = clean_absolute_path(base);
            fail(ErrorKind::NotFound,
                 "\"" + (clean == "/" ? "" : clean) + kept_path + "\": not found");
        }
        selected.kept = kept;
    }
    std::erase_if(selection, [&](const Selected& selected) {
        return source.entry(selected.node).type != FileType::Directory;
    });
    return selection;
}

}  // namespace shale::build
