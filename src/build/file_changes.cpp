#include "file_changes.hpp"

#include "copy.hpp"
#include "run_mount.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace shale::build {
namespace {

using snapshot::kNoNode;
using snapshot::kRoot;
using snapshot::NodeId;
using snapshot::Tree;

// Puts `node` with everything below it where it is in `tree`.
void keep(snapshot::TreeBuilder& out, const Tree& tree, NodeId node) {
    for (NodeId at = node; at < tree.end(node); ++at) {
        auto spec = tree.entry(at).spec();
        spec.link_group = 0;  // which names are one file never matters to a key
        out.put(tree.path(at), std::move(spec));
    }
}

std::string change_of(const snapshot::Entry& a, const snapshot::Entry& b,
                      const snapshot::KeyPolicy& policy, bool& only_mode) {
    std::vector<std::string> parts;
    if (a.type != b.type) parts.emplace_back("type");
    if (a.type == b.type && a.type == FileType::Regular && a.content != b.content)
        parts.emplace_back("content");
    if (a.type == b.type && a.link_target != b.link_target) parts.emplace_back("link target");
    if (a.type == b.type && (a.device_major != b.device_major || a.device_minor != b.device_minor))
        parts.emplace_back("device number");
    if (!std::ranges::equal(a.xattrs, b.xattrs)) parts.emplace_back("extended attributes");
    if (policy.owner && (a.uid != b.uid || a.gid != b.gid))
        parts.push_back(fmt::format("owner {}:{} -> {}:{}", a.uid, a.gid, b.uid, b.gid));
    const bool mode = policy.mode && a.mode != b.mode && a.type != FileType::Symlink;
    only_mode = mode && parts.empty();
    if (mode) parts.push_back(fmt::format("mode {:04o} -> {:04o}", a.mode, b.mode));
    return fmt::format("{}", fmt::join(parts, ", "));
}

class Comparison {
  public:
    Comparison(const Tree& before, const Tree& after, const snapshot::KeyPolicy& policy)
        : before_(before), after_(after), policy_(policy) {}

    std::vector<FileChange> changes() {
        compare(kRoot, kRoot);
        return std::move(changes_);
    }

  private:
    void compare(NodeId a, NodeId b) {
        if (before_.digest(a) == after_.digest(b)) return;
        const auto old_entry = before_.entry(a), new_entry = after_.entry(b);
        FileChange change{FileChange::Kind::Changed, after_.path(b), {}, false};
        change.detail = change_of(old_entry, new_entry, policy_, change.only_mode);
        if (!change.detail.empty()) changes_.push_back(std::move(change));
        if (old_entry.type != FileType::Directory || new_entry.type != FileType::Directory) return;
        NodeId old_child = before_.first_child(a), new_child = after_.first_child(b);
        while (old_child != kNoNode || new_child != kNoNode) {
            const int order = old_child == kNoNode ? 1
                              : new_child == kNoNode
                                  ? -1
                                  : before_.name(old_child).compare(after_.name(new_child));
            if (order < 0) {
                changes_.push_back(
                    {FileChange::Kind::Removed, before_.path(old_child), "removed", false});
            } else if (order > 0) {
                changes_.push_back(
                    {FileChange::Kind::Added, after_.path(new_child), "added", false});
            } else {
                compare(old_child, new_child);
            }
            if (order <= 0) old_child = before_.next_sibling(old_child);
            if (order >= 0) new_child = after_.next_sibling(new_child);
        }
    }

    const Tree& before_;
    const Tree& after_;
    const snapshot::KeyPolicy policy_;
    std::vector<FileChange> changes_;
};

}  // namespace

Tree selected_part(const Tree& tree, const FileSelection& selection) {
    snapshot::TreeBuilder out;
    const auto excludes = dockerfile::IgnoreMatcher::from_patterns(selection.excludes);
    for (const auto& operand : selection.operands) {
        std::vector<Selected> found;
        try {
            if (selection.is_mount) {
                found.emplace_back().node = find_source(tree, operand);
            } else {
                found =
                    selection.parents ? select_with_parents(tree, operand) : select(tree, operand);
            }
        } catch (const Error& error) {  // a literal that is not there
            if (error.kind() != ErrorKind::NotFound) throw;
        }
        for (const auto& selected : found) {
            if (!selected.kept && excludes.empty()) {
                keep(out, tree, selected.node);
                continue;
            }
            // Only a part of a directory: by the copy itself.
            CopyOptions options;
            options.destination = "/";
            options.excludes = excludes;
            copy_into(out, tree, {selected}, options, 1);
        }
    }
    return out.finish();
}

std::vector<FileChange> file_changes(const Tree& before, const Tree& after,
                                     const snapshot::KeyPolicy& policy) {
    return Comparison(before, after, policy).changes();
}

std::string hint_for(const FileChange& change) {
    static constexpr std::array<std::string_view, 16> kIrrelevant = {
        ".git",  ".svn",        ".hg",           "node_modules", "__pycache__", ".venv",
        ".idea", ".vscode",     ".DS_Store",     ".cache",       ".gradle",     ".terraform",
        ".tox",  ".mypy_cache", ".dockerignore", "Dockerfile"};
    std::string prefix;
    std::string_view rest = change.path;
    while (!rest.empty()) {
        const auto slash = std::min(rest.find('/'), rest.size());
        const auto name = rest.substr(0, slash);
        if (std::ranges::find(kIrrelevant, name) != kIrrelevant.end())
            return fmt::format("add \"{}{}\" to .dockerignore if no step needs it",
                               prefix.empty() ? "" : "**/", name);
        prefix = name;
        rest.remove_prefix(std::min(slash + 1, rest.size()));
    }
    for (const std::string_view end : {".log", ".swp", ".tmp", ".pyc"})
        if (change.path.ends_with(end))
            return fmt::format("add \"**/*{}\" to .dockerignore if no step needs it", end);
    if (change.only_mode)
        return "with --chmod=MODE (or one umask everywhere) modes of the sources do not matter";
    return {};
}

}  // namespace shale::build
