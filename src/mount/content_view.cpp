// A file's number is its place in the list of contents asked for so far, plus two.
#include <shale/mount.hpp>

#include <deque>
#include <shared_mutex>
#include <unordered_map>

namespace shale::mount {

namespace {

constexpr std::uint64_t kFirst = 2;  // 1 is the directory

// Anybody may read them there: whoever gets this far was let through by the file in front.
constexpr std::uint32_t kFileMode = 0444, kDirectoryMode = 0555;

}  // namespace

struct ContentView::State {
    struct Content {
        Digest digest;
        std::uint64_t size;
    };

    State(std::shared_ptr<View> shown, std::string start)
        : view(std::move(shown)), prefix(std::move(start)) {}

    std::optional<Content> content_of(InodeId inode) const {
        const auto number = static_cast<std::uint64_t>(inode);
        const std::shared_lock lock(mutex);
        if (number < kFirst || number - kFirst >= known.size()) return std::nullopt;
        return known[number - kFirst];
    }
    InodeId number_of(const Content& content) {
        const std::lock_guard lock(mutex);
        const auto [at, is_new] = numbers.try_emplace(content.digest, known.size() + kFirst);
        if (is_new) known.push_back(content);
        return InodeId{at->second};
    }
    static Attributes attributes_of(InodeId inode, const Content& content) {
        Attributes out;
        out.inode = inode;
        out.type = FileType::Regular;
        out.mode = kFileMode;
        out.size = content.size;
        return out;
    }
    // For messages: somebody who reads one has no use for a digest.
    std::string path_of(const Digest& digest) const {
        const auto& tree = view->tree();
        for (snapshot::NodeId node = 0; node < tree.size(); ++node)
            if (tree.entry(node).type == FileType::Regular && tree.entry(node).content == digest)
                return "/" + tree.path(node);
        return digest.str();
    }

    const std::shared_ptr<View> view;
    const std::string prefix;
    mutable std::shared_mutex mutex;  // guards what follows
    std::unordered_map<Digest, std::uint64_t, DigestHash> numbers;
    std::deque<Content> known;
};

ContentView::ContentView(std::shared_ptr<View> view, std::string prefix)
    : state_(std::make_unique<State>(std::move(view), std::move(prefix))) {}
ContentView::~ContentView() = default;

std::optional<Attributes> ContentView::lookup(std::string_view name) {
    if (!name.starts_with(state_->prefix)) return std::nullopt;
    const auto digest = Digest::from_hex(name.substr(state_->prefix.size()));
    if (!digest) return std::nullopt;
    const auto place = state_->view->contents().index().find(*digest);
    if (!place) return std::nullopt;
    const State::Content content{*digest, place->range.size};
    return State::attributes_of(state_->number_of(content), content);
}

std::optional<Attributes> ContentView::attributes(InodeId inode) const {
    if (inode == kRootInode) {
        Attributes out;
        out.inode = inode;
        out.mode = kDirectoryMode;
        out.nlink = 2;
        return out;
    }
    const auto content = state_->content_of(inode);
    if (!content) return std::nullopt;
    return State::attributes_of(inode, *content);
}

std::size_t ContentView::fetch(InodeId inode, std::uint64_t offset, MutableBytes out) {
    const auto content = state_->content_of(inode);
    if (!content) fail(ErrorKind::NotFound, "no such inode");
    return in_context([&] { return "reading " + state_->path_of(content->digest); },
                      [&] { return state_->view->contents().read(content->digest, offset, out); });
}

}  // namespace shale::mount
