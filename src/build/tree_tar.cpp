// One member at a time: its header, its content, its padding. Only the first name of a file that
// has several carries the content.
//
// Attributes are as in the tree, but for what TreeTarOptions change.
#include <shale/caller.hpp>
#include <shale/tree_tar.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <unordered_map>

namespace shale::build {
namespace {

class TreeTar {
  public:
    TreeTar(const snapshot::Tree& tree, layer::OpenContent open, const TreeTarOptions& options)
        : tree_(tree), open_(std::move(open)), options_(options),
          is_machines_root_(outer_uid() == 0) {}

    std::size_t read(MutableBytes out) {
        for (;;) {
            if (sent_ < pending_.size()) {
                const auto count = std::min(out.size(), pending_.size() - sent_);
                std::memcpy(out.data(), pending_.data() + sent_, count);
                sent_ += count;
                return count;
            }
            if (content_left_ > 0) return read_content(out);
            if (!next_member()) return 0;
        }
    }

  private:
    std::size_t read_content(MutableBytes out) {
        const auto want = std::min<std::uint64_t>(out.size(), content_left_);
        const auto count = content_(out.first(want));
        if (count == 0)
            fail(ErrorKind::Corrupt, "/" + tree_.path(node_ - 1) + ": content ends early");
        content_left_ -= count;
        if (content_left_ == 0) set_pending(std::string(padding_, '\0'));
        return count;
    }

    // Puts the next header, or the trailer, into pending_. False after the trailer.
    bool next_member() {
        if (done_) return false;
        if (node_ == tree_.size()) {
            set_pending(std::string(tar::kTrailerBytes, '\0'));
            done_ = true;
            return true;
        }
        const auto node = node_++;
        const auto entry = tree_.entry(node);
        auto member = member_of(node, entry);
        if (entry.link_group != 0) {
            const auto [first, is_first] = groups_.try_emplace(entry.link_group, member.path);
            if (!is_first) {
                member.type = tar::MemberType::Hardlink;
                member.link_target = first->second;
                member.size = 0;
                member.xattrs.clear();
            }
        }
        set_pending(tar::encode_header(member));
        content_left_ = member.type == tar::MemberType::Regular ? entry.size : 0;
        padding_ = tar::padding(content_left_);
        if (content_left_ > 0) content_ = open_(tree_.path(node), entry);
        return true;
    }

    tar::Member member_of(snapshot::NodeId node, const snapshot::Entry& entry) const {
        tar::Member member;
        member.path = tree_.path(node);
        switch (entry.type) {
        case FileType::Directory:
            member.type = tar::MemberType::Directory;
            break;
        case FileType::Symlink:
            member.type = tar::MemberType::Symlink;
            break;
        case FileType::CharDevice:
            member.type = tar::MemberType::CharDevice;
            break;
        case FileType::BlockDevice:
            member.type = tar::MemberType::BlockDevice;
            break;
        case FileType::Fifo:
            member.type = tar::MemberType::Fifo;
            break;
        case FileType::Regular:
        case FileType::Socket:
            member.size = entry.size;
            break;
        }
        member.mode = options_.own_by_caller ? mode_for_caller(entry) : entry.mode;
        member.uid = options_.own_by_caller ? ::geteuid() : entry.uid;
        member.gid = options_.own_by_caller ? ::getegid() : entry.gid;
        member.mtime_ns = options_.clamp_mtime_ns
                              ? std::min(entry.mtime_ns, *options_.clamp_mtime_ns)
                              : entry.mtime_ns;
        member.device_major = entry.device_major;
        member.device_minor = entry.device_minor;
        member.link_target = entry.link_target;
        member.xattrs.assign(entry.xattrs.begin(), entry.xattrs.end());
        return member;
    }

    // A program that lends its owner's rights must not lend the caller's.
    std::uint32_t mode_for_caller(const snapshot::Entry& entry) const {
        std::uint32_t mode = entry.mode;
        if (entry.type == FileType::Directory) return mode;
        if (entry.uid != 0 || !is_machines_root_) mode &= ~std::uint32_t{S_ISUID};
        if (entry.gid != 0 || !is_machines_root_) mode &= ~std::uint32_t{S_ISGID};
        return mode;
    }

    void set_pending(std::string bytes) {
        pending_ = std::move(bytes);
        sent_ = 0;
    }

    const snapshot::Tree& tree_;
    const layer::OpenContent open_;
    const TreeTarOptions options_;
    const bool is_machines_root_;
    snapshot::NodeId node_ = 1;  // the root directory itself is not a member
    std::unordered_map<std::uint64_t, std::string> groups_;
    std::string pending_;
    std::size_t sent_ = 0;
    codec::Source content_;
    std::uint64_t content_left_ = 0, padding_ = 0;
    bool done_ = false;
};

}  // namespace

snapshot::Tree subtree(const snapshot::Tree& tree, snapshot::NodeId node, const std::string& name) {
    snapshot::TreeBuilder builder;
    const auto prefix = tree.path(node).size();
    for (snapshot::NodeId at = node; at < tree.end(node); ++at) {
        auto path = name + tree.path(at).substr(prefix);
        if (path.starts_with('/')) path.erase(0, 1);
        builder.put(path, tree.entry(at).spec());
    }
    return builder.finish();
}

layer::OpenContent contents_of(layer::ContentReader& reader) {
    return [&reader](std::string_view, const snapshot::Entry& entry) {
        return reader.open(entry.content);
    };
}

codec::Source tree_tar(const snapshot::Tree& tree, layer::OpenContent open,
                       const TreeTarOptions& options) {
    auto stream = std::make_shared<TreeTar>(tree, std::move(open), options);
    return [stream](MutableBytes out) { return stream->read(out); };
}

}  // namespace shale::build
