#include "archive.hpp"

#include "image_files.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace shale::build {
namespace {

using snapshot::EntrySpec;

codec::Source file_source(const std::shared_ptr<UniqueFd>& fd, const std::string& path) {
    return [fd, path](MutableBytes out) -> std::size_t {
        for (;;) {
            const ssize_t count = ::read(fd->get(), out.data(), out.size());
            if (count >= 0) return static_cast<std::size_t>(count);
            if (errno != EINTR) throw_errno("read", path);
        }
    };
}

template <typename Read>
std::size_t fill(MutableBytes out, Read&& read) {
    std::size_t filled = 0;
    while (filled < out.size()) {
        const auto count = read(out.subspan(filled));
        if (count == 0) break;
        filled += count;
    }
    return filled;
}

// As much of the start of the decompressed bytes as fits.
std::size_t read_head(const OpenBytes& open, MutableBytes head) {
    std::array<std::byte, 16> magic{};
    const auto got = fill(magic, open());
    const auto format = codec::sniff(Bytes(magic).first(got));
    codec::StreamDecompressor stream(format, open(), UINT64_MAX);
    return fill(head, [&](MutableBytes out) { return stream.read(out); });
}

EntrySpec spec_of(const layer::TocEntry& entry, const CopyOptions& options) {
    EntrySpec spec = layer::entry_spec(entry);
    if (options.owner) {
        spec.uid = options.owner->uid;
        spec.gid = options.owner->gid;
    }
    return spec;
}

class Expander {
  public:
    Expander(snapshot::TreeBuilder& out, const CopyOptions& options, std::uint64_t group_base)
        : out_(out), options_(options), next_group_(group_base << 32) {
        parents_ = options;
        parents_.mode.reset();
        root_ = resolve_destination(out_, options.destination);
        make_parents(out_, root_, parents_);
    }

    void add(const layer::TocEntry& entry) {
        if (entry.member.path.empty()) return;  // "./": the destination's own metadata stays
        const auto target = place(entry.member.path);
        if (entry.member.type == tar::MemberType::Hardlink) {
            link(target, place(entry.member.link_target), entry.member);
            return;
        }
        auto spec = spec_of(entry, options_);
        const auto existing = out_.get(target);
        if (existing && existing->type != FileType::Directory) out_.remove(target);
        if (existing && existing->type == FileType::Directory && spec.type != FileType::Directory)
            out_.remove(target);
        out_.put(target, std::move(spec));
    }

  private:
    // Where a member goes: its directory resolved through symlinks inside the tree, its last
    // component taken literally.
    std::string place(const std::string& path) {
        const auto slash = path.rfind('/');
        std::string directory = root_;
        if (slash != std::string::npos) {
            // Relative links resolve from where they stand; the tree's root is the only border.
            directory = resolve_destination(out_, root_ + "/" + path.substr(0, slash));
            make_parents(out_, directory, parents_);
        }
        const auto name = path.substr(slash == std::string::npos ? 0 : slash + 1);
        return directory.empty() ? name : directory + "/" + name;
    }

    void link(const std::string& target, const std::string& original, const tar::Member& member) {
        auto spec = out_.get(original);
        if (!spec || spec->type == FileType::Directory)
            fail(ErrorKind::Corrupt, "archive member \"" + member.path + "\" links to \"" +
                                         member.link_target + "\", which is not in the archive");
        if (spec->link_group == 0) {
            spec->link_group = ++next_group_;
            out_.put(original, *spec);
        }
        out_.remove(target);
        out_.put(target, *spec);
    }

    snapshot::TreeBuilder& out_;
    const CopyOptions& options_;
    CopyOptions parents_;
    std::string root_;
    std::uint64_t next_group_;
};

}  // namespace

OpenBytes bytes_of_file(const std::string& path) {
    return [path] {
        return file_source(std::make_shared<UniqueFd>(open_regular_file(path, O_NOFOLLOW)), path);
    };
}

OpenBytes bytes_of_content(store::Store& store, const std::vector<Digest>& layers,
                           const Digest& content) {
    return [&store, layers, content]() -> codec::Source {
        const auto reader =
            std::make_shared<layer::ContentReader>(store.content_index(layers), store.framed());
        return [reader, source = reader->open(content)](MutableBytes out) { return source(out); };
    };
}

bool is_archive(const OpenBytes& open) {
    std::array<std::byte, 512> head{};
    try {
        const auto count = read_head(open, head);
        return tar::looks_like_tar(Bytes(head).first(count));
    } catch (const Error& error) {
        // Damaged or foreign compression is a file to copy, not a mistake.
        if (error.kind() == ErrorKind::Corrupt) return false;
        throw;
    }
}

IndexedArchive index_archive(store::Store& store, const OpenBytes& open, const std::string& what,
                             const std::optional<Digest>& digest) {
    const auto source = open();
    auto writer = store.new_blob();
    std::vector<std::byte> buffer(1 << 20);
    while (const auto count = source(buffer))
        writer.write(Bytes(buffer).first(count));
    oci::Descriptor descriptor;
    descriptor.media_type = oci::layer_media_type(oci::Compression::None);
    descriptor.size = writer.size();
    descriptor.digest = in_context([&] { return what + " changed while it was read"; },
                                   [&] { return writer.commit(digest); });
    return {descriptor.digest,
            in_context([&] { return "archive " + what; }, [&] { return store.toc(descriptor); })};
}

void expand_archive(snapshot::TreeBuilder& out, const layer::Toc& toc, const CopyOptions& options,
                    std::uint64_t group_base) {
    Expander expander(out, options, group_base);
    for (const auto& entry : toc.entries)
        expander.add(entry);
}

}  // namespace shale::build
