// Toc -> JSON, by hand: a layer of a million files is written in one pass over memory, and the
// bytes are the same on every machine. Digests, which nothing compresses, stand apart from what
// does compress: among names and numbers a compressor spends half as much again on them. Keys and
// meanings: docs/formats/layer.md.
#include "json_names.hpp"
#include "toc_encoder.hpp"
#include "toc_fields.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace shale::layer {

namespace {

constexpr std::string_view kBeginning = "{\"version\":2,\"entries\":[\n";

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

void append_decimal(std::string& out, std::uint64_t value) {
    char digits[20];
    const auto end = std::to_chars(std::begin(digits), std::end(digits), value).ptr;
    out.append(digits, end);
}

// Where the content lies: mostly one header behind the content before, which is said by saying
// nothing.
void append_place(std::string& out, const TocEntry& entry, std::uint64_t previous_end) {
    const std::uint64_t at = entry.content_offset;
    if (at < previous_end)
        append_number(out, "tarOffset", at);
    else if (at - previous_end != kUsualGap)
        append_number(out, "gap", at - previous_end);
}

}  // namespace

void append_number(std::string& out, std::string_view key, std::uint64_t value) {
    out.append(",\"").append(key).append("\":");
    append_decimal(out, value);
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

void TocEncoder::add(const TocEntry& entry) {
    text_.append(entries_++ > 0 ? ",\n" : kBeginning);
    append_entry_fields(text_, entry.member, false);
    if (has_content(entry.member)) {
        append_place(text_, entry, previous_end_);
        add_content({entry.content, {entry.content_offset, entry.member.size}});
    }
    text_.push_back('}');
}

void TocEncoder::add_content(const ContentTable::Content& content) {
    const auto& range = content.range;
    previous_end_ = range.tar_offset + range.size + tar::padding(range.size);
    contents_.push_back(content);
}

void TocEncoder::skip(std::uint64_t entries, std::uint64_t text_bytes,
                      std::span<const ContentTable::Content> contents) {
    SHALE_ENSURE(text_.empty());
    entries_ += entries;
    taken_ += text_bytes;
    for (const auto& content : contents)
        add_content(content);
}

std::string TocEncoder::take() {
    taken_ += text_.size();
    return std::exchange(text_, {});
}

void TocEncoder::begin_digests() {
    if (entries_ == 0) text_.append(kBeginning);
    text_.append("],\n\"digests\":\"");
}

bool TocEncoder::add_digests(std::size_t end, std::size_t room) {
    end = std::min(end, contents_.size());
    while (digests_ < end && text_.size() < room)
        text_.append(contents_[digests_++].digest.hex());
    return digests_ < end;
}

void TocEncoder::skip_digests(std::size_t end) {
    SHALE_ENSURE(text_.empty() && digests_ <= end && end <= contents_.size());
    taken_ += (end - digests_) * 2 * sizeof(Digest::bytes);
    digests_ = end;
}

void TocEncoder::end(const FrameTable& table) {
    fmt::format_to(std::back_inserter(text_), "\",\n\"tarBytes\":{},\"frames\":[", table.tar_bytes);
    for (std::size_t i = 0; i < table.frames.size(); ++i) {
        const Frame& frame = table.frames[i];
        fmt::format_to(std::back_inserter(text_), "{}[{},{},{},{}", i > 0 ? "," : "",
                       frame.blob_offset, frame.blob_bytes, frame.tar_offset, frame.tar_bytes);
        if (!frame.blob_digest.is_zero())
            text_.append(",\"").append(frame.blob_digest.hex()).append("\"");
        text_.push_back(']');
    }
    text_.append("]}\n");
}

std::string encode_toc(const Toc& toc) {
    TocEncoder encoder;
    for (const TocEntry& entry : toc.entries)
        encoder.add(entry);
    encoder.begin_digests();
    encoder.add_digests(SIZE_MAX, SIZE_MAX);
    encoder.end(toc);
    return encoder.take();
}

}  // namespace shale::layer
