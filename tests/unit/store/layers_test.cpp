// Tables of contents: foreign layers and their twins, layers that lie, sharing of the work.
#include "durable.hpp"
#include "store_fixture.hpp"

#include <shale/diff.hpp>
#include <shale/layer_form.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <map>
#include <thread>

namespace shale::store::test {
namespace {

using codec::StreamFormat;

// Incompressible enough that its gzip has many blocks, and longer than one read.
std::string noise(std::size_t size) {
    std::string text(size, '\0');
    std::uint64_t state = 88172645463325252ull;
    for (char& byte : text) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        byte = static_cast<char>(state >> 32);
    }
    return text;
}

std::atomic<int> twins_begun{0};
void count_twins(DurableStep step, const std::string& path) {
    if (step == DurableStep::Create && path.find("/frames-") != std::string::npos) ++twins_begun;
}

class LayerTest : public StoreTest {
  protected:
    void SetUp() override {
        twins_begun = 0;
        set_durable_hook(count_twins);
    }
    void TearDown() override { set_durable_hook(nullptr); }

    const std::string big_ = noise(3'000'000);
    const std::string tar_ = make_tar({{"bin", "", tar::MemberType::Directory},
                                       {"bin/big", big_},
                                       {"bin/alias", "", tar::MemberType::Hardlink, "bin/big"},
                                       {"bin/empty", ""},
                                       {"bin/small", "small"}});
    const Digest diff_id_ = codec::sha256(tar_);

    std::string twin_path(const Digest& blob) const { return root() + "/frames/" + blob.hex(); }
    std::string content(Store& store, const Digest& blob, const std::string& wanted) {
        layer::ContentReader reader(store.content_index({blob}), store.framed());
        std::string text(wanted.size() + 10, '\0');
        std::size_t done = 0;
        while (const std::size_t count =
                   reader.read(codec::sha256(wanted), done,
                               std::as_writable_bytes(std::span(text)).subspan(done)))
            done += count;
        text.resize(done);
        return text;
    }
    // A layer as shale writes it: the tar in frames with a TOC.
    std::string framed_blob() {
        std::string blob;
        std::size_t at = 0;
        layer::reframe(
            [&](MutableBytes out) {
                const std::size_t count = std::min(out.size(), tar_.size() - at);
                std::memcpy(out.data(), tar_.data() + at, count);
                at += count;
                return count;
            },
            "test", {}, [&](Bytes bytes) { blob.append(as_text(bytes)); });
        return blob;
    }
};

struct Foreign {
    const char* name;
    StreamFormat format;
    std::string_view media_type;
};
const Foreign kForeign[] = {
    {"plain", StreamFormat::Plain, oci::media::kLayerTar},
    {"gzip", StreamFormat::Gzip, oci::media::kLayerGzip},
    {"zstd", StreamFormat::Zstd, oci::media::kLayerZstd},
    {"docker gzip", StreamFormat::Gzip, oci::media::kDockerLayerGzip},
    {"gzip that claims to be zstd", StreamFormat::Gzip, oci::media::kLayerZstd},
    {"zstd that claims to be plain", StreamFormat::Zstd, oci::media::kLayerTar},
    {"plain that claims to be gzip", StreamFormat::Plain, oci::media::kLayerGzip},
};

TEST_F(LayerTest, AForeignLayerIsReframedOnceAndReadThroughItsTwin) {
    for (const Foreign& test : kForeign) {
        SCOPED_TRACE(test.name);
        std::filesystem::remove_all(root());
        twins_begun = 0;
        oci::Descriptor layer;
        {
            Store store(root());
            layer = put_layer(store, compress(test.format, tar_), test.media_type);
            const auto toc = store.toc(layer, diff_id_);
            ASSERT_EQ(toc->entries.size(), 5u);
            EXPECT_EQ(toc->entries[1].member.path, "bin/big");
            EXPECT_EQ(toc->entries[1].content, codec::sha256(big_));
            EXPECT_EQ(toc->tar_bytes, tar_.size());
            EXPECT_EQ(store.toc(layer, diff_id_), toc) << "kept in memory";
            EXPECT_EQ(content(store, layer.digest, big_), big_);
            EXPECT_EQ(content(store, layer.digest, "small"), "small");
        }
        ASSERT_TRUE(path_exists(twin_path(layer.digest)));
        EXPECT_EQ(codec::sha256(read_file(root() + "/blobs/sha256/" + layer.digest.hex())),
                  layer.digest);
        Store store(root());
        EXPECT_EQ(store.toc(layer, diff_id_)->entries.size(), 5u);
        EXPECT_EQ(content(store, layer.digest, big_), big_);
        EXPECT_EQ(twins_begun, 1);
    }
}

TEST_F(LayerTest, TheTwinHasTheSameTar) {
    Store store(root());
    const auto layer = put_layer(store, compress(StreamFormat::Gzip, tar_), oci::media::kLayerGzip);
    const auto toc = store.toc(layer);
    const auto stream = layer::tar_stream(store.framed(), layer.digest, *toc);
    std::string text, buffer(100'000, '\0');
    const auto out = std::as_writable_bytes(std::span(buffer));
    while (const std::size_t count = stream(out))
        text.append(buffer, 0, count);
    EXPECT_EQ(text, tar_);
}

// The layer of these files in another program's form, as a descriptor of a registry has it.
struct Seekable {
    oci::Descriptor layer;
    Digest diff_id;
    std::string bytes;
};

Seekable seekable(layer::Form form, const std::vector<std::pair<std::string, std::string>>& files) {
    snapshot::TreeBuilder builder;
    std::map<Digest, std::string> contents;
    for (const auto& [path, bytes] : files) {
        snapshot::EntrySpec spec;
        spec.type = FileType::Regular;
        spec.mode = 0644;
        spec.size = bytes.size();
        spec.content = codec::sha256(bytes);
        contents[spec.content] = bytes;
        builder.put(path, spec);
    }
    const auto after = builder.finish();
    layer::FormOptions options;
    options.form = form;
    Seekable made;
    const auto formed = layer::write_seekable(
        diff::compare(snapshot::TreeBuilder().finish(), after), after,
        [&](std::string_view, const snapshot::Entry& entry) -> codec::Source {
            return
                [text = contents.at(entry.content), at = std::size_t{0}](MutableBytes out) mutable {
                    const std::size_t count = std::min(out.size(), text.size() - at);
                    std::copy_n(as_bytes(text).begin() + static_cast<std::ptrdiff_t>(at), count,
                                out.begin());
                    at += count;
                    return count;
                };
        },
        options, [&](Bytes bytes) { made.bytes.append(as_text(bytes)); });
    made.layer = {std::string(oci::layer_media_type(layer::compression_of(form))),
                  formed.blob,
                  formed.blob_bytes,
                  formed.annotations,
                  {}};
    made.diff_id = formed.diff_id;
    return made;
}

TEST_F(LayerTest, LayersOfOtherProgramsAreReadWhereTheyLie) {
    for (const auto form :
         {layer::Form::ZstdChunked, layer::Form::ZstdStargz, layer::Form::EStargz}) {
        const auto made = seekable(form, {{"big", big_}, {"small", "small"}});
        Store store(root());
        store.put_blob(as_bytes(made.bytes));
        const auto toc = store.toc(made.layer, made.diff_id);
        EXPECT_NE(toc->coding, layer::FrameCoding::Frames);
        EXPECT_EQ(content(store, made.layer.digest, big_), big_);
        EXPECT_EQ(content(store, made.layer.digest, "small"), "small");
        EXPECT_EQ(twins_begun, 0);
        Store again(root());  // which knows that the table is true
        EXPECT_EQ(again.toc(made.layer, made.diff_id)->coding, toc->coding);
        EXPECT_THROW(Store(root()).toc(made.layer, codec::sha256("another")), Error);
    }
}

// Where the skippable frame of a zstd:chunked layer's table begins.
std::uint64_t table_at(const std::string& blob) {
    ByteReader reader(as_bytes(blob).last(64), "footer");
    return reader.u64() - 8;
}

TEST_F(LayerTest, ATableThatDiffersFromTheTarIsNotBelieved) {
    const auto honest =
        seekable(layer::Form::ZstdChunked, {{"a", "content"}, {"hidden", "content, too"}});
    const auto less = seekable(layer::Form::ZstdChunked, {{"a", "content"}});
    // The tar of one with the table of the other, its footer moved to where it is now.
    std::string lie = honest.bytes.substr(0, table_at(honest.bytes));
    const std::uint64_t moved = lie.size() - table_at(less.bytes);
    lie += less.bytes.substr(table_at(less.bytes));
    for (const std::size_t field : {lie.size() - 64, lie.size() - 32}) {
        ByteReader reader(as_bytes(lie).subspan(field, 8), "field");
        std::string value;
        put_little(value, reader.u64() + moved);
        lie.replace(field, 8, value);
    }
    Store store(root());
    oci::Descriptor layer;
    layer.digest = store.put_blob(as_bytes(lie));
    EXPECT_EQ(layer::read_layer_toc(store, layer)->entries.size(), 1u);
    EXPECT_EQ(store.toc(layer, honest.diff_id)->entries.size(), 2u);
    EXPECT_EQ(content(store, layer.digest, "content, too"), "content, too");
    EXPECT_EQ(twins_begun, 1);
}

TEST_F(LayerTest, WhatFollowsTheArchiveBelongsToTheDiffId) {
    // GNU tar pads archives to 10 KiB; the DiffID covers the padding.
    const std::string padded = tar_ + std::string(9 * 512, '\0');
    Store store(root());
    const auto layer =
        put_layer(store, compress(StreamFormat::Gzip, padded), oci::media::kLayerGzip);
    EXPECT_EQ(store.toc(layer, codec::sha256(padded))->tar_bytes, padded.size());
}

TEST_F(LayerTest, AWrongDiffIdIsCorruptAndNamesBoth) {
    Store store(root());
    const auto layer = put_layer(store, compress(StreamFormat::Gzip, tar_), oci::media::kLayerGzip);
    const Digest wrong = codec::sha256("wrong");
    const std::string text = error_of(ErrorKind::Corrupt, [&] { store.toc(layer, wrong); });
    for (const Digest& digest : {wrong, diff_id_, layer.digest})
        EXPECT_NE(text.find(digest.str()), std::string::npos) << text;
    EXPECT_FALSE(path_exists(twin_path(layer.digest)));
    // Also when the layer is known already: in memory, in the database, and by its twin alone.
    EXPECT_EQ(store.toc(layer, diff_id_)->entries.size(), 5u);
    error_of(ErrorKind::Corrupt, [&] { store.toc(layer, wrong); });
    {
        Store other(root());
        error_of(ErrorKind::Corrupt, [&] { other.toc(layer, wrong); });
    }
}

TEST_F(LayerTest, ADeletedDatabaseDoesNotMakeATwinTrusted) {
    oci::Descriptor layer;
    {
        Store store(root());
        layer = put_layer(store, compress(StreamFormat::Gzip, tar_), oci::media::kLayerGzip);
        store.toc(layer, diff_id_);
    }
    for (const char* name : {"/shale.db", "/shale.db-wal", "/shale.db-shm"})
        std::filesystem::remove(root() + name);
    Store store(root());
    error_of(ErrorKind::Corrupt, [&] { store.toc(layer, codec::sha256("wrong")); });
    EXPECT_EQ(store.toc(layer, diff_id_)->entries.size(), 5u);
    EXPECT_EQ(twins_begun, 1);
}

TEST_F(LayerTest, ADamagedForeignBlobIsReportedAsSuch) {
    Store store(root());
    const std::string blob = compress(StreamFormat::Gzip, tar_);
    const auto layer = put_layer(store, blob, oci::media::kLayerGzip);
    const std::string other = compress(StreamFormat::Gzip, make_tar({{"evil", "evil"}}));
    std::string flipped = blob;
    flipped[blob.size() / 2] = static_cast<char>(flipped[blob.size() / 2] ^ 1);
    // Readable but not what the digest says; broken in the middle; cut short.
    for (const std::string& damage : {other, flipped, blob.substr(0, blob.size() - 9)}) {
        write_file_atomic(store.blob_path(layer.digest), as_bytes(damage));
        Store fresh(root());
        oci::Descriptor unsized_layer = layer;
        unsized_layer.size = 0;
        const std::string text =
            error_of(ErrorKind::Corrupt, [&] { fresh.toc(unsized_layer, diff_id_); });
        EXPECT_NE(text.find("digest mismatch"), std::string::npos) << text;
        EXPECT_NE(text.find(layer.digest.str()), std::string::npos) << text;
        EXPECT_FALSE(fresh.has_blob(layer.digest)) << "it would stand in the way of the next pull";
    }
    EXPECT_EQ(names_in(root() + "/frames").size(), 0u);
}

TEST_F(LayerTest, WhatIsNoTarIsCorrupt) {
    Store store(root());
    for (const std::string& text : {std::string("not a tar at all"), noise(5000)}) {
        const auto layer = put_layer(store, text, oci::media::kLayerTar);
        const std::string message = error_of(ErrorKind::Corrupt, [&] { store.toc(layer); });
        EXPECT_NE(message.find(layer.digest.str()), std::string::npos) << message;
    }
}

TEST_F(LayerTest, ADamagedTwinIsMadeAgain) {
    oci::Descriptor layer;
    {
        Store store(root());
        layer = put_layer(store, compress(StreamFormat::Gzip, tar_), oci::media::kLayerGzip);
        store.toc(layer, diff_id_);
    }
    for (const std::uintmax_t bytes : {std::uintmax_t{0}, std::uintmax_t{1000},
                                       std::filesystem::file_size(twin_path(layer.digest)) - 1}) {
        std::filesystem::resize_file(twin_path(layer.digest), bytes);
        Store store(root());
        EXPECT_EQ(store.toc(layer, diff_id_)->entries.size(), 5u);
        EXPECT_EQ(content(store, layer.digest, big_), big_);
    }
}

TEST_F(LayerTest, UnknownMediaTypeIsUnsupported) {
    Store store(root());
    auto layer = put_layer(store, tar_, "application/vnd.oci.image.layer.v1.tar+encrypted");
    const std::string text = error_of(ErrorKind::Unsupported, [&] { store.toc(layer); });
    EXPECT_NE(text.find("tar+encrypted"), std::string::npos) << text;
    EXPECT_NE(text.find(layer.digest.str()), std::string::npos) << text;
}

TEST_F(LayerTest, ADescriptorWithAnotherSizeIsCorrupt) {
    Store store(root());
    auto layer = put_layer(store, tar_, oci::media::kLayerTar);
    layer.size += 1;
    error_of(ErrorKind::Corrupt, [&] { store.toc(layer); });
}

TEST_F(LayerTest, AnAbsentLayerIsNotFound) {
    Store store(root());
    oci::Descriptor layer;
    layer.digest = codec::sha256("absent");
    const std::string text = error_of(ErrorKind::NotFound, [&] { store.toc(layer); });
    EXPECT_NE(text.find(layer.digest.str()), std::string::npos) << text;
    error_of(ErrorKind::NotFound, [&] { store.content_index({layer.digest}); });
}

// ---------------------------------------------------------------------------------------------

TEST_F(LayerTest, AFramedLayerNeedsNoTwin) {
    Store store(root());
    const auto layer = put_layer(store, framed_blob(), oci::media::kLayerZstd);
    EXPECT_EQ(store.toc(layer)->entries.size(), 5u);
    EXPECT_EQ(store.toc(layer, diff_id_)->entries.size(), 5u);
    EXPECT_EQ(content(store, layer.digest, big_), big_);
    EXPECT_EQ(twins_begun, 0);
    error_of(ErrorKind::Corrupt, [&] { store.toc(layer, codec::sha256("wrong")); });
}

TEST_F(LayerTest, ALayerThatWeWroteNeedsNoTwinEither) {
    const TempDir directory;
    make_directories(directory.path() + "/bin");
    write_file_atomic(directory.path() + "/bin/big", as_bytes(big_));
    write_file_atomic(directory.path() + "/bin/small", as_bytes("small"));
    std::filesystem::create_hard_link(directory.path() + "/bin/big",
                                      directory.path() + "/bin/alias");
    std::filesystem::create_symlink("bin", directory.path() + "/link");
    const snapshot::Tree after = snapshot::scan(directory.path());
    const snapshot::Tree before = snapshot::TreeBuilder().finish();

    Store store(root());
    BlobWriter writer = store.new_blob();
    const layer::Written written = layer::write_layer(
        diff::compare(before, after), after, layer::content_from_directory(directory.path()), {},
        [&](Bytes bytes) { writer.write(bytes); });
    oci::Descriptor layer;
    layer.digest = writer.commit(written.blob);
    layer.media_type = oci::media::kLayerZstd;
    // As after a pull: nobody told the store the DiffID.
    EXPECT_EQ(store.toc(layer, written.diff_id)->entries.size(), written.toc.entries.size());
    EXPECT_EQ(content(store, layer.digest, big_), big_);
    EXPECT_EQ(twins_begun, 0);
}

// A blob whose table of contents is another one; the frames stay as they are.
std::string with_toc(const std::string& blob, const std::string& toc_json) {
    // Layout of the end (docs/formats/layer.md): TOC and footer in skippable frames, the footer
    // beginning with the TOC's offset, compressed size and size.
    constexpr std::size_t kFooterBytes = 64, kHeaderBytes = 8;
    std::string footer = blob.substr(blob.size() - kFooterBytes);
    std::uint64_t fields[3];
    std::memcpy(fields, footer.data(), sizeof fields);
    std::string packed;
    codec::FrameCompressor().compress(as_bytes(toc_json), packed);
    fields[1] = packed.size();
    fields[2] = toc_json.size();
    std::memcpy(footer.data(), fields, sizeof fields);
    std::string forged = blob.substr(0, fields[0] - kHeaderBytes);
    codec::append_skippable_frame(as_bytes(packed), forged);
    codec::append_skippable_frame(as_bytes(footer), forged);
    return forged;
}

TEST_F(LayerTest, ATableOfContentsThatLiesIsReplacedByATwin) {
    const std::string blob = framed_blob();
    layer::Toc honest;
    {
        Store store(root());
        honest = *store.toc(put_layer(store, blob, oci::media::kLayerZstd), diff_id_);
        EXPECT_EQ(with_toc(blob, layer::encode_toc(honest)), blob) << "the forger knows the format";
    }
    const auto change = [&](const std::function<void(layer::Toc&)>& edit) {
        layer::Toc toc = honest;
        edit(toc);
        return with_toc(blob, layer::encode_toc(toc));
    };
    struct Case {
        const char* name;
        std::string blob;
    };
    const Case kCases[] = {
        {"a content it does not hold",
         change([](auto& toc) { toc.entries.back().content = codec::sha256("evil"); })},
        {"another name", change([](auto& toc) { toc.entries.back().member.path = "bin/evil"; })},
        {"a set-user-id bit", change([](auto& toc) { toc.entries[1].member.mode |= 04000; })},
        {"a file left out", change([](auto& toc) { toc.entries.pop_back(); })},
        {"another place", change([](auto& toc) { toc.entries.back().content_offset -= 512; })},
        {"nonsense", with_toc(blob, "{\"nonsense\":")},
    };
    const auto expect_honest = [&](Store& store, const oci::Descriptor& layer) {
        const auto toc = store.toc(layer, diff_id_);
        ASSERT_EQ(toc->entries.size(), honest.entries.size());
        for (std::size_t i = 0; i < toc->entries.size(); ++i) {
            EXPECT_EQ(toc->entries[i].member.path, honest.entries[i].member.path);
            EXPECT_EQ(toc->entries[i].member.mode, honest.entries[i].member.mode);
            EXPECT_EQ(toc->entries[i].content, honest.entries[i].content);
        }
        EXPECT_EQ(content(store, layer.digest, big_), big_);
        EXPECT_EQ(content(store, layer.digest, "small"), "small");
        error_of(ErrorKind::Corrupt, [&] { store.toc(layer, codec::sha256("wrong")); });
    };
    for (const Case& test : kCases) {
        SCOPED_TRACE(test.name);
        std::filesystem::remove_all(root());
        twins_begun = 0;
        oci::Descriptor layer;
        {
            Store store(root());
            layer = put_layer(store, test.blob, oci::media::kLayerZstd);
            expect_honest(store, layer);
            EXPECT_EQ(twins_begun, 1);
        }
        // The liar is not believed later either, when its twin is gone and only the database is
        // left, whoever asks first: somebody who knows the DiffID or somebody who does not.
        std::filesystem::remove(twin_path(layer.digest));
        {
            Store store(root());
            expect_honest(store, layer);
        }
        std::filesystem::remove(twin_path(layer.digest));
        Store store(root());
        EXPECT_EQ(content(store, layer.digest, "small"), "small");
    }
}

TEST_F(LayerTest, TheContentIndexCoversAllSources) {
    Store store(root());
    const auto first =
        put_layer(store, make_tar({{"a", "one"}, {"b", "two"}}), oci::media::kLayerTar);
    const auto second =
        put_layer(store, make_tar({{"c", "two"}, {"d", "three"}}), oci::media::kLayerTar);
    const auto index = store.content_index({first.digest, second.digest});
    EXPECT_EQ(index.find(codec::sha256("one"))->blob, first.digest);
    EXPECT_EQ(index.find(codec::sha256("two"))->blob, first.digest);
    EXPECT_EQ(index.find(codec::sha256("three"))->blob, second.digest);
    EXPECT_FALSE(index.find(codec::sha256("four")));
}

TEST_F(LayerTest, ThreadsShareOneReframing) {
    Store store(root());
    const auto layer = put_layer(store, compress(StreamFormat::Gzip, tar_), oci::media::kLayerGzip);
    std::vector<std::shared_ptr<const layer::Toc>> tocs(8);
    {
        std::vector<std::jthread> threads;
        for (auto& toc : tocs)
            threads.emplace_back([&] { toc = store.toc(layer, diff_id_); });
    }
    for (const auto& toc : tocs)
        EXPECT_EQ(toc, tocs[0]);
    EXPECT_EQ(twins_begun, 1);
}

TEST_F(LayerTest, ThreadsAllLearnOfAFailure) {
    Store store(root());
    const auto layer = put_layer(store, "no tar", oci::media::kLayerTar);
    std::atomic<int> failures{0};
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 4; ++i)
            threads.emplace_back([&] {
                try {
                    store.toc(layer);
                } catch (const Error& error) {
                    if (error.kind() == ErrorKind::Corrupt) ++failures;
                }
            });
    }
    EXPECT_EQ(failures, 4);
}

TEST_F(LayerTest, ProcessesMayReframeTheSameLayerAtOnce) {
    oci::Descriptor layer;
    {
        Store store(root());
        layer = put_layer(store, compress(StreamFormat::Gzip, tar_), oci::media::kLayerGzip);
    }
    std::vector<pid_t> children;
    for (int i = 0; i < 4; ++i) {
        const pid_t child = ::fork();
        if (child == 0) {
            try {
                Store store(root());
                store.toc(layer, diff_id_);
                ::_exit(content(store, layer.digest, big_) == big_ ? 0 : 2);
            } catch (const std::exception& error) {
                std::fprintf(stderr, "child: %s\n", error.what());
                ::_exit(1);
            }
        }
        children.push_back(child);
    }
    for (const pid_t child : children) {
        int status = -1;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        EXPECT_TRUE(exited_cleanly(status));
    }
    EXPECT_EQ(names_in(root() + "/frames"), std::vector<std::string>{layer.digest.hex()});
}

}  // namespace
}  // namespace shale::store::test
