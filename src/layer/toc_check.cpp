#include "toc_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

namespace shale::layer {

namespace {

[[noreturn]] void corrupt_frame(std::size_t index, std::string_view why) {
    fail(ErrorKind::Corrupt, fmt::format("table of contents: frame {} {}", index, why));
}

// A NUL would end the message where it is read as a C string.
[[noreturn]] void corrupt_entry(const TocEntry& entry, std::string_view why) {
    std::string path = entry.member.path;
    std::replace(path.begin(), path.end(), '\0', '?');
    fail(ErrorKind::Corrupt, fmt::format("table of contents: entry \"{}\" {}", path, why));
}

void check_frame(const Frame& frame, std::size_t index, std::uint64_t expected_tar_offset) {
    if (frame.tar_offset != expected_tar_offset)
        corrupt_frame(index, fmt::format("begins at tar offset {} where {} was expected",
                                         frame.tar_offset, expected_tar_offset));
    if (frame.tar_bytes == 0 || frame.tar_bytes > kMaxFrameTarBytes)
        corrupt_frame(index, fmt::format("holds {} bytes of tar", frame.tar_bytes));
    if (frame.blob_bytes == 0 || frame.blob_bytes > kMaxFrameBlobBytes)
        corrupt_frame(index, fmt::format("takes {} bytes of the blob", frame.blob_bytes));
    if (frame.skip > kMaxFrameTarBytes)
        corrupt_frame(index, fmt::format("begins {} bytes into a piece", frame.skip));
    if (frame.blob_offset > INT64_MAX - frame.blob_bytes ||
        frame.tar_offset > INT64_MAX - frame.tar_bytes)
        corrupt_frame(index, "lies beyond any possible file");
}

// Side frames lie between data frames in the blob but after all of them in the table, so order in
// the blob is not the table's order.
void check_apart_in_blob(const std::vector<Frame>& frames) {
    std::vector<std::uint32_t> order(frames.size());
    for (std::uint32_t i = 0; i < order.size(); ++i)
        order[i] = i;
    const auto before = [&](std::uint32_t a, std::uint32_t b) {
        return frames[a].blob_offset < frames[b].blob_offset;
    };
    if (!std::is_sorted(order.begin(), order.end(), before))
        std::sort(order.begin(), order.end(), before);
    for (std::size_t i = 1; i < order.size(); ++i) {
        const Frame& previous = frames[order[i - 1]];
        if (previous.blob_offset + previous.blob_bytes > frames[order[i]].blob_offset)
            corrupt_frame(order[i], "overlaps another frame of the blob");
    }
}

bool is_clean_path(std::string_view path) {
    if (path.size() > tar::kMaxPathBytes || path.find('\0') != std::string_view::npos) return false;
    while (true) {
        const auto slash = path.find('/');
        const auto name = path.substr(0, slash);
        if (name.empty() || name == "." || name == ".." || name.size() > tar::most_name_bytes(name))
            return false;
        if (slash == std::string_view::npos) return true;
        path.remove_prefix(slash + 1);
    }
}

void check_entry(const TocEntry& entry, std::uint64_t frames_end) {
    const tar::Member& member = entry.member;
    const bool is_root = member.path.empty() && member.type == tar::MemberType::Directory;
    if (!is_root && !is_clean_path(member.path)) corrupt_entry(entry, "has an impossible path");
    if (member.type == tar::MemberType::Hardlink && !is_clean_path(member.link_target))
        corrupt_entry(entry,
                      fmt::format("links to the impossible path \"{}\"", member.link_target));
    if (member.type == tar::MemberType::Symlink &&
        (member.link_target.empty() || member.link_target.find('\0') != std::string::npos))
        corrupt_entry(entry, "is a symlink to nothing");
    if (member.type == tar::MemberType::Symlink && member.link_target.size() > kMaxLinkBytes)
        corrupt_entry(entry, "is a symlink with too long a target");
    if (member.type != tar::MemberType::Regular) {
        if (member.size != 0) corrupt_entry(entry, "has a size but is no regular file");
        return;
    }
    if (entry.content.is_zero()) corrupt_entry(entry, "has no content digest");
    if (member.size > frames_end ||
        (member.size > 0 && entry.content_offset > frames_end - member.size))
        corrupt_entry(entry, fmt::format("has {} bytes of content at tar offset {}, outside the "
                                         "frames, which end at {}",
                                         member.size, entry.content_offset, frames_end));
}

}  // namespace

void check_frames(const FrameTable& table) {
    if (table.frames.size() > kMaxFrames)
        fail(ErrorKind::Corrupt,
             fmt::format("table of contents: {} frames are too many", table.frames.size()));
    std::uint64_t tar_offset = 0;
    bool tar_ends_between_frames = table.tar_bytes == 0;
    for (std::size_t i = 0; i < table.frames.size(); ++i) {
        check_frame(table.frames[i], i, tar_offset);
        tar_offset += table.frames[i].tar_bytes;
        if (tar_offset == table.tar_bytes) tar_ends_between_frames = true;
    }
    if (!tar_ends_between_frames)
        fail(ErrorKind::Corrupt,
             fmt::format("table of contents: the tar's end, {}, is no frame boundary",
                         table.tar_bytes));
    // Foreign pieces may share what they are cut from.
    if (table.coding == FrameCoding::Frames) check_apart_in_blob(table.frames);
}

std::uint64_t end_of_frames(const FrameTable& table) {
    return table.frames.empty() ? 0
                                : table.frames.back().tar_offset + table.frames.back().tar_bytes;
}

std::size_t frame_at(const FrameTable& table, std::uint64_t at) {
    const auto after =
        std::upper_bound(table.frames.begin(), table.frames.end(), at,
                         [](std::uint64_t value, const Frame& f) { return value < f.tar_offset; });
    SHALE_ENSURE(after != table.frames.begin());
    const auto index = static_cast<std::size_t>(after - table.frames.begin()) - 1;
    SHALE_ENSURE(at - table.frames[index].tar_offset < table.frames[index].tar_bytes);
    return index;
}

void check_toc(const Toc& toc) {
    check_frames(toc);
    const std::uint64_t frames_end = end_of_frames(toc);
    std::unordered_set<std::string_view> paths;
    paths.reserve(toc.entries.size());
    for (const TocEntry& entry : toc.entries) {
        check_entry(entry, frames_end);
        if (!paths.insert(entry.member.path).second) corrupt_entry(entry, "appears twice");
    }
}

}  // namespace shale::layer
