// Changes as an indented tree for people.
//
// One line per change, and one per directory on the way to it, so that a path is never repeated:
//
//       etc/
//     M   passwd    1.2 kB -> 1.3 kB  content, mode 0644 -> 0600
//     D   old/      12 files, 3.4 MB
//
// The letter comes first, so that a long list can be scanned and searched (`grep ^M`). A directory
// that was added or removed as a whole is summed up in its own line.
#include <shale/report.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace shale::report {

namespace {

using diff::Change;
using diff::ChangeKind;
using diff::printable_path;
using snapshot::Entry;
using snapshot::kNoNode;
using snapshot::NodeId;
using snapshot::Tree;

char letter(ChangeKind kind) {
    switch (kind) {
    case ChangeKind::Added:
        return 'A';
    case ChangeKind::Modified:
        return 'M';
    case ChangeKind::Removed:
        return 'D';
    case ChangeKind::Linked:
        return 'L';
    }
    return '?';
}

// Names longer than this push their notes to the right instead of everybody's.
constexpr std::size_t kWidestName = 60;

struct Line {
    char letter = ' ';
    std::string name;  // indented
    std::string note;
};

// Characters as a terminal counts them, nearly: bytes that begin one.
std::size_t width(std::string_view text) {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    }));
}

std::string owner(const Entry& entry) {
    return fmt::format("{}:{}", entry.uid, entry.gid);
}

std::string_view noun(FileType type) {
    switch (type) {
    case FileType::Regular:
        return "file";
    case FileType::Directory:
        return "directory";
    case FileType::Symlink:
        return "symbolic link";
    case FileType::CharDevice:
    case FileType::BlockDevice:
        return "device";
    case FileType::Fifo:
        return "fifo";
    case FileType::Socket:
        return "socket";
    }
    return "entry";
}

// What stands behind the name of an entry that is there on one side only.
std::string what_it_is(const Entry& entry) {
    switch (entry.type) {
    case FileType::Regular:
        return format_size(entry.size);
    case FileType::Symlink:
        return "-> " + printable_path(entry.link_target);
    case FileType::CharDevice:
    case FileType::BlockDevice:
        return fmt::format("device {}:{}", entry.device_major, entry.device_minor);
    default:
        return std::string(noun(entry.type));
    }
}

std::string sum_of(const Tree& tree, NodeId directory) {
    std::uint64_t files = 0, bytes = 0;
    for (NodeId node = directory; node < tree.end(directory); ++node) {
        const Entry entry = tree.entry(node);
        files += entry.type != FileType::Directory;
        if (entry.type == FileType::Regular) bytes += entry.size;
    }
    if (files == 0) return "no files";
    return fmt::format("{} file{}, {}", files, files == 1 ? "" : "s", format_size(bytes));
}

std::string note_on_content(const Entry& before, const Entry& after) {
    switch (after.type) {
    case FileType::Regular:
        if (before.size == after.size) return format_size(after.size) + "  content";
        return fmt::format("{} -> {}  content", format_size(before.size), format_size(after.size));
    case FileType::Symlink:
        return fmt::format("-> {}, was {}", printable_path(after.link_target),
                           printable_path(before.link_target));
    default:
        return fmt::format("device {}:{}, was {}:{}", after.device_major, after.device_minor,
                           before.device_major, before.device_minor);
    }
}

// Which attributes came, went or changed.
std::string note_on_xattrs(const Entry& before, const Entry& after) {
    std::string names;
    const auto add = [&](char sign, const Xattr& xattr) {
        names += fmt::format("{}{}{}", names.empty() ? "" : " ", sign, printable_path(xattr.name));
    };
    auto old_one = before.xattrs.begin(), new_one = after.xattrs.begin();
    while (old_one != before.xattrs.end() || new_one != after.xattrs.end()) {
        const int order = new_one == after.xattrs.end()    ? -1
                          : old_one == before.xattrs.end() ? 1
                                                           : old_one->name.compare(new_one->name);
        if (order < 0)
            add('-', *old_one++);
        else if (order > 0)
            add('+', *new_one++);
        else {
            if (old_one->value != new_one->value) add('~', *new_one);
            ++old_one, ++new_one;
        }
    }
    return "xattr " + names;
}

std::string note_on_modified(const Entry& before, const Entry& after, const Reasons& reasons) {
    std::vector<std::string> parts;
    if (reasons.type)
        parts.push_back(fmt::format("{}, was a {}", noun(after.type), noun(before.type)));
    else if (reasons.content)
        parts.push_back(note_on_content(before, after));
    if (reasons.mode)
        parts.push_back(fmt::format("mode {:04o} -> {:04o}", before.mode, after.mode));
    if (reasons.owner) parts.push_back(fmt::format("owner {} -> {}", owner(before), owner(after)));
    if (reasons.xattrs) parts.push_back(note_on_xattrs(before, after));
    // Whoever writes a file moves its time; that is worth a word only where nothing else changed.
    if (reasons.mtime && parts.empty())
        parts.push_back(fmt::format("time {} -> {}", format_rfc3339(before.mtime_ns),
                                    format_rfc3339(after.mtime_ns)));
    else if (reasons.mtime)
        parts.push_back("time");
    return fmt::format("{}", fmt::join(parts, ", "));
}

class TreeText {
  public:
    TreeText(const Tree& before, const Tree& after, const Ignored& ignored, const Style& style)
        : before_(before), after_(after), ignored_(ignored), style_(style) {}

    std::string render(const std::vector<Change>& changes) {
        for (const Change& change : changes)
            add(change);
        std::size_t column = 0;
        for (const Line& line : lines_)
            if (const auto wide = width(line.name); wide <= kWidestName)
                column = std::max(column, wide);
        std::string out;
        for (const Line& line : lines_)
            out += render(line, column);
        return out;
    }

  private:
    void add(const Change& change) {
        const std::string whole_path = change.path(after_);
        const std::string_view path = whole_path;
        if (is_folded(change, path)) return;
        const auto depth = open_directories_of(path);
        const auto slash = path.rfind('/');
        const auto name = slash == std::string_view::npos ? path : path.substr(slash + 1);
        const Tree& tree = change.after == kNoNode ? before_ : after_;
        const NodeId node = change.after == kNoNode ? change.before : change.after;
        const bool is_directory = tree.entry(node).type == FileType::Directory;
        lines_.push_back({letter(change.kind), indented(depth, name, is_directory), note(change)});
        if (!is_directory) return;
        open_.resize(depth);
        if (!path.empty()) open_.emplace_back(path);
        if (change.kind == ChangeKind::Added && style_.fold) folded_ = whole_path + "/";
    }

    bool is_folded(const Change& change, std::string_view path) const {
        return !folded_.empty() && change.kind == ChangeKind::Added && path.starts_with(folded_);
    }

    // Lines for the directories above `path` that have none yet; how many there are.
    std::size_t open_directories_of(std::string_view path) {
        std::size_t depth = 0;
        for (auto slash = path.find('/'); slash != std::string_view::npos;
             slash = path.find('/', slash + 1), ++depth) {
            const auto directory = path.substr(0, slash);
            if (depth < open_.size() && open_[depth] == directory) continue;
            open_.resize(depth);
            open_.emplace_back(directory);
            const auto above = directory.rfind('/');
            lines_.push_back(
                {' ',
                 indented(depth,
                          above == std::string_view::npos ? directory : directory.substr(above + 1),
                          true),
                 {}});
        }
        return depth;
    }

    static std::string indented(std::size_t depth, std::string_view name, bool is_directory) {
        return std::string(2 * depth, ' ') + printable_path(name) +
               (is_directory && !name.empty() ? "/" : "");
    }

    std::string note(const Change& change) const {
        switch (change.kind) {
        case ChangeKind::Added:
            return one_sided(after_, change.after);
        case ChangeKind::Removed:
            return one_sided(before_, change.before);
        case ChangeKind::Linked:
            return "hard links";
        case ChangeKind::Modified:
            break;
        }
        return note_on_modified(before_.entry(change.before), after_.entry(change.after),
                                reasons_of(change, before_, after_, ignored_));
    }

    static std::string one_sided(const Tree& tree, NodeId node) {
        const Entry entry = tree.entry(node);
        return entry.type == FileType::Directory ? sum_of(tree, node) : what_it_is(entry);
    }

    std::string render(const Line& line, std::size_t column) const {
        std::string text(1, line.letter);
        text += ' ' + line.name;
        if (!line.note.empty())
            text +=
                std::string(column - std::min(column, width(line.name)), ' ') + "  " + line.note;
        if (style_.colour && line.letter != ' ')
            text = fmt::format("\x1b[{}m{}\x1b[0m", colour(line.letter), text);
        return text + '\n';
    }

    static int colour(char letter) { return letter == 'A' ? 32 : letter == 'D' ? 31 : 33; }

    const Tree& before_;
    const Tree& after_;
    const Ignored& ignored_;
    const Style& style_;
    std::vector<Line> lines_;
    std::vector<std::string> open_;  // the directory lines above the last line, outermost first
    std::string folded_;             // an added directory whose line speaks for what is below
};

}  // namespace

std::string to_tree_text(const std::vector<Change>& changes, const Tree& before, const Tree& after,
                         const Ignored& ignored, const Style& style) {
    return TreeText(before, after, ignored, style).render(changes);
}

}  // namespace shale::report
