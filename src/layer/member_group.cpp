#include "member_group.hpp"

#include <shale/codec.hpp>

#include <algorithm>

namespace shale::layer {

namespace {

std::string_view directory_of(const tar::Member& member) {
    const std::string_view path = member.path;
    if (member.type == tar::MemberType::Directory) return path;
    const auto slash = path.rfind('/');
    return path.substr(0, slash == std::string_view::npos ? 0 : slash);
}

}  // namespace

MemberGroups::MemberGroups(std::uint64_t target_bytes)
    : target_(target_bytes), least_(std::max<std::uint64_t>(target_bytes / 2, 1)),
      most_(2 * target_bytes) {}

// Taken with a probability of bytes / least_: one boundary per least_ bytes of candidates.
bool MemberGroups::chosen(const std::string& path, std::uint64_t bytes) const {
    const std::uint64_t hash = codec::xxh3_64(as_bytes(path)) >> 32;
    return bytes >= least_ || hash < (bytes << 32) / least_;
}

bool MemberGroups::is_boundary(const tar::Member& member, std::uint64_t tar_bytes) {
    const std::string_view directory = directory_of(member);
    const bool begins_directory = directory != directory_;
    const std::uint64_t directory_bytes = begins_directory ? directory_bytes_ : 0;
    if (begins_directory) {
        directory_ = directory;
        directory_bytes_ = 0;
    }
    directory_bytes_ += tar_bytes;
    if (group_bytes_ < least_) return group_bytes_ > 0 && group_bytes_ + tar_bytes > most_;
    if (group_bytes_ + tar_bytes > most_) return true;
    if (begins_directory && chosen(member.path, directory_bytes)) return true;
    return group_bytes_ >= target_ && chosen(member.path, tar_bytes);
}

void MemberGroups::resume(const tar::Member& last, std::uint64_t group_bytes,
                          std::uint64_t directory_bytes) {
    directory_ = directory_of(last);
    group_bytes_ = group_bytes;
    directory_bytes_ = directory_bytes;
}

bool MemberGroups::begins_group(const tar::Member& member, std::uint64_t tar_bytes) {
    const bool begins = is_boundary(member, tar_bytes);
    if (begins) group_bytes_ = 0;
    group_bytes_ += tar_bytes;
    return begins;
}

}  // namespace shale::layer
