// The root file system itself, as a directory or a tar: one for each platform, in a directory named
// after it, or all in one.
#include "archive_parts.hpp"
#include "copy.hpp"
#include "export.hpp"
#include "step.hpp"

#include <shale/tree_tar.hpp>

#include <algorithm>
#include <filesystem>
#include <map>

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

// What is said about the result, as files beside it.
class StatementFiles {
  public:
    StatementFiles(const std::vector<Built>& builds, const Output& output, bool split,
                   bool as_index)
        : output_(output), split_(split), as_index_(as_index) {
        for (const auto& build : builds)
            add(build);
    }

    bool empty() const { return texts_.empty(); }
    // Over everything of that name.
    void put_into(TreeBuilder& tree) const {
        for (const auto& [path, text] : texts_) {
            snapshot::EntrySpec spec;
            spec.type = FileType::Regular;
            spec.mode = 0600;
            spec.size = text.size();
            spec.content = codec::sha256(text);
            spec.mtime_ns = created_ns_;
            tree.put(path, spec);
        }
    }
    // The layer of the store that holds them.
    Digest store_in(store::Store& store) const {
        TreeBuilder tree;
        for (const auto& [path, text] : texts_) {
            const auto slash = path.rfind('/');
            if (slash != std::string::npos) tree.put(path.substr(0, slash), {});
        }
        put_into(tree);
        const auto open = [&](std::string_view path, const snapshot::Entry&) -> codec::Source {
            return
                [rest = std::string_view(texts_.at(std::string(path)))](MutableBytes out) mutable {
                    const auto count = std::min(out.size(), rest.size());
                    std::copy_n(as_bytes(rest).begin(), count, out.begin());
                    rest.remove_prefix(count);
                    return count;
                };
        };
        const auto nothing = TreeBuilder().finish();
        return store_layer(store, nothing, tree.finish(), {}, open).descriptor.digest;
    }

  private:
    void add(const Built& build) {
        const auto predicates = predicates_of(build, nullptr);
        if (predicates.empty()) return;
        const auto& session = build.session;
        const auto epoch = epoch_of(session, output_);
        created_ns_ = epoch ? *epoch * kNsPerSecond : session.shared.started_ns;
        const auto platform = directory_name(session.platform);
        std::vector<Subject> subjects;
        const auto& tree = *build.state.root->load().tree;
        for (NodeId node = snapshot::kRoot + 1; node < tree.size(); ++node)
            if (const auto entry = tree.entry(node); entry.type == FileType::Regular)
                subjects.push_back({tree.path(node), entry.content});
        for (const auto& predicate : predicates) {
            if (predicate.inline_only) continue;
            auto name = output_.attestation_prefix + predicate.filename;
            if (as_index_ && !split_) {
                const auto dot = name.rfind('.');
                const auto end = dot == std::string::npos ? name.size() : dot;
                name.insert(end, "." + platform);
            }
            const auto path = split_ ? platform + "/" + name : name;
            if (!texts_.emplace(path, statement(predicate, subjects)).second)
                fail(ErrorKind::Invalid, "duplicate attestation path name " + path);
        }
    }

    const Output& output_;
    bool split_, as_index_;
    std::int64_t created_ns_ = 0;
    std::map<std::string, std::string> texts_;  // by path
};

// The trees of all platforms as one.
std::shared_ptr<const Tree> combined(const std::vector<Built>& builds, bool split,
                                     const StatementFiles& statements) {
    if (builds.size() == 1 && !split && statements.empty())
        return builds.front().state.root->load().tree;
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
    statements.put_into(out);
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
    const bool split = output.platform_split.value_or(as_index);
    const StatementFiles statements(builds, output, split, as_index);
    const auto tree = combined(builds, split, statements);
    std::vector<Digest> sources;
    if (!statements.empty()) sources.push_back(statements.store_in(store));
    for (const auto& build : builds)
        sources = merge_sources(std::move(sources), build.state.root->load().sources);
    layer::ContentReader contents(store.content_index(sources), store.framed());
    TreeTarOptions options;
    options.own_by_caller = output.type == OutputType::Local;
    if (const auto epoch = epoch_of(session, output))
        options.clamp_mtime_ns = *epoch * kNsPerSecond;
    const auto stream = stoppable(tree_tar(*tree, contents_of(contents), options), session.stop);
    if (output.type == OutputType::Local) {
        make_directories(output.destination);
        layer::apply(stream, "build result", output.destination);
        if (output.delete_stale) remove_stale(output.destination, *tree);
    } else {
        write_result(output.destination, [&](const codec::Sink& sink) { pump(stream, sink); });
    }
}

}  // namespace shale::build
