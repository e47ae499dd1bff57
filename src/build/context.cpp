#include "context.hpp"

#include <fmt/format.h>

#include <unordered_map>

namespace shale::build {
namespace {

// Turns .dockerignore rules and the needed paths into the walk's decisions. States of open
// directories are kept by path: the walk may read several directories ahead.
class ContextFilter {
  public:
    ContextFilter(const dockerfile::IgnoreMatcher& ignore, const std::vector<std::string>& needed)
        : ignore_(ignore), needed_(needed) {}

    walk::Decision decide(std::string_view path, bool is_directory) {
        if (path.empty()) return walk::Decision::Include;
        if (!is_needed(path, is_directory)) return walk::Decision::Prune;
        if (ignore_.empty()) return walk::Decision::Include;
        const auto slash = path.rfind('/');
        const std::string parent(slash == std::string_view::npos ? "" : path.substr(0, slash));
        dockerfile::IgnoreMatcher::State child;
        const auto verdict = ignore_.decide(path, states_[parent], is_directory ? &child : nullptr);
        if (is_directory && !verdict.may_prune) states_[std::string(path)] = std::move(child);
        if (!verdict.excluded) return walk::Decision::Include;
        return verdict.may_prune || !is_directory ? walk::Decision::Prune : walk::Decision::Skip;
    }

  private:
    // Below a needed path, or a directory on the way to one.
    bool is_needed(std::string_view path, bool is_directory) const {
        if (needed_.empty()) return true;
        for (const auto& need : needed_) {
            if (need.empty() || path == need) return true;
            if (path.size() > need.size() && path.starts_with(need) && path[need.size()] == '/')
                return true;
            if (is_directory && need.size() > path.size() && need.starts_with(path) &&
                need[path.size()] == '/')
                return true;
        }
        return false;
    }

    const dockerfile::IgnoreMatcher& ignore_;
    const std::vector<std::string>& needed_;
    std::unordered_map<std::string, dockerfile::IgnoreMatcher::State> states_;
};

// A symlink that leads nowhere inside a partial walk may lead out of the needed paths; then, and
// only then, everything must be looked at.
bool has_open_link(const snapshot::Tree& tree) {
    for (snapshot::NodeId node = 0; node < tree.size(); ++node)
        if (tree.entry(node).type == FileType::Symlink &&
            tree.resolve(tree.path(node)) == snapshot::kNoNode)
            return true;
    return false;
}

}  // namespace

Context::Context(std::string directory, dockerfile::IgnoreMatcher ignore,
                 std::vector<std::string> needed, store::Store& store, Tracker& tracker)
    : directory_(std::move(directory)), ignore_(std::move(ignore)), needed_(std::move(needed)),
      store_(store), tracker_(tracker) {}

const snapshot::Tree& Context::tree() {
    const std::lock_guard lock(mutex_);
    if (!tree_) {
        tracker_.run("[internal] load build context", [&](VertexId) {
            snapshot::Tree tree = scan();
            if (!needed_.empty() && has_open_link(tree)) {
                needed_.clear();
                tree = scan();
            }
            tree_ = std::make_unique<const snapshot::Tree>(std::move(tree));
            return Outcome::Done;
        });
    }
    return *tree_;
}

snapshot::Tree Context::scan() {
    ContextFilter filter(ignore_, needed_);
    snapshot::StatCache cache(store_.stat_cache_path());
    snapshot::ScanOptions options;
    options.zero_owner = true;
    options.stat_cache = &cache;
    options.walk.filter = [&](std::string_view path, bool is_directory) {
        return filter.decide(path, is_directory);
    };
    auto tree = snapshot::scan(directory_, options);
    cache.save();
    return tree;
}

dockerfile::IgnoreMatcher Context::load_ignore(const std::string& directory,
                                               const std::string& dockerfile_path) {
    for (const auto& path : {dockerfile_path.empty() ? "" : dockerfile_path + ".dockerignore",
                             join_path(directory, ".dockerignore")})
        if (!path.empty() && path_exists(path))
            return in_context([&] { return "failed parsing " + path; },
                              [&] { return dockerfile::IgnoreMatcher::parse(read_file(path)); });
    return {};
}

std::vector<std::string> needed_paths(const dockerfile::File& file,
                                      const std::vector<std::uint32_t>& stages) {
    std::vector<std::string> needed;
    for (const auto index : stages)
        for (const auto& instruction : file.stages[index].instructions) {
            const auto* copy = std::get_if<dockerfile::Copy>(&instruction.value);
            if (!copy || !copy->from.empty()) continue;
            for (const auto& source : copy->sources) {
                // Up to the component in which something is left to expand or to match. Quotes and
                // escapes count as such: they are removed at expansion only.
                const auto open = source.find_first_of("$*?[\\'\"`");
                std::string_view literal = source;
                if (open != std::string::npos) {
                    literal = literal.substr(0, open);
                    const auto slash = literal.rfind('/');
                    literal = slash == std::string_view::npos ? "" : literal.substr(0, slash);
                }
                const auto clean = clean_absolute_path(literal).substr(1);
                if (clean.empty()) return {};
                needed.push_back(clean);
            }
        }
    return needed;
}

}  // namespace shale::build
