#include "member_feed.hpp"

namespace shale::layer {

namespace {

// Groups that wait to be written: enough that neither side stops over a hiccup of the other.
constexpr std::size_t kGroupsAhead = 4;

}  // namespace

MemberFeed::MemberFeed(const std::vector<diff::Change>& changes, const snapshot::Tree& after,
                       const WriteOptions& options, FrameBuilder& builder)
    : after_(after), options_(options), builder_(builder), empty_content_(codec::sha256("")),
      plan_(after), keys_(options), groups_(largest_grouped(options)), queue_(kGroupsAhead),
      thread_([this, &changes] { run(changes); }) {}

MemberFeed::~MemberFeed() {
    queue_.close();
}

std::optional<FrameGroup> MemberFeed::next() {
    auto group = queue_.pop();
    if (!group && failure_) std::rethrow_exception(failure_);
    return group;
}

void MemberFeed::run(const std::vector<diff::Change>& changes) {
    try {
        order_.emplace(changes, after_);
        for (const diff::Change* change : order_->members()) {
            take(*change);
            if (stopped_) return;
        }
        end_group(true);
    } catch (...) {  // thread root: carried to next()
        failure_ = std::current_exception();
    }
    queue_.close();
}

void MemberFeed::take(const diff::Change& change) {
    FrameGroup::Member member{&change, {}, {}};
    TocEntry entry;
    entry.member = plan_.member(change);
    member.header = tar::encode_header(entry.member);
    const std::uint64_t size = entry.member.size;
    const bool is_large = size > largest_grouped(options_);
    std::uint64_t bytes = member.header.size();
    if (size > 0) {
        member.content = entry.content = after_.entry(change.after).content;
        if (!is_large) bytes += size + tar::padding(size);
    } else if (entry.member.type == tar::MemberType::Regular) {
        entry.content = empty_content_;
    }
    if (groups_.begins_group(entry.member, bytes)) end_group(false);
    entry.content_offset = tar_offset_ + group_.tar_bytes + member.header.size();
    builder_.describe(std::move(entry));
    if (is_large) member.content = {};
    group_.members.push_back(std::move(member));
    group_.tar_bytes += bytes;
    if (is_large) {
        group_.large = &change;
        end_group(false);
        tar_offset_ += size + tar::padding(size);
        groups_.close();
    }
}

void MemberFeed::end_group(bool ends_archive) {
    if (group_.members.empty() && !ends_archive) return;
    auto key = keys_.group();
    for (const auto& member : group_.members)
        key.add(member.header, member.content);
    if (ends_archive) {
        key.add_end_of_archive();
        group_.tar_bytes += tar::kTrailerBytes;
        group_.ends_archive = true;
    }
    group_.key = key.finish();
    group_.tar_offset = tar_offset_;
    tar_offset_ += group_.tar_bytes;
    stopped_ = !queue_.push(std::exchange(group_, {}));
}

}  // namespace shale::layer
