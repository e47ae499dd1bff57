// Changes as JSON, written by hand: a million of them need no document in memory.
//
// Names are bytes and JSON is Unicode: what is not UTF-8 is shown as well as it goes, and follows
// in hexadecimal. Control characters are escaped beyond what JSON asks for, as a list is also read
// on a terminal.
#include <shale/report.hpp>
#include <shale/utf8.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace shale::report {

namespace {

using diff::Change;
using diff::ChangeKind;
using snapshot::kNoNode;
using snapshot::NodeId;
using snapshot::Tree;

// False if it was not all UTF-8.
bool put_string(std::string& out, std::string_view text) {
    bool exact = true;
    out.push_back('"');
    while (!text.empty()) {
        char32_t value = 0;
        const auto character = first_character(text, value);
        if (character.empty()) {
            out += "\\ufffd";
            exact = false;
        } else if (value == '"' || value == '\\') {
            out.push_back('\\');
            out.append(character);
        } else if (is_control(value)) {
            fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<std::uint32_t>(value));
        } else {
            out.append(character);
        }
        text.remove_prefix(std::max<std::size_t>(character.size(), 1));
    }
    out.push_back('"');
    return exact;
}

void put_text(std::string& out, std::string_view key, std::string_view text) {
    fmt::format_to(std::back_inserter(out), "\"{}\":", key);
    if (!put_string(out, text))
        fmt::format_to(std::back_inserter(out), ",\"{}_hex\":\"{}\"", key, to_hex(as_bytes(text)));
}

// Names are keys here, so one that is no text is "hex:" and its bytes.
void put_xattr_name(std::string& out, std::string_view name) {
    std::string quoted;
    if (!put_string(quoted, name)) quoted = "\"hex:" + to_hex(as_bytes(name)) + '"';
    out += quoted;
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
    fmt::format_to(std::back_inserter(out),
                   ",\"{}\":{{\"type\":\"{}\",\"mode\":\"{:04o}\",\"uid\":{},\"gid\":{},"
                   "\"mtime\":\"{}\"",
                   key, type_name(entry.type), entry.mode, entry.uid, entry.gid,
                   format_rfc3339(entry.mtime_ns));
    if (entry.type == FileType::Regular)
        fmt::format_to(std::back_inserter(out), ",\"size\":{},\"digest\":\"{}\"", entry.size,
                       entry.content.str());
    if (entry.type == FileType::Symlink) {
        out.push_back(',');
        put_text(out, "target", entry.link_target);
    }
    if (entry.type == FileType::CharDevice || entry.type == FileType::BlockDevice)
        fmt::format_to(std::back_inserter(out), ",\"device\":\"{}:{}\"", entry.device_major,
                       entry.device_minor);
    if (!entry.xattrs.empty()) {
        out += ",\"xattrs\":{";
        for (const Xattr& xattr : entry.xattrs) {
            if (out.back() != '{') out.push_back(',');
            put_xattr_name(out, xattr.name);
            out += ":\"" + to_hex(as_bytes(xattr.value)) + '"';
        }
        out.push_back('}');
    }
    out.push_back('}');
}

void put_reasons(std::string& out, const Reasons& reasons) {
    fmt::format_to(std::back_inserter(out), ",\"content_changed\":{},\"metadata_changed\":{}",
                   reasons.type || reasons.content,
                   reasons.mode || reasons.owner || reasons.xattrs || reasons.mtime);
    out += ",\"reasons\":[";
    const auto add = [&](bool differs, std::string_view name) {
        if (!differs) return;
        if (out.back() != '[') out.push_back(',');
        fmt::format_to(std::back_inserter(out), "\"{}\"", name);
    };
    add(reasons.type, "type");
    add(!reasons.type && reasons.content, "content");
    add(reasons.mode, "mode");
    add(reasons.owner, "owner");
    add(reasons.xattrs, "xattr");
    add(reasons.mtime, "time");
    out.push_back(']');
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

}  // namespace

std::string to_json(const std::vector<Change>& changes, const Tree& before, const Tree& after,
                    const Ignored& ignored) {
    std::string out = "[";
    for (const Change& change : changes) {
        out += out.size() == 1 ? "\n{" : ",\n{";
        fmt::format_to(std::back_inserter(out), "\"kind\":\"{}\",", kind_name(change.kind));
        put_text(out, "path", change.path(after));
        if (change.kind == ChangeKind::Modified)
            put_reasons(out, reasons_of(change, before, after, ignored));
        put_state(out, "before", before, change.before);
        put_state(out, "after", after, change.after);
        out += '}';
    }
    out += out.size() == 1 ? "]\n" : "\n]\n";
    return out;
}

}  // namespace shale::report
