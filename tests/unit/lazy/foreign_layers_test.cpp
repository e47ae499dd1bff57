// Layers in the forms of other programs, read in parts: their tables name what is in a piece, not
// its bytes, and several pieces may begin in one place.
#include "../../support/error_kind.hpp"

#include <shale/codec.hpp>
#include <shale/layer_form.hpp>
#include <shale/lazy.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <future>
#include <map>
#include <mutex>

namespace shale::lazy {
namespace {

using layer::Form;

struct NoBlobs final : oci::BlobSource {
    std::uint64_t blob_size(const Digest& blob) override { fail(ErrorKind::NotFound, blob.str()); }
    void read_blob(const Digest& blob, std::uint64_t, MutableBytes) override {
        fail(ErrorKind::NotFound, blob.str());
    }
};

std::string noise(const std::string& seed, std::size_t bytes) {
    std::string out;
    for (int i = 0; out.size() < bytes; ++i)  // hardly compressible
        out += codec::sha256(seed + std::to_string(i)).hex().substr(0, 4);
    out.resize(bytes);
    return out;
}

codec::Source source_of(std::string text) {
    return [text = std::move(text), at = std::size_t{0}](MutableBytes out) mutable {
        const auto count = std::min(out.size(), text.size() - at);
        std::memcpy(out.data(), text.data() + at, count);
        at += count;
        return count;
    };
}

class ForeignLayers : public testing::Test {
  protected:
    // A layer of these files, in this order.
    oci::Descriptor put(Form form, const std::vector<std::pair<std::string, std::string>>& files) {
        std::vector<layer::TocEntry> members;
        for (const auto& [path, content] : files) {
            layer::TocEntry entry;
            entry.member.path = path;
            entry.member.type = tar::MemberType::Regular;
            entry.member.mode = 0644;
            entry.member.size = content.size();
            entry.content = codec::sha256(content);
            contents_[entry.content] = content;
            members.push_back(entry);
        }
        std::string blob;
        layer::FormOptions options;
        options.form = form;
        const auto formed = layer::write_seekable(
            members,
            [&](const layer::TocEntry& member) { return source_of(contents_.at(member.content)); },
            options, [&](Bytes bytes) { blob.append(as_text(bytes)); });
        return put_blob(blob, formed.annotations);
    }
    oci::Descriptor put_blob(const std::string& blob, oci::Annotations annotations) {
        oci::Descriptor layer;
        layer.digest = codec::sha256(blob);
        layer.size = blob.size();
        layer.annotations = std::move(annotations);
        blobs_[layer.digest] = blob;
        return layer;
    }
    // Reads past the cache of the reader.
    std::string read(const oci::Descriptor& layer, const layer::Toc& toc, const Digest& content,
                     std::uint64_t size) {
        layer::ContentIndex index;
        index.add(layer.digest, toc);
        layer::ContentReader reader(std::move(index), *remote_, 0);
        std::string out(size, '\0');
        reader.read(content, 0, std::as_writable_bytes(std::span(out)));
        return out;
    }
    std::size_t asked() const {
        const std::lock_guard lock(mutex_);
        return asked_.size();
    }
    std::uint64_t bytes_asked() const {
        const std::lock_guard lock(mutex_);
        std::uint64_t bytes = 0;
        for (const auto size : asked_)
            bytes += size;
        return bytes;
    }

    std::map<Digest, std::string> contents_, blobs_;
    mutable std::mutex mutex_;
    std::vector<std::uint64_t> asked_;
    NoBlobs local_;
    TempDir directory_;
    std::unique_ptr<RemoteBlobs> remote_ = std::make_unique<RemoteBlobs>(
        [this](const oci::Descriptor& layer, std::uint64_t offset, MutableBytes out) {
            const std::lock_guard lock(mutex_);
            asked_.push_back(out.size());
            std::memcpy(out.data(), blobs_.at(layer.digest).data() + offset, out.size());
        },
        local_, directory_.path());
};

class EachForm : public ForeignLayers, public testing::WithParamInterface<Form> {};

TEST_P(EachForm, FilesAreWhatTheyWereAndComeOnce) {
    const auto layer = put(GetParam(), {{"a", noise("a", 200'000)},
                                        {"b", "text"},
                                        {"c", noise("c", 30'000) + std::string(90'000, '\0')}});
    const auto toc = remote_->add(layer);
    ASSERT_TRUE(toc);
    EXPECT_EQ(asked(), 1u) << "the table lies in the end of the blob";
    const auto end = bytes_asked();
    for (const int round : {0, 1})
        for (const auto& entry : toc->entries) {
            if (!contents_.contains(entry.content)) continue;  // the table of an eStargz
            EXPECT_EQ(read(layer, *toc, entry.content, entry.member.size),
                      contents_.at(entry.content))
                << entry.member.path << " in round " << round;
        }
    EXPECT_LE(bytes_asked() - end, layer.size);
}

TEST_P(EachForm, AFileCostsItsOwnPiecesAndSomeNeighbours) {
    std::vector<std::pair<std::string, std::string>> files;
    for (int i = 0; i < 1000; ++i)
        files.emplace_back("file" + std::to_string(i), noise(std::to_string(i), 3000));
    const auto layer = put(GetParam(), files);
    const auto toc = remote_->add(layer);
    ASSERT_TRUE(toc);
    EXPECT_EQ(asked(), 2u) << "the end of the blob, then the rest of a large table";
    const auto table = bytes_asked();
    const auto& content = files[500].second;
    EXPECT_EQ(read(layer, *toc, codec::sha256(content), content.size()), content);
    EXPECT_EQ(asked(), 3u);
    EXPECT_LE(bytes_asked() - table, 256u << 10);
    for (const int neighbour : {501, 505, 510})
        EXPECT_EQ(read(layer, *toc,
                       codec::sha256(files[static_cast<std::size_t>(neighbour)].second), 3000),
                  files[static_cast<std::size_t>(neighbour)].second);
    EXPECT_EQ(asked(), 3u) << "small ones come together";
}

TEST_P(EachForm, ABadNeighbourSpoilsNothing) {
    const auto good = noise("good", 3000), bad = noise("bad", 3000);
    const auto layer = put(GetParam(), {{"a", good}, {"b", bad}, {"c", "text"}});
    const auto toc = remote_->add(layer);
    ASSERT_TRUE(toc);
    auto& blob = blobs_.at(layer.digest);
    const auto of = [&](const std::string& content) {
        for (std::size_t i = 0; i < toc->frames.size(); ++i)
            if (toc->frame_digests[i] == codec::sha256(content)) return toc->frames[i].blob_offset;
        return std::uint64_t{0};
    };
    blob[of(bad) + 1500] ^= 1;
    EXPECT_EQ(read(layer, *toc, codec::sha256(good), 3000), good);
    EXPECT_EQ(kind_of([&] { read(layer, *toc, codec::sha256(bad), 3000); }), ErrorKind::Corrupt);
    blob[of(bad) + 1500] ^= 1;
    EXPECT_EQ(read(layer, *toc, codec::sha256(bad), 3000), bad);
}

TEST_P(EachForm, ChangedPieceIsNeverShownAndTriedAgain) {
    const auto content = noise("a", 20'000);
    const auto layer = put(GetParam(), {{"a", content}});
    const auto toc = remote_->add(layer);
    ASSERT_TRUE(toc);
    auto& blob = blobs_.at(layer.digest);
    const auto whole = blob;
    const auto at = toc->frames[layer::frame_at(*toc, toc->entries.back().content_offset)];
    const auto name = codec::sha256(content);
    // Not the last piece: that of an eStargz is the table, which is a file, too.
    const auto& piece = GetParam() == Form::EStargz ? toc->frames[1] : at;
    blob[piece.blob_offset + 5000] ^= 1;
    EXPECT_EQ(kind_of([&] { read(layer, *toc, name, content.size()); }), ErrorKind::Corrupt);
    EXPECT_EQ(kind_of([&] { read(layer, *toc, name, content.size()); }), ErrorKind::Corrupt);
    blob = whole;
    EXPECT_EQ(read(layer, *toc, name, content.size()), content);
}

TEST_P(EachForm, ChangedTableIsRefused) {
    const auto layer = put(GetParam(), {{"a", "text"}});
    auto other = put(GetParam(), {{"b", "text"}});
    other.annotations = layer.annotations;
    EXPECT_EQ(kind_of([&] { remote_->add(other); }), ErrorKind::Corrupt);
    EXPECT_TRUE(remote_->frames().empty());
}

TEST_P(EachForm, IsNotReadInPartsUnlessTheManifestVouches) {
    auto layer = put(GetParam(), {{"a", "text"}});
    layer.annotations.clear();
    EXPECT_FALSE(remote_->add(layer));
    EXPECT_EQ(asked(), 0u);
}

TEST_P(EachForm, AllOfItCanBeFetchedInTheBackground) {
    const auto content = noise("a", 300'000);
    const auto layer = put(GetParam(), {{"a", content}, {"b", "text"}});
    const auto toc = remote_->add(layer);
    std::promise<std::exception_ptr> done;
    remote_->fetch_in_background(remote_->frames(),
                                 [&](std::exception_ptr why) { done.set_value(why); });
    EXPECT_EQ(done.get_future().get(), nullptr);
    const auto before = asked();
    EXPECT_EQ(read(layer, *toc, codec::sha256(content), content.size()), content);
    EXPECT_EQ(read(layer, *toc, codec::sha256("text"), 4), "text");
    EXPECT_EQ(asked(), before);
}

INSTANTIATE_TEST_SUITE_P(Forms, EachForm,
                         testing::Values(Form::EStargz, Form::ZstdStargz, Form::ZstdChunked),
                         [](const auto& tested) {
                             auto name = std::string(layer::form_name(tested.param));
                             std::ranges::replace(name, ':', '_');
                             return name;
                         });

TEST_F(ForeignLayers, AnnotationsOfOtherFormsVouchForNothingOfOurs) {
    auto layer = put(Form::EStargz, {{"a", "text"}});
    const auto foreign = layer.annotations;
    // Our own form, of which only the annotation of another is stated.
    snapshot::TreeBuilder builder;
    snapshot::EntrySpec spec;
    spec.type = FileType::Symlink;
    spec.link_target = "elsewhere";
    builder.put("link", spec);
    const auto empty = snapshot::TreeBuilder().finish();
    const auto tree = builder.finish();
    std::string blob;
    layer::write_layer(diff::compare(empty, tree), tree, {}, {},
                       [&](Bytes bytes) { blob.append(as_text(bytes)); });
    EXPECT_FALSE(remote_->add(put_blob(blob, foreign)));
    EXPECT_FALSE(remote_->add(put_blob("no layer at all", foreign)));
}

TEST_F(ForeignLayers, SeveralLayersAtOnceInTheirOrder) {
    auto silent = put(Form::ZstdChunked, {{"c", "third"}});
    silent.annotations.clear();
    const std::vector<oci::Descriptor> layers = {put(Form::EStargz, {{"a", "first"}}), silent,
                                                 put(Form::ZstdStargz, {{"b", "second"}})};
    const auto tocs = remote_->add(layers);
    ASSERT_EQ(tocs.size(), 3u);
    EXPECT_FALSE(tocs[1]);
    EXPECT_EQ(read(layers[0], *tocs[0], codec::sha256("first"), 5), "first");
    EXPECT_EQ(read(layers[2], *tocs[2], codec::sha256("second"), 6), "second");
}

TEST_F(ForeignLayers, WhatComesBeforeTheLandmarkIsPutFirst) {
    const auto layer = put(Form::EStargz, {{"first", noise("first", 5000)},
                                           {"second", noise("second", 5000)},
                                           {std::string(layer::kPrefetchLandmark), "\x0f"},
                                           {"later", noise("later", 5000)}});
    const auto toc = remote_->add(layer);
    const auto first = remote_->frames_put_first();
    std::promise<std::exception_ptr> done;
    remote_->fetch_in_background(first, [&](std::exception_ptr why) { done.set_value(why); });
    EXPECT_EQ(done.get_future().get(), nullptr);
    const auto before = asked();
    for (const char* name : {"first", "second"})
        EXPECT_EQ(read(layer, *toc, codec::sha256(noise(name, 5000)), 5000), noise(name, 5000));
    EXPECT_EQ(asked(), before);
    EXPECT_EQ(read(layer, *toc, codec::sha256(noise("later", 5000)), 5000), noise("later", 5000));
    EXPECT_GT(asked(), before);
    put(Form::EStargz, {});
    const auto none = put(Form::EStargz, {{"later", "x"}});
    remote_->add(none);
    EXPECT_EQ(remote_->frames_put_first().size(), first.size());
}

TEST_F(ForeignLayers, OneLayerHasOneTable) {
    const auto layer = put(Form::EStargz, {{"a", "text"}});
    EXPECT_TRUE(remote_->add(layer));
    EXPECT_TRUE(remote_->add(layer)) << "an image may have it twice";
    auto other = layer;
    other.annotations["more"] = "is said";
    EXPECT_EQ(kind_of([&] { remote_->add(other); }), ErrorKind::Corrupt);
}

// Two tables of one blob, by their digests and offsets the same: neither reads what the other says.
TEST_F(ForeignLayers, AReaderTellsTablesOfOneBlobApart) {
    const auto first = put(Form::ZstdChunked, {{"small", std::string(16, 'B')}});
    const auto second = put(Form::ZstdChunked, {{"large", std::string(1 << 20, 'B')}});
    struct Both final : oci::BlobSource {
        std::string bytes;
        std::uint64_t blob_size(const Digest&) override { return bytes.size(); }
        void read_blob(const Digest&, std::uint64_t offset, MutableBytes out) override {
            std::memcpy(out.data(), bytes.data() + offset, out.size());
        }
    } both;
    layer::ContentIndex index;
    for (const auto& layer : {first, second}) {
        both.bytes = blobs_.at(layer.digest);
        index.add(first.digest, *layer::read_layer_toc(both, layer));
    }
    layer::ContentReader reader(std::move(index), both);
    both.bytes = blobs_.at(first.digest) + std::string(1 << 20, '\0');
    std::string small(16, '\0'), large(1 << 20, '\0');
    reader.read(codec::sha256(std::string(16, 'B')), 0, std::as_writable_bytes(std::span(small)));
    EXPECT_EQ(small, std::string(16, 'B'));
    EXPECT_EQ(kind_of([&] {
                  reader.read(codec::sha256(std::string(1 << 20, 'B')), 0,
                              std::as_writable_bytes(std::span(large)));
              }),
              ErrorKind::Corrupt);
}

TEST_F(ForeignLayers, ADigestHasOneSize) {
    const auto toc = [](std::vector<std::pair<std::string, std::uint64_t>> files) {
        auto made = std::make_shared<layer::Toc>();
        for (const auto& [content, size] : files) {
            layer::TocEntry entry;
            entry.member.size = size;
            entry.content = codec::sha256(content);
            made->entries.push_back(entry);
        }
        return std::shared_ptr<const layer::Toc>(made);
    };
    using Tocs = std::vector<std::shared_ptr<const layer::Toc>>;
    EXPECT_NO_THROW(check_contents(Tocs{toc({{"a", 1}, {"", 0}, {"a", 1}}), toc({{"a", 1}})}));
    for (const auto& bad : {Tocs{toc({{"a", 1}}), toc({{"a", 2}})}, Tocs{toc({{"", 3}})}})
        EXPECT_EQ(kind_of([&] { check_contents(bad); }), ErrorKind::Corrupt);
}

TEST_F(ForeignLayers, ATableIsFetchedAsFarAsItComes) {
    oci::Descriptor layer;
    layer.digest = codec::sha256("nothing of it is there");
    layer.size = std::uint64_t{1} << 40;
    layer.annotations[std::string(layer::kAnnotationTocDigest)] = codec::sha256("").str();
    layer.annotations[std::string(layer::kAnnotationTocBytes)] = std::to_string(512 << 20);
    RemoteBlobs blobs(
        [this](const oci::Descriptor&, std::uint64_t, MutableBytes out) {
            asked_.push_back(out.size());
            fail(ErrorKind::Network, "it is not there");
        },
        local_, directory_.path());
    EXPECT_EQ(kind_of([&] { blobs.add(layer); }), ErrorKind::Network);
    ASSERT_EQ(asked_.size(), 1u);
    EXPECT_LE(asked_.front(), 16u << 20);
}

// A layer of the older generation, which stargz-snapshotter still writes: one zstd frame, and a
// table that says where in it the contents lie.
class OneFrame : public ForeignLayers {
  protected:
    static std::string zstd(const std::string& text) {
        std::string out;
        codec::StreamCompressor stream(codec::StreamFormat::Zstd, 3,
                                       [&](Bytes bytes) { out.append(as_text(bytes)); });
        stream.write(as_bytes(text));
        stream.finish();
        return out;
    }
    static std::string skippable(const std::string& text) {
        std::string out;
        put_little(out, std::uint32_t{0x184D2A50});
        put_little(out, static_cast<std::uint32_t>(text.size()));
        return out + text;
    }
    static std::string file(const std::string& name, const std::string& content, int inner) {
        return R"({"type":"reg","name":")" + name + R"(","size":)" +
               std::to_string(content.size()) + R"(,"offset":0,"innerOffset":)" +
               std::to_string(inner) + R"(,"digest":")" + codec::sha256(content).str() + "\"}";
    }
    oci::Descriptor put_frame(const std::string& plain, const std::string& entries) {
        return put_with_table(zstd(plain), entries);
    }
    oci::Descriptor put_with_table(std::string blob, const std::string& entries) {
        const auto json = R"({"version":1,"entries":[)" + entries + "]}";
        const auto table = zstd(json);
        const auto offset = blob.size() + 8;
        blob += skippable(table);
        std::string footer;
        for (const std::uint64_t field : {std::uint64_t{offset}, std::uint64_t{table.size()},
                                          std::uint64_t{json.size()}, std::uint64_t{1}})
            put_little(footer, field);
        return put_blob(blob + skippable(footer + "GnUlInUx"),
                        {{"containerd.io/snapshot/stargz/toc.digest", codec::sha256(json).str()}});
    }
};

TEST_F(OneFrame, AllThatBeginsInOnePlaceComesTogether) {
    const auto layer =
        put_frame("..hello...world..", file("a", "hello", 2) + "," + file("b", "world", 10) + "," +
                                           file("again", "hello", 2));
    const auto toc = remote_->add(layer);
    ASSERT_TRUE(toc);
    EXPECT_EQ(remote_->frames().size(), 1u);
    EXPECT_EQ(read(layer, *toc, codec::sha256("world"), 5), "world");
    const auto before = asked();
    EXPECT_EQ(read(layer, *toc, codec::sha256("hello"), 5), "hello");
    EXPECT_EQ(asked(), before);
}

TEST_F(OneFrame, OneFalsePieceSpoilsItsNeighbours) {
    const auto layer =
        put_frame("..hello...world..", file("a", "hello", 2) + "," + file("b", "WORLD", 10));
    const auto toc = remote_->add(layer);
    ASSERT_TRUE(toc);
    EXPECT_EQ(kind_of([&] { read(layer, *toc, codec::sha256("hello"), 5); }), ErrorKind::Corrupt);
}

TEST_F(OneFrame, PiecesThatOverlapAreRefused) {
    const auto layer =
        put_frame("..hello...world..", file("a", "hello", 2) + "," + file("b", "llo", 4));
    const auto toc = remote_->add(layer);
    ASSERT_TRUE(toc);
    EXPECT_EQ(kind_of([&] { read(layer, *toc, codec::sha256("hello"), 5); }), ErrorKind::Corrupt);
}

// What lies between frames counts, too.
TEST_F(OneFrame, GapsAreNotFetchedWithoutEnd) {
    constexpr int kFrames = 2000;
    std::string blob, entries;
    std::uint64_t frame_bytes = 0;
    std::vector<std::string> contents;
    for (int i = 0; i < kFrames; ++i) {
        contents.push_back("content " + std::to_string(i));
        const auto frame = zstd(contents.back());
        entries += (i ? "," : "") + std::string(R"({"type":"reg","name":"f)") + std::to_string(i) +
                   R"(","size":)" + std::to_string(contents.back().size()) + R"(,"offset":)" +
                   std::to_string(blob.size()) + R"(,"endOffset":)" +
                   std::to_string(blob.size() + frame.size()) + R"(,"digest":")" +
                   codec::sha256(contents.back()).str() + "\"}";
        frame_bytes += frame.size();
        blob += frame + std::string(4000, 'g');
    }
    const auto layer = put_with_table(blob, entries);
    const auto toc = remote_->add(layer);
    ASSERT_TRUE(toc);
    const auto before = asked();
    for (int i = 0; i < kFrames / 2; ++i)
        EXPECT_EQ(read(layer, *toc, codec::sha256(contents[static_cast<std::size_t>(i)]),
                       contents[static_cast<std::size_t>(i)].size()),
                  contents[static_cast<std::size_t>(i)]);
    remote_.reset();
    EXPECT_LE(*std::max_element(asked_.begin() + static_cast<std::ptrdiff_t>(before), asked_.end()),
              std::max<std::uint64_t>(frame_bytes, 256 << 10));
}

TEST_F(OneFrame, ATableWithoutDigestsIsOfNoUse) {
    const auto layer = put_frame("hello", R"({"type":"reg","name":"a","size":5,"offset":0})");
    EXPECT_FALSE(remote_->add(layer));
}

}  // namespace
}  // namespace shale::lazy
