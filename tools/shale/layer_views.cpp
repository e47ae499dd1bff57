// Trees are merged one layer after the other and only two are held at a time: an image may have a
// hundred layers of a hundred thousand entries.
#include "layer_views.hpp"

#include <shale/diff.hpp>
#include <shale/tar.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <mutex>

namespace shale::cli {

namespace {

using snapshot::kNoNode;
using snapshot::NodeId;
using snapshot::Tree;
using snapshot::TreeBuilder;

std::size_t parse_count(std::string_view text, const std::string& reference) {
    std::size_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || number == 0)
        fail(ErrorKind::Invalid, reference + ": \"" + std::string(text) + "\" is no number from 1");
    return number;
}

snapshot::EntrySpec directory_spec() {
    snapshot::EntrySpec spec;
    spec.type = FileType::Directory;
    spec.mode = 0755;
    return spec;
}

// Entries of other trees, copied below a directory of a new one. What several places show of one
// hardlink group is a group in each of them.
class Picture {
  public:
    Picture(TreeBuilder& out, std::string below) : out_(out), below_(std::move(below)) {
        if (!below_.empty()) out_.put(below_, directory_spec());
    }

    // The entry, in directories that look as they do in its tree.
    void add(const Tree& tree, NodeId node) {
        if (seen_.size() < tree.size()) seen_.resize(tree.size());
        if (seen_[node]) return;
        seen_[node] = true;
        if (node != snapshot::kRoot) add(tree, tree.parent(node));
        auto spec = tree.entry(node).spec();
        if (spec.link_group != 0) {
            auto& group = groups_[spec.link_group];
            if (group == 0) group = out_.new_link_group();
            spec.link_group = group;
        }
        out_.put(place(tree.path(node)), std::move(spec));
    }
    void add_subtree(const Tree& tree, NodeId top) {
        for (NodeId node = top; node < tree.end(top); ++node)
            add(tree, node);
    }
    // "etc/.wh.motd": the layer deletes etc/motd. An empty file of that name, as in the tar.
    // Left out if no file can have the name.
    void add_mark(const Tree& after, const std::string& path) {
        const auto slash = path.rfind('/');
        if (path.size() - (slash + 1) > tar::kMaxNameBytes) return;  // npos + 1 is 0
        const auto parent = after.find(slash == std::string::npos ? "" : path.substr(0, slash));
        if (parent != kNoNode && after.entry(parent).type != FileType::Directory) return;
        if (parent != kNoNode) add(after, parent);
        snapshot::EntrySpec spec;
        spec.type = FileType::Regular;
        spec.mode = 0;
        out_.put(place(path), std::move(spec));
    }

  private:
    std::string place(const std::string& path) const {
        return below_.empty() ? path : join_path(below_, path);
    }

    TreeBuilder& out_;
    std::string below_;
    std::vector<bool> seen_;  // nodes of the one tree that this pictures
    std::map<std::uint64_t, std::uint64_t> groups_;
};

// The members of a layer as they are in `after`, the tree that it led to.
void picture_layer(Picture& out, const Tree& after, const layer::Toc& toc) {
    for (const auto& entry : toc.entries) {
        const auto& path = entry.member.path;
        const auto whiteout = tar::classify_whiteout(path);
        if (whiteout.kind != tar::WhiteoutKind::None) {
            const bool is_leftover = whiteout.kind == tar::WhiteoutKind::Whiteout &&
                                     whiteout.path.empty();  // of aufs; means nothing
            if (!is_leftover) out.add_mark(after, path);
        } else if (const auto node = after.find(path); node != kNoNode) {
            out.add(after, node);
        }
    }
}

Tree empty_tree() {
    return TreeBuilder().finish();
}

Tree next_tree(const Tree& before, const layer::Toc& toc, std::size_t index) {
    return in_context([&] { return fmt::format("layer {}", index + 1); },
                      [&] { return layer::merge(before, toc); });
}

Tree tree_after(const Tables& tables, std::size_t layers) {
    Tree tree = empty_tree();
    for (std::size_t i = 0; i < layers; ++i)
        tree = next_tree(tree, *tables[i], i);
    return tree;
}

Tree layer_alone(const Tables& tables, std::size_t index) {
    const Tree after = tree_after(tables, index + 1);
    TreeBuilder out;
    Picture picture(out, "");
    picture_layer(picture, after, *tables[index]);
    return out.finish();
}

// Whether a file of the layer is still what the image shows at its path.
bool is_wasted(const Tree& merged, const std::vector<std::uint32_t>& from,
               const layer::TocEntry& entry, std::size_t index) {
    if (entry.member.type != tar::MemberType::Regular ||
        tar::classify_whiteout(entry.member.path).kind != tar::WhiteoutKind::None)
        return false;
    const auto node = merged.find(entry.member.path);
    return node == kNoNode || from[node] != index;
}

// What a layer did to the tree below it, as four directories.
void picture_changes(TreeBuilder& out, const std::string& below, const Tree& before,
                     const Tree& after) {
    Picture added(out, below + "/added"), changed(out, below + "/changed"),
        deleted(out, below + "/deleted");
    for (const auto& change : diff::compare(before, after)) {
        if (change.kind == diff::ChangeKind::Added)
            added.add(after, change.after);
        else if (change.kind == diff::ChangeKind::Removed)
            deleted.add_subtree(before, change.before);
        else
            changed.add(after, change.after);
    }
}

Tree all_layers(const Tree& merged, const Tables& tables) {
    const auto from = layers_of_nodes(merged, tables);
    const auto width = std::to_string(tables.size()).size();
    TreeBuilder out;
    Picture(out, "merged").add_subtree(merged, snapshot::kRoot);
    out.put(".shale", directory_spec());
    Tree before = empty_tree();
    for (std::size_t i = 0; i < tables.size(); ++i) {
        Tree after = next_tree(before, *tables[i], i);
        const auto name = fmt::format("{:0{}}", i + 1, width);
        Picture layer(out, name);
        picture_layer(layer, after, *tables[i]);
        const auto views = ".shale/" + name;
        out.put(views, directory_spec());
        picture_changes(out, views, before, after);
        Picture wasted(out, views + "/wasted");
        for (const auto& entry : tables[i]->entries)
            if (is_wasted(merged, from, entry, i))
                if (const auto node = after.find(entry.member.path); node != kNoNode)
                    wasted.add(after, node);
        before = std::move(after);
    }
    return out.finish();
}

using LayerOf = std::function<std::optional<std::uint32_t>(NodeId)>;

// Of a tree that is what the tables merge to.
LayerOf layers_of_merged(std::shared_ptr<const Tree> tree, Tables tables) {
    struct Origins {
        std::shared_ptr<const Tree> tree;
        Tables tables;
        std::once_flag once;
        std::vector<std::uint32_t> from;
    };
    const auto origins = std::make_shared<Origins>();
    origins->tree = std::move(tree);
    origins->tables = std::move(tables);
    return [origins](NodeId node) -> std::optional<std::uint32_t> {
        std::call_once(origins->once,
                       [&] { origins->from = layers_of_nodes(*origins->tree, origins->tables); });
        const auto layer = origins->from.at(node);
        return layer == kNoLayer ? std::nullopt : std::optional(layer);
    };
}

// As all_layers() arranges them: "3/…" and ".shale/3/…" are of layer 3, what it deleted apart,
// whose layer it was is not looked for; "merged/…" is the image.
LayerOf layers_of_views(std::shared_ptr<const Tree> shown, std::shared_ptr<const Tree> merged,
                        Tables tables) {
    auto of_merged = layers_of_merged(merged, std::move(tables));
    return [shown, merged, of_merged](NodeId node) -> std::optional<std::uint32_t> {
        const std::string path = shown->path(node);
        std::string_view rest = path;
        const auto next = [&] {
            const auto part = rest.substr(0, rest.find('/'));
            rest.remove_prefix(std::min(part.size() + 1, rest.size()));
            return part;
        };
        auto first = next();
        if (first == "merged") {
            const auto there = merged->find(rest);
            return there == kNoNode ? std::nullopt : of_merged(there);
        }
        if (first == ".shale") {
            first = next();
            if (next() == "deleted") return std::nullopt;
        }
        std::uint32_t number = 0;
        const auto end = first.data() + first.size();
        if (std::from_chars(first.data(), end, number).ptr != end || number == 0)
            return std::nullopt;
        return number - 1;
    };
}

std::size_t layers_after_step(const StoredImage& image, std::size_t step) {
    const auto& history = image.config.history;
    if (step > history.size())
        fail(ErrorKind::Invalid,
             fmt::format("there is no step {}, the history has {}", step, history.size()));
    const auto with_layer =
        std::count_if(history.begin(), history.begin() + static_cast<std::ptrdiff_t>(step),
                      [](const oci::History& entry) { return !entry.empty_layer; });
    return std::min<std::size_t>(static_cast<std::size_t>(with_layer),
                                 image.manifest.layers.size());
}

}  // namespace

std::pair<std::string, Part> split_part(const std::string& text) {
    const auto at = text.rfind('#');
    if (at == std::string::npos) return {text, {}};
    const auto part = std::string_view(text).substr(at + 1);
    const auto reference = text.substr(0, at);
    if (part == "layers") return {reference, {Part::Kind::Layers, 0}};
    if (part.starts_with("layer:"))
        return {reference, {Part::Kind::Layer, parse_count(part.substr(6), text)}};
    if (part.starts_with("step:"))
        return {reference, {Part::Kind::Step, parse_count(part.substr(5), text)}};
    fail(ErrorKind::Invalid, text + ": behind the '#' may stand layer:N, step:N or layers");
}

TreeArgument part_of(TreeArgument whole, const Part& part) {
    if (part.kind == Part::Kind::Whole) return whole;
    if (!whole.image || !whole.tables)
        fail(ErrorKind::Invalid, "only images have layers and steps");
    const auto tables = whole.tables();
    if (part.kind == Part::Kind::Layer && part.number > tables.size())
        fail(ErrorKind::Invalid,
             fmt::format("there is no layer {}, the image has {}", part.number, tables.size()));
    const auto show = [&](Tree tree) {
        whole.tree = std::make_shared<const Tree>(std::move(tree));
    };
    whole.tables = nullptr;  // they are those of the image, not of what is shown
    if (part.kind == Part::Kind::Layer) {
        show(layer_alone(tables, part.number - 1));
        whole.layer_of = [layer = static_cast<std::uint32_t>(part.number - 1)](NodeId) {
            return std::optional(layer);
        };
    } else if (part.kind == Part::Kind::Layers) {
        const auto merged = whole.tree;
        show(all_layers(*merged, tables));
        whole.layer_of = layers_of_views(whole.tree, merged, tables);
    } else {
        const auto layers = layers_after_step(*whole.image, part.number);
        show(tree_after(tables, layers));
        whole.tables = [lowest = Tables(tables.begin(),
                                        tables.begin() + static_cast<std::ptrdiff_t>(layers))] {
            return lowest;
        };
    }
    return whole;
}

std::vector<std::uint32_t> layers_of_nodes(const Tree& merged, const Tables& tables) {
    std::vector<std::uint32_t> from(merged.size(), kNoLayer);
    std::vector<bool> may_be_older(merged.size());
    for (std::size_t i = tables.size(); i-- > 0;)
        for (const auto& entry : tables[i]->entries) {
            const auto whiteout = tar::classify_whiteout(entry.member.path);
            // What is there although a layer deleted it was made by that layer, or a later one.
            const bool is_whiteout = whiteout.kind == tar::WhiteoutKind::Whiteout;
            const auto node = merged.find(is_whiteout ? whiteout.path : entry.member.path);
            if (node == kNoNode || (from[node] != kNoLayer && !may_be_older[node])) continue;
            // Layers repeat the directories above what they change.
            may_be_older[node] = !is_whiteout && entry.member.type == tar::MemberType::Directory &&
                                 layer::entry_spec(entry) == merged.entry(node).spec();
            if (from[node] == kNoLayer || may_be_older[node])
                from[node] = static_cast<std::uint32_t>(i);
        }
    return from;
}

std::vector<std::uint64_t> wasted_bytes(const Tree& merged, const Tables& tables) {
    const auto from = layers_of_nodes(merged, tables);
    std::vector<std::uint64_t> bytes(tables.size());
    for (std::size_t i = 0; i < tables.size(); ++i)
        for (const auto& entry : tables[i]->entries)
            if (is_wasted(merged, from, entry, i)) bytes[i] += entry.member.size;
    return bytes;
}

OriginAttributes origin_attributes(const TreeArgument& shown) {
    if (!shown.image || (!shown.tables && !shown.layer_of)) return nullptr;
    struct Origins {
        LayerOf layer_of;
        std::shared_ptr<const Tree> tree;
        StoredImage image;
        std::vector<std::optional<std::size_t>> steps;
    };
    const auto origins = std::make_shared<Origins>();
    // The tables are those that the content index holds.
    origins->layer_of =
        shown.layer_of ? shown.layer_of : layers_of_merged(shown.tree, shown.tables());
    origins->tree = shown.tree;
    origins->image = *shown.image;
    origins->steps = steps_of_layers(*shown.image);
    return [origins](NodeId node, std::string_view name) -> std::optional<std::string> {
        const auto entry = origins->tree->entry(node);
        if (name == "content" && entry.type == FileType::Regular) return entry.content.str();
        const auto from = origins->layer_of(node);
        if (!from) return std::nullopt;
        const std::size_t layer = *from;
        if (name == "layer") return std::to_string(layer + 1);
        if (name == "digest") return origins->image.manifest.layers[layer].digest.str();
        const auto step = origins->steps[layer];
        if (name == "step" && step) return std::to_string(*step + 1);
        if (name == "instruction" && step) return origins->image.config.history[*step].created_by;
        return std::nullopt;
    };
}

std::vector<std::optional<std::size_t>> steps_of_layers(const StoredImage& image) {
    std::vector<std::optional<std::size_t>> steps(image.manifest.layers.size());
    std::size_t next = 0;
    const auto& history = image.config.history;
    for (std::size_t i = 0; i < history.size() && next < steps.size(); ++i)
        if (!history[i].empty_layer) steps[next++] = i;
    return steps;
}

}  // namespace shale::cli
