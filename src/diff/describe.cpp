// Changes as text for people and as JSON for programs.
//
// Paths are bytes. In text, control characters and what is not UTF-8 are escaped so that a hostile
// name cannot move the terminal's cursor or fake a line. In JSON, a path that is not UTF-8 is shown
// with U+FFFD in place of what is broken, and its exact bytes follow as "path_hex".
#include <shale/diff.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace shale::diff {

namespace {

using snapshot::kNoNode;
using snapshot::NodeId;
using snapshot::Tree;

// Length of the valid UTF-8 sequence that `text` starts with; 0 if it starts with none.
std::size_t utf8_length(std::string_view text) {
    const auto byte = [&](std::size_t at) { return static_cast<std::uint8_t>(text[at]); };
    const std::uint8_t lead = byte(0);
    if (lead < 0x80) return 1;
    const std::size_t length = lead >= 0xc2 && lead <= 0xdf   ? 2
                               : lead >= 0xe0 && lead <= 0xef ? 3
                               : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                              : 0;
    if (length == 0 || text.size() < length) return 0;
    for (std::size_t at = 1; at < length; ++at)
        if ((byte(at) & 0xc0) != 0x80) return 0;
    const bool overlong = (lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xf0 && byte(1) < 0x90);
    const bool surrogate = lead == 0xed && byte(1) > 0x9f;
    const bool too_large = lead == 0xf4 && byte(1) > 0x8f;
    return overlong || surrogate || too_large ? 0 : length;
}

bool is_control(char c) {
    const auto byte = static_cast<std::uint8_t>(c);
    return byte < 0x20 || byte == 0x7f;
}

// Of the second block of controls, which UTF-8 writes with two bytes.
bool is_wide_control(std::string_view character) {
    return character.size() == 2 && character[0] == '\xc2' &&
           static_cast<std::uint8_t>(character[1]) < 0xa0;
}

std::string printable(std::string_view path) {
    std::string out;
    while (!path.empty()) {
        const std::size_t length = utf8_length(path);
        const auto character = path.substr(0, std::max<std::size_t>(length, 1));
        if (length == 0 || is_control(path.front()) || path.front() == '\\' ||
            is_wide_control(character))
            for (const char c : character)
                out += fmt::format("\\x{:02x}", static_cast<std::uint8_t>(c));
        else
            out.append(character);
        path.remove_prefix(character.size());
    }
    return out.empty() ? "." : out;
}

void put_path(std::string& out, std::string_view path) {
    out += "\"path\":\"";
    bool exact = true;
    for (std::string_view rest = path; !rest.empty();) {
        const std::size_t length = utf8_length(rest);
        const char c = rest.front();
        if (length == 0) {
            out += "\\ufffd";
            exact = false;
        } else if (c == '"' || c == '\\') {
            out.push_back('\\');
            out.push_back(c);
        } else if (is_control(c)) {
            out += fmt::format("\\u{:04x}", static_cast<std::uint8_t>(c));
        } else {
            out.append(rest.substr(0, length));
        }
        rest.remove_prefix(length == 0 ? 1 : length);
    }
    out += '"';
    if (!exact) out += ",\"path_hex\":\"" + to_hex(as_bytes(path)) + '"';
}

std::string_view type_name(FileType type) {
    switch (type) {
    case FileType::Regular:
        return "file";
    case FileType::Directory:
        return "directory";
    case FileType::Symlink:
        return "symlink";
    case FileType::CharDevice:
        return "char";
    case FileType::BlockDevice:
        return "block";
    case FileType::Fifo:
        return "fifo";
    case FileType::Socket:
        return "socket";
    }
    return "unknown";
}

void put_state(std::string& out, std::string_view key, const Tree& tree, NodeId node) {
    if (node == kNoNode) return;
    const auto entry = tree.entry(node);
    out += fmt::format(",\"{}\":{{\"type\":\"{}\",\"mode\":\"{:04o}\",\"uid\":{},\"gid\":{},"
                       "\"mtime\":\"{}\"",
                       key, type_name(entry.type), entry.mode, entry.uid, entry.gid,
                       format_rfc3339(entry.mtime_ns));
    if (entry.type == FileType::Regular)
        out += fmt::format(",\"size\":{},\"digest\":\"{}\"", entry.size, entry.content.str());
    out += '}';
}

void put_reasons(std::string& out, const snapshot::Entry& before, const snapshot::Entry& after,
                 bool content_changed) {
    std::string names;
    const auto add = [&](bool differs, std::string_view name) {
        if (differs) names += fmt::format("{}\"{}\"", names.empty() ? "" : ",", name);
    };
    add(before.type != after.type, "type");
    add(before.type == after.type && content_changed, "content");
    add(before.mode != after.mode, "mode");
    add(before.uid != after.uid || before.gid != after.gid, "owner");
    add(!std::equal(before.xattrs.begin(), before.xattrs.end(), after.xattrs.begin(),
                    after.xattrs.end()),
        "xattr");
    add(before.mtime_ns != after.mtime_ns, "time");
    out += ",\"reasons\":[" + names + ']';
}

std::string_view kind_name(ChangeKind kind) {
    switch (kind) {
    case ChangeKind::Added:
        return "added";
    case ChangeKind::Modified:
        return "modified";
    case ChangeKind::Removed:
        return "removed";
    case ChangeKind::Linked:
        return "linked";
    }
    return "unknown";
}

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

}  // namespace

std::string to_text(const std::vector<Change>& changes, const Tree& after) {
    std::string out;
    for (const Change& change : changes)
        out += fmt::format("{} {}\n", letter(change.kind), printable(change.path(after)));
    return out;
}

std::string to_json(const std::vector<Change>& changes, const Tree& before, const Tree& after) {
    std::string out = "[";
    for (const Change& change : changes) {
        out += out.size() == 1 ? "\n{" : ",\n{";
        out += fmt::format("\"kind\":\"{}\",", kind_name(change.kind));
        put_path(out, change.path(after));
        if (change.kind == ChangeKind::Modified) {
            out += fmt::format(",\"content_changed\":{},\"metadata_changed\":{}",
                               change.content_changed, change.metadata_changed);
            put_reasons(out, before.entry(change.before), after.entry(change.after),
                        change.content_changed);
        }
        put_state(out, "before", before, change.before);
        put_state(out, "after", after, change.after);
        out += '}';
    }
    out += out.size() == 1 ? "]\n" : "\n]\n";
    return out;
}

}  // namespace shale::diff
