#include "member_feed.hpp"

#include "toc_fields.hpp"

namespace shale::layer {

namespace {

using snapshot::kNoNode;
using snapshot::NodeId;

// Groups that wait to be written: enough that neither side stops over a hiccup of the other.
constexpr std::size_t kGroupsAhead = 4;

PlannedMember planned(NodeId node, const tar::Member& member, const Digest& content,
                      const WriteOptions& options) {
    PlannedMember planned{node, tar::encode_header(member), {}, 0};
    planned.tar_bytes = planned.header.size();
    if (has_content(member) && member.size <= largest_grouped(options)) {
        planned.content = content;
        planned.tar_bytes += member.size + tar::padding(member.size);
    }
    return planned;
}

}  // namespace

void plan_members(FrameGroup& group, const snapshot::Tree& after, const WriteOptions& options) {
    MemberPlan plan(after);
    auto key = FrameKeys(options).group();
    std::uint64_t tar_bytes = 0;
    for (NodeId node = group.first; node < group.end; ++node) {
        const snapshot::Entry entry = after.entry(node);
        group.members.push_back(planned(node, plan.member(node, entry), entry.content, options));
        key.add(group.members.back().header, group.members.back().content);
        tar_bytes += group.members.back().tar_bytes;
    }
    if (key.finish() != group.key || tar_bytes != group.tar_bytes)
        throw DamagedFrame(ErrorKind::Corrupt, "a stored section is of another tree");
}

struct MemberFeed::Candidate {
    tar::Member member;
    PlannedMember planned;
    Digest content;  // of any size
    bool is_hard_link = false;
    bool is_large() const { return has_content(member) && planned.content.is_zero(); }
};

MemberFeed::MemberFeed(const std::vector<diff::Change>& changes, const snapshot::Tree& after,
                       const WriteOptions& options, FrameBuilder& builder, FrameStore* store)
    : after_(after), options_(options), builder_(builder),
      store_(options.keep_entries ? nullptr : store),  // entries of stored sections are nowhere
      empty_content_(codec::sha256("")), plan_(after), keys_(options),
      groups_(largest_grouped(options)), rule_(options.frame_bytes), queue_(kGroupsAhead),
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
        const MemberOrder order(changes, after_);
        for (const auto& span : order.spans()) {
            if (span.removal != nullptr) take_removal(*span.removal);
            for (NodeId node = span.first; node < span.end && !stopped_;)
                node = take(node, span.end);
            if (stopped_) return;
        }
        end_group(true);
    } catch (...) {  // thread root: carried to next()
        failure_ = std::current_exception();
    }
    queue_.close();
}

NodeId MemberFeed::take(NodeId node, NodeId row_end) {
    Candidate member = candidate(node, plan_);
    if (begin(member))
        if (const NodeId next = reuse_section(node, row_end); next != kNoNode) return next;
    add(std::move(member));
    return node + 1;
}

void MemberFeed::take_removal(const diff::Change& removal) {
    Candidate whiteout;
    whiteout.member = MemberPlan::whiteout(removal);
    whiteout.content = empty_content_;
    whiteout.planned = planned(kNoNode, whiteout.member, empty_content_, options_);
    begin(whiteout);
    add(std::move(whiteout));
}

MemberFeed::Candidate MemberFeed::candidate(NodeId node, MemberPlan& plan) const {
    const snapshot::Entry entry = after_.entry(node);
    Candidate candidate;
    candidate.member = plan.member(node, entry);
    if (candidate.member.type == tar::MemberType::Regular)
        candidate.content = entry.size > 0 ? entry.content : empty_content_;
    candidate.planned = planned(node, candidate.member, candidate.content, options_);
    candidate.is_hard_link = entry.link_group != 0;
    return candidate;
}

bool MemberFeed::begin(const Candidate& member) {
    group_bytes_ = groups_.group_bytes();
    directory_bytes_ = groups_.directory_bytes();
    if (groups_.begins_group(member.member, member.planned.tar_bytes)) end_group(false);
    if (!group_.members.empty()) return false;
    if (section_ && !rule_.ends_before(member.member.path, builder_.table().text_bytes()))
        return false;
    end_section(member);
    begin_section(member);
    return true;
}

void MemberFeed::add(Candidate candidate) {
    const bool is_large = candidate.is_large();
    const std::uint64_t size = candidate.member.size, content_at = tar_offset_ + group_.tar_bytes +
                                                                   candidate.planned.header.size();
    std::optional<std::uint64_t> gap;
    if (has_content(candidate.member)) gap = content_at - builder_.table().previous_end();
    section_->add(candidate.planned.node, candidate.is_hard_link, gap);
    builder_.describe({std::move(candidate.member), candidate.content, content_at});
    group_.tar_bytes += candidate.planned.tar_bytes;
    group_.members.push_back(std::move(candidate.planned));
    if (!is_large) return;
    group_.large = group_.members.back().node;
    end_group(false);
    tar_offset_ += size + tar::padding(size);
    groups_.close();
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
    const bool is_large = group_.large != kNoNode;
    if (section_)
        section_->add({group_.key, group_.tar_bytes,
                       static_cast<std::uint32_t>(group_.members.size()), is_large},
                      is_large ? after_.entry(group_.large).content : Digest());
    push(std::exchange(group_, {}));
}

void MemberFeed::push(FrameGroup group) {
    group.tar_offset = tar_offset_;
    tar_offset_ += group.tar_bytes;
    stopped_ = !queue_.push(std::move(group));
}

void MemberFeed::begin_section(const Candidate& first) {
    const TocEncoder& table = builder_.table();
    section_.emplace(OpenSection::Beginning{first.member.path, first.planned.node,
                                            table.entries() == 0,
                                            tar_offset_ - table.previous_end(),
                                            groups_.directory_bytes(), table.contents().size()},
                     keys_);
}

void MemberFeed::end_section(const Candidate& next) {
    if (!section_) return;
    const TocEncoder& table = builder_.table();
    const std::uint64_t text_bytes = table.text_bytes();
    const Digest text = section_->text();
    const Digest digests =
        keys_.digests(std::span(table.contents()).subspan(section_->first_content()));
    const bool is_whole = builder_.end_piece(text, digests);
    if (is_whole && section_->can_be_stored(next.planned.node)) {
        StoredSection stored = section_->finish(after_);
        stored.next = next_digest(next.member, next.planned.tar_bytes);
        stored.text = text;
        stored.text_bytes = text_bytes;
        stored.digests = digests;
        stored.gap_behind = tar_offset_ - table.previous_end();
        stored.group_bytes = group_bytes_;
        stored.directory_bytes = directory_bytes_;
        sections_.emplace_back(section_->place(), std::move(stored));
    }
    section_.reset();
}

// Returns kNoNode if it cannot be done, and nothing has happened.
NodeId MemberFeed::reuse_section(NodeId first, NodeId row_end) {
    if (store_ == nullptr) return kNoNode;
    const auto section = store_->find_section(section_->place());
    if (!section) return kNoNode;
    std::uint64_t members = 0;
    for (const auto& group : section->groups)
        members += group.members;
    if (members == 0 || members >= row_end - first) return kNoNode;
    const auto end = first + static_cast<NodeId>(members);
    if (nodes_digest(after_, first, end) != section->nodes || !is_followed_by_same(*section, end))
        return kNoNode;
    const std::uint64_t gap = tar_offset_ - builder_.table().previous_end();
    const auto contents = contents_of(*section, after_, first, tar_offset_, gap);
    if (!contents || !builder_.append_piece(*section, members, *contents)) return kNoNode;
    push_groups(*section, first);
    MemberPlan plan(after_);
    groups_.resume(plan.member(end - 1, after_.entry(end - 1)), section->group_bytes,
                   section->directory_bytes);
    members_reused_ += members;
    sections_.emplace_back(section_->place(), *section);
    section_.reset();
    return end;
}

bool MemberFeed::is_followed_by_same(const StoredSection& section, NodeId end) const {
    MemberPlan plan(after_);
    const Candidate next = candidate(end, plan);
    return !next.is_hard_link && next_digest(next.member, next.planned.tar_bytes) == section.next;
}

void MemberFeed::push_groups(const StoredSection& section, NodeId first) {
    for (const auto& stored : section.groups) {
        FrameGroup group;
        group.first = first;
        group.end = first += stored.members;
        group.key = stored.key;
        group.tar_bytes = stored.tar_bytes;
        if (stored.ends_in_large) group.large = group.end - 1;
        push(group);
        if (!stored.ends_in_large) continue;
        const std::uint64_t size = after_.entry(group.large).size;
        tar_offset_ += size + tar::padding(size);
    }
}

}  // namespace shale::layer
