// Patches in files, docs/formats/tree-patch.md: the runs and the own nodes of a patched tree. Small
// next to the tree, so they are read and checked as a whole.
//
// The reader walks the runs as the tree would be walked: each item, an own node or a subtree of the
// base, must stand in a directory that is still open, behind its elder sibling in name. Ends,
// depths and slots are worked out, not read.
#include "digests.hpp"
#include "disk_format.hpp"
#include "mapped_file.hpp"
#include "patch.hpp"
#include "xattr_section.hpp"

#include <shale/checksum.hpp>
#include <shale/snapshot_file.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace shale::snapshot {

namespace {

std::string_view magic() {
    return {kPatchMagic, sizeof kPatchMagic};
}

// Own nodes as they are stored: what follows from the rest is zero.
Node stored_form(Node node) {
    node.end = node.first_slot = 0;
    node.depth = 0;
    return node;
}

class PatchReader {
  public:
    PatchReader(Bytes all, const Tree& base) : in_(all, "tree patch"), base_(base.data()) {
        check_sum(all);
        const Bytes head = in_.take(sizeof header_);
        std::memcpy(&header_, head.data(), sizeof header_);
        if (header_.version != kPatchVersion)
            fail(ErrorKind::Unsupported, "tree patch: version " + std::to_string(header_.version) +
                                             ", this program reads " +
                                             std::to_string(kPatchVersion));
        if (header_.base != base.digest()) in_.corrupt("it is of another tree");
        if (base_.patch || header_.base_set_count != base_.xattr_sets.size() - 1)
            in_.corrupt("its base is not what it was");
        if (header_.node_count == 0 || header_.node_count == kNoNode || header_.own_count == 0 ||
            header_.own_count > header_.node_count || header_.reserved != 0)
            in_.corrupt("impossible header");
        patch_->base = base.shared_data();
    }

    std::shared_ptr<const Tree::Data> run() {
        read_columns();
        read_runs();
        check_order();
        if (drops_links(base_, patch_->runs)) in_.corrupt("hard links without their other names");
        if (in_.remaining() != kChecksumBytes) in_.corrupt("section lengths do not add up");
        complete_patch(*own_, *patch_);
        patch_->own = std::move(own_);
        data_->patch = std::move(patch_);
        if (data_->digest(kRoot) != header_.tree) in_.corrupt("it holds another tree");
        return std::move(data_);
    }

  private:
    void check_sum(Bytes all) {
        if (all.size() < sizeof header_ + kChecksumBytes) in_.corrupt("file too short");
        if (as_text(all.first(sizeof kPatchMagic)) != magic()) in_.corrupt("wrong magic");
        if (!codec::has_checksum(all)) in_.corrupt("checksum mismatch");
    }

    void read_columns() {
        const std::uint64_t count = header_.own_count;
        own_->nodes.assign(in_.take(count * sizeof(Node)));
        own_->contents.assign(in_.take(count * sizeof(Digest)));
        own_->digests.assign(in_.take(count * sizeof(Digest)));
        own_->names.assign(in_.take(header_.names_bytes));
        own_->targets.assign(in_.take(header_.targets_bytes));
        data_->xattr_sets = base_.xattr_sets;
        data_->xattr_digests = base_.xattr_digests;
        read_xattr_sets(in_.take(header_.xattr_bytes), header_.new_set_count, *data_);
        std::uint64_t names = 0, targets = 0;
        for (NodeId at = 0; at < count; ++at)
            check_fields(at, names, targets);
        if (names != header_.names_bytes || targets != header_.targets_bytes)
            in_.corrupt("names or link targets left over");
    }

    void check_fields(NodeId at, std::uint64_t& names, std::uint64_t& targets) const {
        const Node& node = own_->nodes[at];
        const bool is_root = at == 0;
        if (node.type > FileType::Socket || node.mode > 07777 || node.reserved != 0 ||
            node.end != 0 || node.first_slot != 0 || node.depth != 0 || node.link_group != 0 ||
            node.xattr_set >= data_->xattr_sets.size())
            reject(at, "impossible fields");
        if (node.name_offset != names || names + node.name_bytes > header_.names_bytes ||
            (is_root ? node.name_bytes != 0 : !is_valid_name(own_->name(at))))
            reject(at, "impossible name");
        names += node.name_bytes;
        if (is_root != (node.parent == kNoNode) || (is_root && node.type != FileType::Directory))
            reject(at, "impossible parent");
        const bool has_value = node.type == FileType::Regular ||
                               node.type == FileType::CharDevice ||
                               node.type == FileType::BlockDevice;
        if (node.type == FileType::Symlink) {
            const auto bytes = static_cast<std::uint32_t>(node.value);
            if (bytes == 0 || node.value >> 32 != targets ||
                targets + bytes > header_.targets_bytes ||
                own_->target(at).find('\0') != std::string_view::npos)
                reject(at, "impossible link target");
            targets += bytes;
        } else if (!has_value && node.value != 0) {
            reject(at, "a size where none can be");
        }
        if (node.type != FileType::Regular && !own_->contents[at].is_zero())
            reject(at, "a content and is no file");
    }

    void read_runs() {
        NodeId own = 0, from = 0;
        for (std::uint32_t at = 0; at < header_.run_count; ++at) {
            Run run;
            run.first = patch_->size;
            run.from = in_.u32();
            run.count = in_.u32();
            run.parent = in_.u32();
            run.is_own = run.from == kNoNode;
            if (run.is_own) run.from = own;
            // Runs of the base are in ascending order, and the root is in none.
            const NodeId least = run.is_own ? own : std::max<NodeId>(from, 1);
            const NodeId end = run.is_own ? header_.own_count : base_.size();
            if (run.from < least || run.from >= end || run.count > end - run.from ||
                run.count == 0 || run.count > header_.node_count - patch_->size ||
                (run.is_own && run.parent != kNoNode) || (at == 0 && !run.is_own))
                in_.corrupt("impossible run");
            (run.is_own ? own : from) = run.from + run.count;
            patch_->runs.push_back(run);
            patch_->size += run.count;
        }
        if (own != header_.own_count || patch_->size != header_.node_count)
            in_.corrupt("its runs do not add up");
    }

    struct Open {
        NodeId directory;  // number in the patched tree
        std::string_view last_child;
    };

    // `id` with `name` is the next child of `parent`, which must be open still.
    void enter(NodeId id, NodeId parent, std::string_view name) {
        while (!open_.empty() && open_.back().directory != parent)
            open_.pop_back();
        if (open_.empty()) reject(id, "is in no directory");
        if (!open_.back().last_child.empty() && open_.back().last_child >= name)
            reject(id, "is out of order");
        open_.back().last_child = name;
        if (open_.size() > kMaxDepth) reject(id, "is too deep");
    }

    void check_order() {
        for (const Run& run : patch_->runs) {
            if (!run.is_own) {
                check_shared(run);
                continue;
            }
            for (NodeId at = run.from; at < run.from + run.count; ++at) {
                const NodeId id = run.first + (at - run.from);
                const Node& node = own_->nodes[at];
                if (id != kRoot) enter(id, node.parent, own_->name(at));
                if (node.type == FileType::Directory) open_.push_back({id, {}});
            }
        }
    }

    // The path of the innermost open directory.
    std::string open_path() const {
        std::string path;
        for (std::size_t at = 1; at < open_.size(); ++at)
            path += (at == 1 ? "" : "/") + std::string(name_of(open_[at].directory));
        return path;
    }
    std::string_view name_of(NodeId directory) const {
        const Run& run = patch_->run_of(directory);
        return own_->name(run.from + (directory - run.first));
    }

    // Whole subtrees of one directory of the base, at the path where they were.
    void check_shared(const Run& run) {
        const NodeId end = run.from + run.count;
        const Node first = base_.node(run.from);
        for (NodeId at = run.from; at < end;) {
            enter(run.first + (at - run.from), run.parent, base_.name(at));
            if (first.depth != open_.size() || base_.node(at).parent != first.parent)
                reject(run.first + (at - run.from), "is not where it was");
            if (at == run.from && base_.path(first.parent) != open_path())
                reject(run.first, "is not where it was");
            const NodeId next = base_.next_sibling(at);
            if (base_.node(at).end > end || (next == kNoNode && base_.node(at).end != end))
                reject(run.first + (at - run.from), "is not whole");
            at = base_.node(at).end;
        }
    }

    [[noreturn]] void reject(NodeId id, const char* why) const {
        in_.corrupt("node " + std::to_string(id) + " " + why);
    }

    ByteReader in_;
    const Tree::Data& base_;
    PatchHeader header_{};
    std::unique_ptr<Tree::Data> data_ = std::make_unique<Tree::Data>();
    std::unique_ptr<Tree::Data> own_ = std::make_unique<Tree::Data>();
    std::unique_ptr<Patch> patch_ = std::make_unique<Patch>();
    std::vector<Open> open_;
};

}  // namespace

std::optional<Digest> base_of(const Tree& tree) {
    const auto& patch = tree.data().patch;
    return patch ? std::optional(patch->base->digest(kRoot)) : std::nullopt;
}

std::optional<Tree> base_tree_of(const Tree& tree) {
    const auto& patch = tree.data().patch;
    return patch ? std::optional(Tree(patch->base)) : std::nullopt;
}

std::string serialise_patch(const Tree& tree) {
    SHALE_ENSURE(tree.data().patch);
    const Patch& patch = *tree.data().patch;
    const Tree::Data& own = *patch.own;
    const auto base_sets = static_cast<std::uint32_t>(patch.base->xattr_sets.size() - 1);
    const std::string xattrs = encode_xattr_sets(tree.data(), base_sets + 1);
    PatchHeader header{};
    std::memcpy(header.magic, kPatchMagic, sizeof kPatchMagic);
    header.version = kPatchVersion;
    header.node_count = patch.size;
    header.own_count = static_cast<std::uint32_t>(own.nodes.size());
    header.run_count = static_cast<std::uint32_t>(patch.runs.size());
    header.base_set_count = base_sets;
    header.new_set_count =
        static_cast<std::uint32_t>(tree.data().xattr_sets.size() - 1) - base_sets;
    header.names_bytes = own.names.size();
    header.targets_bytes = own.targets.size();
    header.xattr_bytes = xattrs.size();
    header.base = patch.base->digest(kRoot);
    header.tree = tree.digest();

    std::string out(reinterpret_cast<const char*>(&header), sizeof header);
    for (const Node& node : own.nodes) {
        const Node stored = stored_form(node);
        out.append(reinterpret_cast<const char*>(&stored), sizeof stored);
    }
    out.append(as_text(own.contents.bytes()));
    out.append(as_text(own.digests.bytes()));
    out.append(as_text(own.names.bytes()));
    out.append(as_text(own.targets.bytes()));
    out.append(xattrs);
    for (const Run& run : patch.runs) {
        put_little(out, run.is_own ? kNoNode : run.from);
        put_little(out, run.count);
        put_little(out, run.parent);
    }
    codec::append_checksum(out);
    return out;
}

Tree parse_patch(Bytes bytes, const Tree& base) {
    return Tree(PatchReader(bytes, base).run());
}

std::optional<Digest> base_of_patch_file(const std::string& path) {
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file && errno == ENOENT) return std::nullopt;
    if (!file) throw_errno("open", path);
    PatchHeader header;
    const ssize_t count = ::pread(file.get(), &header, sizeof header, 0);
    if (count < 0) throw_errno("read", path);
    if (count != sizeof header || std::string_view(header.magic, sizeof header.magic) != magic())
        return std::nullopt;
    return header.base;
}

}  // namespace shale::snapshot
