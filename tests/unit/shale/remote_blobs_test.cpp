// Layers read in parts from a registry that tells what it was asked, and that may lie.
#include "error_kind.hpp"
#include "remote_blobs.hpp"

#include <shale/codec.hpp>

#include <gtest/gtest.h>

#include <cstring>

namespace shale::cli {
namespace {

class NoBlobs final : public oci::BlobSource {
  public:
    std::uint64_t blob_size(const Digest& blob) override { return refuse(blob); }
    void read_blob(const Digest& blob, std::uint64_t, MutableBytes) override { refuse(blob); }

  private:
    [[noreturn]] static std::uint64_t refuse(const Digest& blob) {
        fail(ErrorKind::NotFound, blob.str());
    }
};

// One layer of two files, each large enough for frames of its own.
class RemoteLayer : public testing::Test {
  protected:
    RemoteLayer() {
        snapshot::TreeBuilder builder;
        for (const char name : {'a', 'b'}) {
            std::string content;
            for (int i = 0; i < 20'000; ++i)  // hardly compressible
                content += codec::sha256(name + std::to_string(i)).hex().substr(0, 4);
            snapshot::EntrySpec spec;
            spec.type = FileType::Regular;
            spec.size = content.size();
            spec.content = codec::sha256(content);
            builder.put(std::string(1, name), spec);
            contents_[spec.content] = content;
        }
        const auto empty = snapshot::TreeBuilder().finish();
        const auto tree = builder.finish();
        layer::WriteOptions options;
        options.frame_bytes = 8 << 10;
        written_ = layer::write_layer(
            diff::compare(empty, tree), tree,
            [this](std::string_view, const snapshot::Entry& entry) -> codec::Source {
                return [text = contents_.at(entry.content),
                        at = std::size_t{0}](MutableBytes out) mutable {
                    const auto count = std::min(out.size(), text.size() - at);
                    std::memcpy(out.data(), text.data() + at, count);
                    at += count;
                    return count;
                };
            },
            options, [this](Bytes bytes) { blob_.append(as_text(bytes)); });
        descriptor_.digest = written_.blob;
        descriptor_.size = blob_.size();
        const auto& last = written_.toc.frames.back();
        vouch_for(blob_.size() - last.blob_offset - last.blob_bytes);
    }
    void vouch_for(std::uint64_t bytes) {
        descriptor_.annotations[std::string(layer::kAnnotationTocBytes)] = std::to_string(bytes);
        descriptor_.annotations[std::string(layer::kAnnotationTocDigest)] =
            codec::sha256(blob_.substr(blob_.size() - bytes)).str();
    }
    std::string read_all(const std::shared_ptr<const layer::Toc>& toc, const std::string& name) {
        layer::ContentIndex index;
        index.add(descriptor_.digest, *toc);
        layer::ContentReader reader(std::move(index), remote_, 0);  // no cache
        for (const auto& entry : toc->entries)
            if (entry.member.path == name) {
                std::string out(entry.member.size, '\0');
                reader.read(entry.content, 0, std::as_writable_bytes(std::span(out)));
                return out;
            }
        return {};
    }

    std::map<Digest, std::string> contents_;
    std::string blob_;
    layer::Written written_;
    oci::Descriptor descriptor_;
    std::vector<std::pair<std::uint64_t, std::size_t>> asked_;
    NoBlobs local_;
    TempDir directory_;
    RemoteBlobs remote_{[this](const oci::Descriptor&, std::uint64_t offset, MutableBytes out) {
                            asked_.emplace_back(offset, out.size());
                            std::memcpy(out.data(), blob_.data() + offset, out.size());
                        },
                        local_, directory_.path()};
};

TEST_F(RemoteLayer, TableComesWithOneRequestAndEachFrameWithOneMore) {
    const auto toc = remote_.add(descriptor_);
    ASSERT_TRUE(toc);
    ASSERT_EQ(asked_.size(), 1u);
    EXPECT_EQ(contents_[toc->entries.front().content], read_all(toc, "a"));
    const auto requests = asked_.size();
    EXPECT_LT(requests, toc->frames.size()) << "frames of b are nobody's business";
    read_all(toc, "a");
    EXPECT_EQ(asked_.size(), requests) << "what was fetched is kept";
    std::uint64_t bytes = 0;
    for (const auto& [offset, size] : asked_)
        bytes += size;
    EXPECT_EQ(remote_.stats().bytes, bytes);
    EXPECT_EQ(remote_.stats().requests, requests);
}

TEST_F(RemoteLayer, ChangedFrameIsNeverShownAndTriedAgain) {
    const auto toc = remote_.add(descriptor_);
    for (const auto& frame : toc->frames) {
        blob_[frame.blob_offset + frame.blob_bytes / 2] ^= 1;
        std::string out(frame.blob_bytes, '\0');
        const auto read = [&] {
            remote_.read_blob(descriptor_.digest, frame.blob_offset,
                              std::as_writable_bytes(std::span(out)));
        };
        EXPECT_EQ(kind_of(read), ErrorKind::Corrupt);
        blob_[frame.blob_offset + frame.blob_bytes / 2] ^= 1;
        read();
        EXPECT_EQ(out, blob_.substr(frame.blob_offset, frame.blob_bytes));
    }
}

TEST_F(RemoteLayer, ChangedTableIsRefused) {
    blob_[blob_.size() - 100] ^= 1;
    EXPECT_EQ(kind_of([&] { remote_.add(descriptor_); }), ErrorKind::Corrupt);
}

TEST_F(RemoteLayer, IsNotReadInPartsUnlessTheManifestVouches) {
    auto silent = descriptor_;
    silent.annotations.clear();
    EXPECT_FALSE(remote_.add(silent));
    for (const char* bytes : {"", "0", "-1", "x", "99999999999999999999999", "1e3"}) {
        auto odd = descriptor_;
        odd.annotations[std::string(layer::kAnnotationTocBytes)] = bytes;
        EXPECT_FALSE(remote_.add(odd)) << bytes;
    }
    EXPECT_TRUE(asked_.empty());
    vouch_for(40);  // no footer fits into that
    EXPECT_ANY_THROW(remote_.add(descriptor_));
}

TEST_F(RemoteLayer, RangesThatAreNoFrameAreRefused) {
    const auto toc = remote_.add(descriptor_);
    const auto& frame = toc->frames.at(1);
    std::string out(frame.blob_bytes - 1, '\0');
    const auto bytes = std::as_writable_bytes(std::span(out));
    for (const auto offset : {frame.blob_offset, frame.blob_offset + 1})
        EXPECT_EQ(kind_of([&] { remote_.read_blob(descriptor_.digest, offset, bytes); }),
                  ErrorKind::Corrupt);
    EXPECT_EQ(kind_of([&] { remote_.read_blob(descriptor_.digest, blob_.size() - 1, bytes); }),
              ErrorKind::Corrupt);
    EXPECT_EQ(kind_of([&] { remote_.read_blob(codec::sha256("other"), 0, bytes); }),
              ErrorKind::NotFound);
}

}  // namespace
}  // namespace shale::cli
