// Toc -> JSON, by hand: a layer of a million files is written in one pass over memory, and the
// bytes are the same on every machine. Keys and meanings: docs/formats/layer.md.
#include "json_names.hpp"
#include "toc_check.hpp"
#include "toc_fields.hpp"

#include <fmt/format.h>

namespace shale::layer {

namespace {

std::string_view type_name(tar::MemberType type) {
    switch (type) {
    case tar::MemberType::Regular:
        return "reg";
    case tar::MemberType::Hardlink:
        return "hardlink";
    case tar::MemberType::Symlink:
        return "symlink";
    case tar::MemberType::Directory:
        return "dir";
    case tar::MemberType::CharDevice:
        return "char";
    case tar::MemberType::BlockDevice:
        return "block";
    case tar::MemberType::Fifo:
        return "fifo";
    }
    return "reg";
}

void append_xattrs(std::string& out, const std::vector<Xattr>& xattrs) {
    out.append(",\"xattrs\":{");
    for (const Xattr& xattr : xattrs) {
        if (&xattr != &xattrs.front()) out.push_back(',');
        append_json_name(out, xattr.name);
        out.append(":\"");
        append_base64(out, xattr.value);
        out.push_back('"');
    }
    out.push_back('}');
}

// Where the content lies: for other readers as a place in the blob, for us as a place in the tar.
void append_content(std::string& out, const TocEntry& entry, const Toc& toc) {
    out.append(",\"digest\":\"").append(entry.content.str()).push_back('"');
    const Frame& frame = toc.frames[frame_at(toc, entry.content_offset)];
    append_number(out, "offset", frame.blob_offset);
    append_nonzero(out, "innerOffset", entry.content_offset - frame.tar_offset);
    append_number(out, "tarOffset", entry.content_offset);
}

void append_entry(std::string& out, const TocEntry& entry, const Toc& toc) {
    const tar::Member& member = entry.member;
    append_entry_fields(out, member, false);
    if (member.type == tar::MemberType::Regular && member.size > 0) append_content(out, entry, toc);
    out.push_back('}');
}

}  // namespace

void append_number(std::string& out, std::string_view key, std::uint64_t value) {
    fmt::format_to(std::back_inserter(out), ",\"{}\":{}", key, value);
}

void append_nonzero(std::string& out, std::string_view key, std::uint64_t value) {
    if (value != 0) append_number(out, key, value);
}

std::string tar_name(const tar::Member& member) {
    if (member.type != tar::MemberType::Directory) return member.path;
    return member.path.empty() ? "./" : member.path + "/";
}

void append_entry_fields(std::string& out, const tar::Member& member, bool always_time) {
    out.append("{\"type\":\"").append(type_name(member.type)).append("\",\"name\":");
    append_json_name(out, tar_name(member));
    if (!member.link_target.empty()) {
        out.append(",\"linkName\":");
        append_json_name(out, member.link_target);
    }
    append_number(out, "mode", member.mode);
    append_nonzero(out, "size", member.size);
    append_nonzero(out, "uid", member.uid);
    append_nonzero(out, "gid", member.gid);
    if (member.mtime_ns != 0 || always_time)
        out.append(",\"modtime\":\"").append(format_rfc3339(member.mtime_ns)).push_back('"');
    append_nonzero(out, "devMajor", member.device_major);
    append_nonzero(out, "devMinor", member.device_minor);
    if (!member.xattrs.empty()) append_xattrs(out, member.xattrs);
}

std::string encode_toc(const Toc& toc) {
    std::string out = "{\"version\":1,\"entries\":[\n";
    for (std::size_t i = 0; i < toc.entries.size(); ++i) {
        if (i > 0) out.append(",\n");
        append_entry(out, toc.entries[i], toc);
    }
    fmt::format_to(std::back_inserter(out), "],\n\"tarBytes\":{},\"frames\":[", toc.tar_bytes);
    for (std::size_t i = 0; i < toc.frames.size(); ++i) {
        const Frame& frame = toc.frames[i];
        fmt::format_to(std::back_inserter(out), "{}[{},{},{},{}]", i > 0 ? "," : "",
                       frame.blob_offset, frame.blob_bytes, frame.tar_offset, frame.tar_bytes);
    }
    return out.append("]}\n");
}

}  // namespace shale::layer
