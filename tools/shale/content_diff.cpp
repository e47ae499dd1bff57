#include "content_diff.hpp"

#include "terminal_text.hpp"

#include <shale/report.hpp>

#include <fmt/format.h>

namespace shale::cli {

namespace {

using snapshot::kNoNode;
using snapshot::NodeId;

// Two files of this size and their lines are held in memory at once.
constexpr std::uint64_t kMaxTextBytes = 16 << 20;
// As git decides it: a NUL near the beginning means it is no text.
constexpr std::size_t kProbeBytes = 8000;

struct Side {
    bool exists = false, is_text = true;
    std::string text;
};

std::string read_all(const codec::Source& source, std::uint64_t size) {
    std::string text(size, '\0');
    std::size_t filled = 0;
    while (filled < text.size()) {
        const auto count =
            source({reinterpret_cast<std::byte*>(text.data()) + filled, text.size() - filled});
        if (count == 0) break;
        filled += count;
    }
    text.resize(filled);
    return text;
}

Side read_side(const TreeArgument& tree, NodeId node, const std::string& path) {
    if (node == kNoNode) return {};
    const auto entry = tree.tree->entry(node);
    if (entry.type != FileType::Regular) return {};
    if (entry.size == 0) return {true, true, {}};
    if (!tree.open)
        fail(ErrorKind::Invalid, "--content needs the bytes of '" + path +
                                     "', and a snapshot holds none; give the directory instead");
    if (entry.size > kMaxTextBytes) return {true, false, {}};
    Side side{true, true, read_all(tree.open(path, entry), entry.size)};
    side.is_text =
        std::string_view(side.text).substr(0, kProbeBytes).find('\0') == std::string_view::npos;
    return side;
}

std::string label(const Side& side, char letter, const std::string& path) {
    return side.exists ? fmt::format("{}/{}", letter, printable(path)) : "/dev/null";
}

std::string render(const Side& a, const Side& b, const std::string& path) {
    if (!a.exists && !b.exists) return {};
    const std::string from = label(a, 'a', path), to = label(b, 'b', path);
    if (!a.is_text || !b.is_text) return fmt::format("Binary files {} and {} differ\n", from, to);
    return report::unified_text(a.text, b.text, from, to);
}

}  // namespace

std::string content_diff(const std::vector<diff::Change>& changes, const TreeArgument& before,
                         const TreeArgument& after) {
    std::string out;
    for (const auto& change : changes) {
        if (!change.content_changed) continue;
        if (change.kind != diff::ChangeKind::Removed) {
            const auto path = change.path(*after.tree);
            out += render(read_side(before, change.before, path),
                          read_side(after, change.after, path), path);
            continue;
        }
        // What lies below a removed directory is not listed, and its lines are gone all the same.
        for (NodeId node = change.before; node < before.tree->end(change.before); ++node) {
            const auto path = before.tree->path(node);
            out += render(read_side(before, node, path), {}, path);
        }
    }
    return out;
}

}  // namespace shale::cli
