#include "missing_operand.hpp"

#include "copy.hpp"

#include <shale/confined.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <strings.h>

#include <memory>
#include <vector>

namespace shale::build {

namespace {

using snapshot::kNoNode;
using snapshot::NodeId;

// Of a directory; whoever has more will not be helped by one of them.
constexpr std::size_t kMostNames = 4096;
// Two letters of three can be changed into anything.
constexpr std::size_t kShortName = 3;

std::vector<std::string> names_in_tree(const snapshot::Tree& tree, const std::string& path) {
    std::vector<std::string> names;
    const NodeId directory = tree.resolve(path);
    if (directory == kNoNode || tree.entry(directory).type != FileType::Directory) return names;
    for (NodeId child = tree.first_child(directory); child != kNoNode && names.size() < kMostNames;
         child = tree.next_sibling(child))
        names.emplace_back(tree.name(child));
    return names;
}

// Links lead nowhere but within `root`.
std::vector<std::string> names_on_disk(const std::string& root, const std::string& path) {
    std::vector<std::string> names;
    const UniqueFd top(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!top) return names;  // the caller has a reason to fail already
    UniqueFd fd = open_resolved(top.get(), path.empty() ? "/" : path, O_RDONLY | O_DIRECTORY,
                                RESOLVE_IN_ROOT);
    if (!fd) return names;
    const std::unique_ptr<DIR, int (*)(DIR*)> list(::fdopendir(fd.get()), &::closedir);
    if (!list) return names;
    fd.release();
    while (const dirent* entry = ::readdir(list.get())) {
        const std::string_view name = entry->d_name;
        if (name != "." && name != ".." && names.size() < kMostNames) names.emplace_back(name);
    }
    return names;
}

bool is_on_disk(const std::string& root, const std::string& path) {
    const UniqueFd top(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    return top && open_resolved(top.get(), path, O_PATH, RESOLVE_IN_ROOT);
}

std::string nearest(const std::string& name, const std::vector<std::string>& names) {
    const auto found = nearest_match(name, names);
    const bool is_other_case = ::strcasecmp(found.c_str(), name.c_str()) == 0;
    return name.size() > kShortName || is_other_case ? found : std::string();
}

}  // namespace

std::string hint_for_missing(std::string_view operand, const snapshot::Tree& source,
                             const std::string& directory) {
    const auto written = path_components(operand);
    if (!written.empty() && written.front() == "..")
        return fmt::format(" (\"{}\" leads no further than the top of what is copied from)",
                           operand);
    const auto names_in = [&](const std::string& path) {
        return directory.empty() ? names_in_tree(source, path) : names_on_disk(directory, path);
    };
    const auto is_there = [&](const std::string& path) {
        return directory.empty() ? source.resolve(path) != kNoNode : is_on_disk(directory, path);
    };
    const std::string clean = clean_absolute_path(operand);
    std::string meant;  // as far as it is there
    for (const auto& part : path_components(clean)) {
        if (dockerfile::has_wildcard(part)) return {};
        const auto name = is_there(meant + "/" + part) ? part : nearest(part, names_in(meant));
        if (name.empty()) return {};
        meant += "/" + name;
    }
    // It is there, and excluded, or a link to nothing.
    if (meant == clean) return {};
    return fmt::format(" (did you mean \"{}\"?)", meant);
}

}  // namespace shale::build
