// shale apply: a layer unpacked over a directory.
//
// The blob is read twice. The first pass decompresses it to the end, looks at each member and
// compares digests, so that a truncated, damaged or impossible layer is refused before the
// directory has changed; the second extracts.
#include "command.hpp"
#include "flags.hpp"
#include "input.hpp"

#include <shale/base.hpp>
#include <shale/codec.hpp>
#include <shale/layer.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <vector>

namespace shale::cli {

namespace {

// More than any real layer, little enough that a decompression bomb ends.
constexpr std::uint64_t kMaxTarBytes = 1ull << 42;

struct Flags {
    std::string file, directory, digest, diff_id;
};

std::size_t read_some(int fd, MutableBytes out, std::uint64_t offset, const std::string& name) {
    for (;;) {
        const auto count = ::pread(fd, out.data(), out.size(), static_cast<off_t>(offset));
        if (count >= 0) return static_cast<std::size_t>(count);
        if (errno != EINTR) throw_errno("read", name);
    }
}

codec::StreamDecompressor decompress(int fd, const std::string& name, codec::Sha256* hash) {
    std::byte head[8];
    const auto known = read_some(fd, head, 0, name);
    auto source = [fd, name, hash, offset = std::uint64_t{0}](MutableBytes out) mutable {
        const auto count = read_some(fd, out, offset, name);
        if (hash != nullptr) hash->update(Bytes(out).first(count));
        offset += count;
        return count;
    };
    return {codec::sniff(Bytes(head).first(known)), std::move(source), kMaxTarBytes};
}

void require_equal(const std::string& wanted, const Digest& found, const std::string& what) {
    if (!wanted.empty() && Digest::parse(wanted) != found)
        fail(ErrorKind::Corrupt,
             "digest mismatch for " + what + ": " + found.str() + " (expected: " + wanted + ")");
}

void verify(int fd, const Flags& flags) {
    codec::Sha256 blob_hash, tar_hash;
    auto stream = decompress(fd, flags.file, &blob_hash);
    layer::check_members(
        [&](MutableBytes out) {
            const auto count = stream.read(out);
            tar_hash.update(out.first(count));
            return count;
        },
        flags.file);
    require_equal(flags.diff_id, tar_hash.finish(), "the tar stream of " + flags.file);
    require_equal(flags.digest, blob_hash.finish(), flags.file);
}

int run(const Flags& flags) {
    struct stat status {};
    if (::stat(flags.directory.c_str(), &status) != 0) throw_errno("stat", flags.directory);
    if (!S_ISDIR(status.st_mode)) throw_errno(ENOTDIR, "apply to", flags.directory);
    const UniqueFd blob = open_input(flags.file);
    in_context([&] { return flags.file; }, [&] { verify(blob.get(), flags); });
    auto stream = decompress(blob.get(), flags.file, nullptr);
    layer::apply([&](MutableBytes out) { return stream.read(out); }, flags.file, flags.directory);
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    required(add_argument(app, "FILE", flags->file, "Layer blob; - is standard input"));
    required(add_argument(app, "DIR", flags->directory, "Directory that holds the tree below"));
    add_value(app, "--digest", flags->digest, "DIGEST", "Refuse a blob with another digest");
    add_value(app, "--diff-id", flags->diff_id, "DIGEST",
              "Refuse a blob whose tar stream has another digest");
    return [flags](Workspace&) { return run(*flags); };
}

}  // namespace

const Command& apply_command() {
    static const Command command = {
        .name = "apply",
        .group = "Engine alone",
        .summary = "Unpack a layer over a directory",
        .usage = "[OPTIONS] FILE DIR",
        .details =
            "Extracts the layer with its whiteouts: what it removes is removed. Any compression is "
            "recognised. As root the result has the owners, modes, times, extended attributes, "
            "hardlinks and devices of the layer; as another user, as far as permitted.\n\n"
            "The whole blob is verified before DIR is touched. Nothing is ever written outside of "
            "DIR, whatever names and links the layer holds.",
        .examples = {{"shale apply delta.tar.zst rootfs", "Apply a layer"},
                     {"curl -s URL | shale apply - rootfs --digest sha256:…",
                      "Apply what a pipe brings, if it is what was expected"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
