// Request in, mount::View call, reply out.
//
// The tree never changes, so the kernel may keep everything it was told: timeouts are a day, open
// and opendir are answered ENOSYS once and never asked again, absent names are cached as absent.
// Where the image has no extended attributes at all, so is getxattr: `ls -l` asks per file.
#include "replies.hpp"

#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <string>
#include <vector>

namespace shale::fuse {
namespace {

mount::View& view(fuse_req_t request) {
    return server(request).view();
}

void lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
    server(request).count_lookup();
    const mount::InodeId directory{parent};
    const std::string_view text = name;
    std::optional<mount::Attributes> found;
    if (text == ".")
        found = view(request).attributes(directory);
    else if (text == "..")
        found = view(request).attributes(view(request).parent(directory));
    else
        found = view(request).lookup(directory, text);
    reply_lookup(request, found);
}

void getattr(fuse_req_t request, fuse_ino_t inode, fuse_file_info*) {
    reply_attributes(request, view(request).attributes(mount::InodeId{inode}));
}

void readlink(fuse_req_t request, fuse_ino_t inode) {
    fuse_reply_readlink(request,
                        std::string(view(request).link_target(mount::InodeId{inode})).c_str());
}

void read(fuse_req_t request, fuse_ino_t inode, std::size_t size, off_t offset, fuse_file_info*) {
    server(request).count_read();
    const auto buffer = read_buffer(size);
    const auto count =
        view(request).fetch(mount::InodeId{inode}, static_cast<std::uint64_t>(offset), buffer);
    fuse_reply_buf(request, reinterpret_cast<const char*>(buffer.data()), count);
}

void read_in_line(fuse_req_t request, fuse_ino_t inode, std::size_t size, off_t offset,
                  fuse_file_info*) {
    const auto answer = [](const ReadJob& job) {
        guarded<read>(job.request, job.inode, job.size, job.offset,
                      static_cast<fuse_file_info*>(nullptr));
    };
    try {
        server(request).read_line().run({request, inode, size, offset}, answer);
    } catch (const std::bad_alloc&) {  // it could not stand in line
        fuse_reply_err(request, ENOMEM);
    }
}

// Directory offsets: 0 is ".", 1 is "..", then 2 + the node the next call begins with. A position
// is thus found without counting.
constexpr off_t kFirstChild = 2;
constexpr off_t kEnd = kFirstChild + off_t{snapshot::kNoNode};

class DirectoryReply {
  public:
    DirectoryReply(fuse_req_t request, std::size_t size, bool plus)
        : request_(request), buffer_(std::min<std::size_t>(size, kMaxRead)), plus_(plus) {}

    // False if the entry did not fit.
    bool add(std::string_view name, const mount::Attributes& attributes, off_t next) {
        name_.assign(name);
        const auto entry = entry_of(attributes);
        char* place = buffer_.data() + used_;
        const auto left = buffer_.size() - used_;
        const auto need =
            plus_ ? fuse_add_direntry_plus(request_, place, left, name_.c_str(), &entry, next)
                  : fuse_add_direntry(request_, place, left, name_.c_str(), &entry.attr, next);
        if (need > left) return false;
        used_ += need;
        return true;
    }
    void send() { fuse_reply_buf(request_, buffer_.data(), used_); }

  private:
    fuse_req_t request_;
    std::vector<char> buffer_;
    std::string name_;
    std::size_t used_ = 0;
    bool plus_;
};

void read_directory(fuse_req_t request, fuse_ino_t inode, std::size_t size, off_t offset,
                    bool plus) {
    auto& tree = view(request);
    const mount::InodeId directory{inode};
    const auto self = tree.attributes(directory);
    if (!self || self->type != FileType::Directory) {
        fuse_reply_err(request, ENOTDIR);
        return;
    }
    DirectoryReply reply(request, size, plus);
    if (offset == 0 && reply.add(".", *self, 1)) offset = 1;
    if (offset == 1) {
        const auto parent = tree.attributes(tree.parent(directory));
        const off_t first = kFirstChild + off_t{tree.first_child(directory)};
        if (parent && reply.add("..", *parent, first)) offset = first;
    }
    while (offset >= kFirstChild && offset < kEnd) {
        auto next = static_cast<snapshot::NodeId>(offset - kFirstChild);
        const auto entry = tree.directory_entry(directory, next);
        if (!entry) break;
        const off_t after = kFirstChild + off_t{next};
        if (!reply.add(entry->name, entry->attributes, after)) break;
        offset = after;
    }
    reply.send();
}

void readdir(fuse_req_t request, fuse_ino_t inode, std::size_t size, off_t offset,
             fuse_file_info*) {
    read_directory(request, inode, size, offset, false);
}
void readdirplus(fuse_req_t request, fuse_ino_t inode, std::size_t size, off_t offset,
                 fuse_file_info*) {
    read_directory(request, inode, size, offset, true);
}

// Answers a question for `bytes` as the xattr calls want it: size 0 asks for the length.
void reply_sized(fuse_req_t request, std::string_view bytes, std::size_t size) {
    if (size == 0)
        fuse_reply_xattr(request, bytes.size());
    else if (bytes.size() > size)
        fuse_reply_err(request, ERANGE);
    else
        fuse_reply_buf(request, bytes.data(), bytes.size());
}

constexpr std::string_view kOriginPrefix = "user.shale.";

void getxattr(fuse_req_t request, fuse_ino_t inode, const char* name, std::size_t size) {
    auto& asked = server(request);
    if (!view(request).has_xattrs() && !asked.origin()) {
        fuse_reply_err(request, ENOSYS);
        return;
    }
    const mount::InodeId id{inode};
    const std::string_view text = name;
    // Before the image's own: what it claims about its origin does not count.
    if (asked.origin() && text.starts_with(kOriginPrefix)) {
        const auto value = asked.origin()(id, text.substr(kOriginPrefix.size()));
        if (value)
            reply_sized(request, *value, size);
        else
            fuse_reply_err(request, ENODATA);
        return;
    }
    for (const auto& xattr : view(request).xattrs(id))
        if (xattr.name == name) {
            reply_sized(request, xattr.value, size);
            return;
        }
    // `ls -l` asks every file for two attributes, but no more once it is told that the file system
    // does not know them.
    fuse_reply_err(request, asked.has_attribute(text) ? ENODATA : EOPNOTSUPP);
}

void listxattr(fuse_req_t request, fuse_ino_t inode, std::size_t size) {
    // Never ENOSYS, even where nothing has any: programs that list would call it a fault.
    std::string names;
    // In a user namespace the kernel answers for trusted.* that they do not exist. Where they are
    // listed all the same, overlayfs cannot copy the file up.
    const bool hides_trusted = server(request).hides_trusted();
    const bool hides_origins = server(request).origin() != nullptr;
    for (const auto& xattr : view(request).xattrs(mount::InodeId{inode}))
        if (!(hides_trusted && xattr.name.starts_with("trusted.")) &&
            !(hides_origins && xattr.name.starts_with(kOriginPrefix)))
            names.append(xattr.name).push_back('\0');
    reply_sized(request, names, size);
}

void statfs(fuse_req_t request, fuse_ino_t) {
    struct statvfs out {};
    out.f_bsize = out.f_frsize = 4096;
    out.f_files = view(request).tree().size();
    out.f_namemax = 255;
    fuse_reply_statfs(request, &out);
}

}  // namespace

bool Server::has_attribute(std::string_view name) {
    std::call_once(names_once_, [this] {
        if (!view_->has_xattrs()) return;
        const auto& tree = view_->tree();
        for (snapshot::NodeId node = 0; node < tree.size(); ++node)
            for (const auto& xattr : tree.entry(node).xattrs)
                names_.insert(xattr.name);
    });
    return names_.contains(name);
}

const fuse_lowlevel_ops& operations() {
    static const fuse_lowlevel_ops table = [] {
        fuse_lowlevel_ops ops{};
        ops.init = init;
        ops.lookup = guarded<lookup>;
        ops.forget = forget;
        ops.forget_multi = forget_multi;
        ops.getattr = guarded<getattr>;
        ops.readlink = guarded<readlink>;
        ops.open = open;
        ops.opendir = open;
        ops.read = read_in_line;
        ops.readdir = guarded<readdir>;
        ops.readdirplus = guarded<readdirplus>;
        ops.getxattr = guarded<getxattr>;
        ops.listxattr = guarded<listxattr>;
        ops.statfs = guarded<statfs>;
        return ops;
    }();
    return table;
}

}  // namespace shale::fuse
