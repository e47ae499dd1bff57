// The root file system itself, as a directory or a tar: one for each platform, in a directory named
// after it, or all in one.
#include "copy.hpp"
#include "export.hpp"
#include "step.hpp"
#include "tree_tar.hpp"

#include <filesystem>

namespace shale::build {
namespace {

using snapshot::NodeId;
using snapshot::Tree;
using snapshot::TreeBuilder;

// "linux_arm_v7".
std::string directory_name(const oci::Platform& platform) {
    auto name = platform.str();
    for (char& c : name)
        if (c == '/') c = '_';
    return name;
}

void graft(TreeBuilder& out, const std::string& directory, const Tree& tree) {
    std::unordered_map<std::uint64_t, std::uint64_t> groups;
    out.put(directory, tree.entry(snapshot::kRoot).spec());
    for (NodeId node = snapshot::kRoot + 1; node < tree.size(); ++node) {
        auto spec = tree.entry(node).spec();
        if (spec.link_group) {
            const auto [known, is_new] = groups.try_emplace(spec.link_group, 0);
            if (is_new) known->second = out.new_link_group();
            spec.link_group = known->second;
        }
        out.put(directory + "/" + tree.path(node), std::move(spec));
    }
}

void check_overlap(const TreeBuilder& merged, const Tree& tree, const oci::Platform& platform) {
    for (NodeId node = snapshot::kRoot + 1; node < tree.size(); ++node) {
        const auto path = tree.path(node);
        const auto existing = merged.get(path);
        if (!existing) continue;
        if (existing->type == FileType::Directory && tree.entry(node).type == FileType::Directory)
            continue;
        fail(ErrorKind::Invalid, "/" + path + " of " + platform.str() +
                                     " is in the result of another platform, too; "
                                     "platform-split=true keeps them apart");
    }
}

// The trees of all platforms as one.
std::shared_ptr<const Tree> combined(const std::vector<Built>& builds, bool split) {
    if (builds.size() == 1 && !split) return builds.front().state.root->load().tree;
    TreeBuilder out;
    for (const auto& build : builds) {
        const auto& tree = *build.state.root->load().tree;
        if (split) {
            graft(out, directory_name(build.session.platform), tree);
            continue;
        }
        check_overlap(out, tree, build.session.platform);
        out.put("", tree.entry(snapshot::kRoot).spec());
        lay_over(out, tree);
    }
    return std::make_shared<const Tree>(out.finish());
}

// Removes what lies in the directory and is not in the tree.
void remove_stale(const std::string& directory, const Tree& tree) {
    namespace fs = std::filesystem;
    std::vector<fs::path> stale;
    for (auto at = fs::recursive_directory_iterator(directory);
         at != fs::recursive_directory_iterator(); ++at) {
        const auto path = at->path().lexically_relative(directory).string();
        if (tree.find(path) != snapshot::kNoNode) continue;
        stale.push_back(at->path());
        at.disable_recursion_pending();
    }
    for (const auto& path : stale)
        fs::remove_all(path);
}

}  // namespace

void write_tree(const std::vector<Built>& builds, const Output& output, bool as_index) {
    auto& session = builds.front().session;
    auto& store = session.services.store;
    const auto tree = combined(builds, output.platform_split.value_or(as_index));
    std::vector<Digest> sources;
    for (const auto& build : builds)
        sources = merge_sources(std::move(sources), build.state.root->load().sources);
    layer::ContentReader contents(store.content_index(sources), store.framed());
    TreeTarOptions options;
    options.own_by_caller = output.type == OutputType::Local;
    if (const auto epoch = epoch_of(session, output))
        options.clamp_mtime_ns = *epoch * kNsPerSecond;
    const auto stream = tree_tar(*tree, contents, options);
    if (output.type == OutputType::Local) {
        make_directories(output.destination);
        layer::apply(stream, "build result", output.destination);
        if (output.delete_stale) remove_stale(output.destination, *tree);
    } else {
        write_result(output.destination, [&](const codec::Sink& sink) { pump(stream, sink); });
    }
}

}  // namespace shale::build
