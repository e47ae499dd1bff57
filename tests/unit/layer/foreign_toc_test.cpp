// Tables of contents of other programs: read, believed as far as their digests go, and bounded.
#include "foreign_toc.hpp"
#include "trees.hpp"

#include <shale/gzip_member.hpp>

#include <gmock/gmock.h>

namespace shale::layer {
namespace {

using namespace testing;
using ::testing::HasSubstr;

constexpr Form kForms[] = {Form::ZstdChunked, Form::ZstdStargz, Form::EStargz};

struct Written {
    oci::Descriptor layer;
    std::string bytes;
};

Written write_as(Form form, const snapshot::Tree& before, const snapshot::Tree& after,
                 const Contents& contents) {
    Written written;
    FormOptions options;
    options.form = form;
    const auto formed =
        write_seekable(diff::compare(before, after), after, contents.opener(), options,
                       [&](Bytes bytes) { written.bytes.append(as_text(bytes)); });
    written.layer.digest = formed.blob;
    written.layer.size = formed.blob_bytes;
    written.layer.annotations = formed.annotations;
    return written;
}

template <typename Body>
std::string refusal(const Body& body) {
    try {
        body();
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

std::string read_all(MemoryBlobs& blobs, const Digest& blob, const Toc& toc,
                     const Digest& content) {
    ContentIndex index;
    index.add(blob, toc);
    ContentReader reader(std::move(index), blobs);
    return drain(reader.open(content), 1000);
}

TEST(ForeignToc, LawItSaysWhatOurOwnSays) {
    for (unsigned seed = 0; seed < 30; ++seed) {
        Contents contents;
        TreeGenerator generator(seed, contents, {.devices = true, .binary_names = false});
        snapshot::TreeBuilder first;
        generator.fill(first, 30);
        const auto before = first.finish();
        snapshot::TreeBuilder second(before);
        generator.edit(second, 20);
        second.put("holes", file_spec(contents, "x" + std::string(50'000, '\0') + "y"));
        const auto after = second.finish();
        for (const Form form : kForms) {
            MemoryBlobs blobs;
            const auto written = write_as(form, before, after, contents);
            blobs.put(written.bytes);
            const auto toc = read_layer_toc(blobs, written.layer);
            ASSERT_TRUE(toc);
            auto merged = merge(before, *toc);
            if (form == Form::EStargz) {
                snapshot::TreeBuilder stripped(merged);
                stripped.remove(".no.prefetch.landmark");
                stripped.remove("stargz.index.json");
                auto tree = stripped.finish();
                merged = std::move(tree);
            }
            ASSERT_EQ(describe(merged), describe(after)) << "seed " << seed;
            for (const TocEntry& entry : toc->entries) {
                if (entry.member.size == 0) continue;
                const auto read = read_all(blobs, written.layer.digest, *toc, entry.content);
                ASSERT_EQ(codec::sha256(read), entry.content);
            }
            ASSERT_EQ(codec::sha256(drain(tar_stream(blobs, written.layer.digest, *toc))),
                      codec::sha256([&] {
                          codec::StreamDecompressor stream(codec::sniff(as_bytes(written.bytes)),
                                                           source_of(written.bytes), UINT64_MAX);
                          return drain([&](MutableBytes out) { return stream.read(out); });
                      }()));
        }
    }
}

snapshot::Tree one_file(Contents& contents) {
    snapshot::TreeBuilder builder;
    builder.put("file", file_spec(contents, "some content of a file"));
    return builder.finish();
}

TEST(ForeignToc, AnnotationsMustAgree) {
    Contents contents;
    for (const Form form : kForms) {
        MemoryBlobs blobs;
        auto written =
            write_as(form, snapshot::TreeBuilder().finish(), one_file(contents), contents);
        blobs.put(written.bytes);
        auto& stated =
            form == Form::EStargz
                ? written.layer.annotations["containerd.io/snapshot/stargz/toc.digest"]
                : written.layer.annotations["io.containers.zstd-chunked.manifest-checksum"];
        EXPECT_TRUE(read_layer_toc(blobs, written.layer));
        stated = codec::sha256("another").str();
        EXPECT_THAT(refusal([&] { read_layer_toc(blobs, written.layer); }),
                    HasSubstr("its annotation says " + stated));
        written.layer.annotations.clear();
        EXPECT_TRUE(read_layer_toc(blobs, written.layer));
    }
}

TEST(ForeignToc, EveryDamagedByteOfAContentIsFoundOut) {
    Contents contents;
    const auto tree = one_file(contents);
    const Digest content = codec::sha256("some content of a file");
    for (const Form form : kForms) {
        const auto written = write_as(form, snapshot::TreeBuilder().finish(), tree, contents);
        MemoryBlobs blobs;
        blobs.put(written.bytes);
        const auto toc = read_layer_toc(blobs, written.layer);
        const Frame& piece = toc->frames[form == Form::EStargz ? 1 : 0];  // behind the landmark's
        for (std::uint64_t at = piece.blob_offset; at < piece.blob_offset + 20; ++at) {
            auto damaged = written.bytes;
            damaged[at] = static_cast<char>(damaged[at] ^ 0x55);
            blobs.put_as(written.layer.digest, damaged);
            std::string read;
            const auto why =
                refusal([&] { read = read_all(blobs, written.layer.digest, *toc, content); });
            // Some bits of a header mean nothing; what is given is right all the same.
            EXPECT_TRUE(!why.empty() || read == contents.at(content)) << at;
        }
    }
}

const Digest kHello = codec::sha256("hello"), kWorld = codec::sha256("world");

// A table with the file entries given, over a blob whose contents end at 1000.
Toc decode(const std::string& entries, FrameCoding coding = FrameCoding::GzipPieces) {
    ForeignTable table;
    table.coding = coding;
    table.data_end = 1000;
    return decode_foreign_toc(table, {"{\"version\":1,\"entries\":[" + entries + "]}", {}, 0});
}

std::string file(const std::string& name, std::uint64_t size, const Digest& digest,
                 const std::string& rest) {
    return R"({"type":"reg","name":")" + name + R"(","size":)" + std::to_string(size) +
           R"(,"digest":")" + digest.str() + "\"" + rest + "}";
}

TEST(ForeignToc, SeveralContentsOfOnePieceAreReadOutOfIt) {
    std::string blob;
    codec::GzipMemberCompressor(6).compress(as_bytes(std::string("..hello...world..")), blob);
    MemoryBlobs blobs;
    const Digest name = blobs.put(blob + std::string(1000, '\0'));
    const auto toc = decode(file("./a", 5, kHello, R"(,"offset":0,"innerOffset":2)") + "," +
                            file("/b", 5, kWorld, R"(,"offset":0,"innerOffset":10)"));
    EXPECT_EQ(toc.entries[0].member.path, "a");
    EXPECT_EQ(toc.entries[1].member.path, "b");
    EXPECT_EQ(read_all(blobs, name, toc, kHello), "hello");
    EXPECT_EQ(read_all(blobs, name, toc, kWorld), "world");
}

TEST(ForeignToc, WhatIsOnlyInOtherDialectsIsUnderstood) {
    const auto toc =
        decode(R"({"type":"dir","name":"etc","mode":16877,"modtime":"0001-01-01T00:00:00Z"},)" +
               file("etc/x", 5, kHello, R"(,"mode":33188,"offset":7,"uname":"root","NumLink":0)") +
               R"(,{"type":"hardlink","name":"y","linkName":"./etc/x"})");
    EXPECT_EQ(toc.entries[0].member.mode, 0755u);
    EXPECT_EQ(toc.entries[0].member.mtime_ns, 0);
    EXPECT_EQ(toc.entries[1].member.mode, 0644u);
    EXPECT_EQ(toc.entries[2].member.link_target, "etc/x");
}

TEST(ForeignToc, ImpossibleTablesAreRefused) {
    const std::string chunk = R"("type":"chunk","name":"a")";
    const std::vector<std::pair<std::string, std::string>> cases = {
        {file("a", 5, kHello, R"(,"offset":1000)"), "outside the data"},
        {file("a", 5, kHello, R"(,"offset":18446744073709551615)"), "outside the data"},
        {file("../a", 5, kHello, R"(,"offset":0)"), "impossible path"},
        {file("a", 5, Digest(), R"(,"offset":0)"), "has no digest"},
        {file("a", 5, kHello, R"(,"offset":0,"chunkSize":3)"), "without a digest"},
        {file("a", 9, kHello,
              R"(,"offset":0,"chunkSize":3,"chunkDigest":")" + kWorld.str() + "\"") +
             ",{" + chunk + R"(,"offset":9,"chunkOffset":4,"chunkDigest":")" + kWorld.str() + "\"}",
         "do not follow one another"},
        {file("a", 5, kHello, R"(,"offset":0)") + ",{" + chunk + R"(,"offset":9,"chunkOffset":5})",
         "do not follow one another"},
        {file("b", 5, kHello, R"(,"offset":0)") + ",{" + chunk + R"(,"offset":9,"chunkOffset":5})",
         "chunk of another file"},
        {"{" + chunk + R"(,"offset":9})", "chunk of another file"},
        {file("a", 1ull << 40, kHello, R"(,"offset":0)"), "too large"},
        {file("a", 5, kHello, R"(,"offset":0,"innerOffset":99999999999)"), "too large"},
    };
    for (const auto& [entries, why] : cases)
        EXPECT_THAT(refusal([&, e = entries] { decode(e); }), HasSubstr(why)) << entries;
}

TEST(ForeignToc, FootersThatPointElsewhereAreRefused) {
    Contents contents;
    const auto written =
        write_as(Form::ZstdChunked, snapshot::TreeBuilder().finish(), one_file(contents), contents);
    for (std::size_t at = written.bytes.size() - 64; at < written.bytes.size() - 8; at += 8) {
        auto damaged = written.bytes;
        damaged[at + 7] = '\x7f';
        MemoryBlobs blobs;
        auto layer = written.layer;
        layer.annotations.clear();
        layer.digest = blobs.put(damaged);
        // The last three name the tar-split, which is not read.
        const bool is_read = at < written.bytes.size() - 32;
        EXPECT_EQ(refusal([&] { read_layer_toc(blobs, layer); }).empty(), !is_read) << at;
    }
}

}  // namespace
}  // namespace shale::layer
