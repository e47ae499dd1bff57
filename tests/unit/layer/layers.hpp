// Blobs in memory, contents by digest, generated trees, and running layers through the module.
#pragma once

#include <shale/layer.hpp>

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace shale::layer::testing {

inline codec::Source source_of(std::string text, std::size_t piece = SIZE_MAX) {
    return [text = std::move(text), piece, at = std::size_t{0}](MutableBytes out) mutable {
        const std::size_t count = std::min({out.size(), piece, text.size() - at});
        std::copy_n(as_bytes(text).begin() + static_cast<std::ptrdiff_t>(at), count, out.begin());
        at += count;
        return count;
    };
}

inline std::string drain(const codec::Source& source, std::size_t step = 65536) {
    std::string out, buffer(step, '\0');
    while (const std::size_t got = source(std::as_writable_bytes(std::span(buffer))))
        out.append(buffer, 0, got);
    return out;
}

// Blobs by digest; counts reads.
class MemoryBlobs : public oci::BlobSource {
  public:
    Digest put(std::string bytes) {
        const Digest digest = codec::sha256(bytes);
        blobs_[digest] = std::move(bytes);
        return digest;
    }
    // Under a name that is not its digest, to stand for a blob that was damaged after verification.
    void put_as(const Digest& digest, std::string bytes) { blobs_[digest] = std::move(bytes); }
    const std::string& at(const Digest& digest) const { return blobs_.at(digest); }

    std::uint64_t blob_size(const Digest& blob) override { return find(blob).size(); }
    void read_blob(const Digest& blob, std::uint64_t offset, MutableBytes out) override {
        const std::string& bytes = find(blob);
        if (offset > bytes.size() || bytes.size() - offset < out.size())
            fail(ErrorKind::Corrupt, "blob ends early");
        const std::lock_guard lock(mutex_);
        ++reads_;
        std::copy_n(as_bytes(bytes).begin() + static_cast<std::ptrdiff_t>(offset), out.size(),
                    out.begin());
    }
    std::size_t reads() const { return reads_; }

  private:
    const std::string& find(const Digest& blob) const {
        const auto found = blobs_.find(blob);
        if (found == blobs_.end()) fail(ErrorKind::NotFound, "blob " + blob.str());
        return found->second;
    }
    std::map<Digest, std::string> blobs_;
    std::mutex mutex_;
    std::size_t reads_ = 0;
};

// The bytes of every content that the test's trees mention.
class Contents {
  public:
    Digest put(std::string bytes) {
        const Digest digest = codec::sha256(bytes);
        bytes_.try_emplace(digest, std::move(bytes));
        return digest;
    }
    const std::string& at(const Digest& digest) const { return bytes_.at(digest); }
    OpenContent opener() const {
        return [this](std::string_view, const snapshot::Entry& entry) {
            return source_of(at(entry.content));
        };
    }

    // As if the file had been written to since the tree was made.
    void change(const Digest& digest, std::string bytes) { bytes_.at(digest) = std::move(bytes); }

  private:
    std::map<Digest, std::string> bytes_;
};

inline snapshot::EntrySpec file_spec(Contents& contents, std::string bytes) {
    snapshot::EntrySpec spec;
    spec.type = FileType::Regular;
    spec.mode = 0644;
    spec.size = bytes.size();
    spec.content = contents.put(std::move(bytes));
    return spec;
}

inline snapshot::EntrySpec link_spec(std::string target) {
    snapshot::EntrySpec spec;
    spec.type = FileType::Symlink;
    spec.mode = 0777;
    spec.link_target = std::move(target);
    return spec;
}

// One line per node with everything a tree says about it; what gtest prints when trees differ.
inline std::string describe(const snapshot::Tree& tree) {
    std::string out;
    for (snapshot::NodeId node = 0; node < tree.size(); ++node) {
        const snapshot::Entry e = tree.entry(node);
        out += "/" + tree.path(node) + " t" + std::to_string(static_cast<int>(e.type)) + " m" +
               std::to_string(e.mode) + " " + std::to_string(e.uid) + ":" + std::to_string(e.gid) +
               " s" + std::to_string(e.size) + " @" + std::to_string(e.mtime_ns) + " d" +
               std::to_string(e.device_major) + ":" + std::to_string(e.device_minor) + " >" +
               std::string(e.link_target) + " g" + std::to_string(e.link_group) + " " +
               (e.type == FileType::Regular ? e.content.short_hex() : "");
        for (const Xattr& xattr : e.xattrs)
            out += " " + xattr.name + "=" + to_hex(as_bytes(xattr.value));
        out += "\n";
    }
    return out;
}

struct Layer {
    Written written;
    std::string blob;
};

inline Layer write(const snapshot::Tree& before, const snapshot::Tree& after,
                   const Contents& contents, const WriteOptions& options = {}) {
    Layer layer;
    layer.written = write_layer(diff::compare(before, after), after, contents.opener(), options,
                                [&](Bytes bytes) { layer.blob.append(as_text(bytes)); });
    return layer;
}

inline std::string plain_tar(const std::string& blob) {
    codec::StreamDecompressor stream(codec::StreamFormat::Zstd, source_of(blob), UINT64_MAX);
    return drain([&](MutableBytes out) { return stream.read(out); });
}

inline std::pair<int, std::string> run(const std::string& command) {
    std::FILE* pipe = ::popen(command.c_str(), "re");
    if (pipe == nullptr) throw_errno("popen");
    std::string out;
    char buffer[4096];
    while (const std::size_t made = std::fread(buffer, 1, sizeof buffer, pipe))
        out.append(buffer, made);
    const int status = ::pclose(pipe);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, out};
}

inline bool has_tool(const std::string& name) {
    return run("command -v " + name + " >/dev/null 2>&1").first == 0;
}

}  // namespace shale::layer::testing
