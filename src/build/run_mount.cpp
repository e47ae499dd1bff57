#include "run_mount.hpp"

#include "context.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <deque>
#include <filesystem>
#include <system_error>

namespace shale::build {
namespace {

using dockerfile::MountType;

// expand_mount() has seen to it that the text is a number.
std::optional<std::uint32_t> number(const std::optional<std::string>& text, int base) {
    if (!text) return std::nullopt;
    std::uint32_t value = 0;
    std::from_chars(text->data(), text->data() + text->size(), value, base);
    return value;
}

std::string base_name(const std::string& path) {
    const auto clean = clean_absolute_path(path);
    return clean.substr(clean.rfind('/') + 1);
}

std::string target_path(const dockerfile::Mount& mount, const std::string& working_directory) {
    const auto target = clean_absolute_path(
        mount.target.starts_with('/') ? mount.target : join_path(working_directory, mount.target));
    if (target == "/")
        fail(ErrorKind::Invalid,
             "invalid mount target \"" + (mount.target.empty() ? "/" : mount.target) + "\"");
    return target;
}

void decide_secret(const dockerfile::Mount& mount, const std::string& working_directory,
                   RunMount& made) {
    made.id = mount.source.empty() ? mount.id : mount.source;
    if (made.id.empty()) made.id = base_name(mount.target);
    if (mount.has_env) {
        if (mount.env.empty() ||
            mount.env.find_first_of(std::string_view("=\0", 2)) != mount.env.npos)
            fail(ErrorKind::Invalid,
                 "invalid secret mount: \"" + mount.env + "\" cannot be the name of a variable");
        made.variable = mount.env;
    }
    if (!mount.target.empty())
        made.target = target_path(mount, working_directory);
    else if (!made.variable)
        made.target = "/run/secrets/" + base_name(made.id);
    made.read_only = true;
}

std::size_t depth(const RunMount& mount) {
    return static_cast<std::size_t>(std::count(mount.target.begin(), mount.target.end(), '/'));
}

}  // namespace

RunMount decide_mount(const dockerfile::Mount& mount, const std::string& working_directory,
                      unsigned ordinal) {
    RunMount made;
    made.type = mount.type;
    made.source = mount.source;
    made.required = mount.required;
    made.mode = number(mount.mode, 8);
    made.uid = number(mount.uid, 10);
    made.gid = number(mount.gid, 10);
    switch (mount.type) {
    case MountType::Bind:
        made.target = target_path(mount, working_directory);
        made.read_only = mount.read_only.value_or(true);
        break;
    case MountType::Cache:
        made.target = target_path(mount, working_directory);
        made.read_only = mount.read_only.value_or(false);
        made.id = mount.id.empty() ? made.target : mount.id;
        made.sharing = parse_sharing(mount.sharing);
        break;
    case MountType::Tmpfs:
        made.target = target_path(mount, working_directory);
        made.read_only = mount.read_only.value_or(false);
        if (mount.size) made.tmpfs_bytes = dockerfile::parse_size(*mount.size).value_or(0);
        break;
    case MountType::Secret:
        decide_secret(mount, working_directory, made);
        break;
    case MountType::Ssh:
        made.id = mount.id.empty() ? "default" : mount.id;
        made.target = mount.target.empty() ? fmt::format("/run/buildkit/ssh_agent.{}", ordinal)
                                           : target_path(mount, working_directory);
        made.read_only = true;
        break;
    }
    return made;
}

snapshot::NodeId find_source(const snapshot::Tree& tree, const std::string& source) {
    const auto path = clean_absolute_path(source);
    const auto node = tree.resolve(path);
    if (node == snapshot::kNoNode) fail(ErrorKind::NotFound, "\"" + path + "\": not found");
    return node;
}

void add_to_key(Key& key, const RunMount& mount, Context& context, bool by_content) {
    const auto digit = [](bool value) { return static_cast<std::uint64_t>(value); };
    key.add("mount", static_cast<std::uint64_t>(mount.type)).add("target", mount.target);
    key.add("read-only", digit(mount.read_only)).add("size", mount.tmpfs_bytes);
    if (mount.type == MountType::Secret || mount.type == MountType::Ssh) {
        key.add("id", mount.id).add("required", digit(mount.required));
        key.add("variable", mount.variable.value_or(""));
    }
    for (const auto& option : {mount.mode, mount.uid, mount.gid})
        key.add("option", option ? std::to_string(*option) : "");
    const bool from_context = mount.type == MountType::Bind && !mount.from;
    if (!mount.from && !from_context) return;
    if (mount.from && !by_content) {
        key.add("from", mount.from->key()).add("source", mount.source);
        return;
    }
    const auto& tree = from_context ? context.tree() : *mount.from->load().tree;
    key.add("content",
            in_context([] { return std::string("failed to compute cache key"); },
                       [&] { return tree.key_digest(find_source(tree, mount.source)); }));
}

std::optional<FileSelection> selection_of(const RunMount& mount, const Context& context) {
    const bool from_context = mount.type == MountType::Bind && !mount.from;
    if (!mount.from && !from_context) return std::nullopt;
    FileSelection read;
    read.operands = {mount.source};
    read.is_mount = true;
    if (from_context)
        read.context = context.name();
    else
        read.root = mount.from->key();
    return read;
}

ReadLink links_of(const snapshot::Tree& tree, std::span<const sandbox::BindMount> mounts) {
    return [&tree, mounts](const std::string& path) -> std::optional<std::string> {
        const sandbox::BindMount* over = nullptr;
        for (const auto& mount : mounts) {
            if (is_below("/" + path, mount.target) &&
                (over == nullptr || mount.target.size() >= over->target.size()))
                over = &mount;
            else if ("/" + path == mount.target)
                return std::nullopt;  // that is what stands there
        }
        if (over == nullptr) {
            const auto node = tree.find(path);
            if (node == snapshot::kNoNode || tree.entry(node).type != FileType::Symlink)
                return std::nullopt;
            return std::string(tree.entry(node).link_target);
        }
        if (over->source.empty()) return std::nullopt;  // a tmpfs is empty
        std::error_code is_none;
        const auto link = std::filesystem::read_symlink(
            over->source + ("/" + path).substr(over->target.size()), is_none);
        return is_none ? std::nullopt : std::optional(link.string());
    };
}

bool leads_into_proc(const std::string& target, const ReadLink& read_link) {
    constexpr int kMostLinks = 40;  // as the kernel
    std::deque<std::string> rest;
    const auto put_before = [&](std::string_view path) {
        std::vector<std::string> parts;
        for (std::size_t at = 0; at <= path.size();) {
            const auto slash = std::min(path.find('/', at), path.size());
            if (slash > at) parts.emplace_back(path.substr(at, slash - at));
            at = slash + 1;
        }
        rest.insert(rest.begin(), parts.begin(), parts.end());
    };
    put_before(target);
    std::vector<std::string> at;
    for (int links = 0; !rest.empty() && links <= kMostLinks;) {
        const std::string part = std::move(rest.front());
        rest.pop_front();
        if (part == ".") continue;
        if (part == "..") {
            if (!at.empty()) at.pop_back();
            continue;
        }
        at.push_back(part);
        if (at.front() == "proc") return true;
        const auto link = read_link(fmt::format("{}", fmt::join(at, "/")));
        if (!link) continue;
        at.pop_back();
        if (link->starts_with('/')) at.clear();
        put_before(*link);
        ++links;
    }
    return false;
}

void sort_by_depth(std::vector<RunMount>& mounts) {
    std::stable_sort(mounts.begin(), mounts.end(),
                     [](const auto& a, const auto& b) { return depth(a) < depth(b); });
}

bool is_below(const std::string& path, const std::string& directory) {
    return path.size() > directory.size() && path.starts_with(directory) &&
           path[directory.size()] == '/';
}

}  // namespace shale::build
