// The forms of other programs: the same tar in each, on any number of threads, at the level asked
// for.
#include "rolling_chunker.hpp"
#include "trees.hpp"

#include <shale/gzip_member.hpp>
#include <shale/layer_form.hpp>

#include <gmock/gmock.h>

#include <map>

namespace shale::layer {
namespace {

using namespace testing;
using ::testing::HasSubstr;

struct Change {
    snapshot::Tree before, after;
};

Change generated(unsigned seed, Contents& contents) {
    TreeGenerator generator(seed, contents, {.devices = true, .binary_names = false});
    snapshot::TreeBuilder first;
    generator.fill(first, 40);
    auto before = first.finish();
    snapshot::TreeBuilder second(before);
    generator.edit(second, 15);
    std::string sparse(300'000, '\0');
    sparse.replace(100'000, 6, "middle");
    second.put("sparse", file_spec(contents, sparse));
    auto after = second.finish();  // reads `before`
    return {std::move(before), std::move(after)};
}

FormOptions of(Form wanted) {
    FormOptions options;
    options.form = wanted;
    return options;
}

struct Blob {
    Formed formed;
    std::string bytes;
};

Blob form(const Change& change, const Contents& contents, const FormOptions& options) {
    Blob blob;
    blob.formed =
        write_seekable(diff::compare(change.before, change.after), change.after, contents.opener(),
                       options, [&](Bytes bytes) { blob.bytes.append(as_text(bytes)); });
    return blob;
}

std::string unpack(const std::string& blob) {
    codec::StreamDecompressor stream(codec::sniff(as_bytes(blob)), source_of(blob), UINT64_MAX);
    return drain([&](MutableBytes out) { return stream.read(out); });
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

// What the descriptors of each say, by the names of the annotations.
const std::map<Form, std::vector<std::string>> kZstdDialects = {
    {Form::ZstdChunked,
     {"io.containers.zstd-chunked.manifest-checksum",
      "io.containers.zstd-chunked.manifest-position",
      "io.github.containers.zstd-chunked.manifest-checksum",
      "io.github.containers.zstd-chunked.manifest-position",
      "io.github.containers.zstd-chunked.tarsplit-position"}},
    // Nothing by which a current podman would take it for its own.
    {Form::ZstdStargz,
     {"containerd.io/snapshot/stargz/toc.digest", "io.containers.zstd-chunked.manifest-checksum",
      "io.containers.zstd-chunked.manifest-position"}}};

TEST(Seekable, LawZstdDialectsHoldTheTarOfTheFramedLayer) {
    for (unsigned seed = 0; seed < 40; ++seed) {
        Contents contents;
        const auto change = generated(seed, contents);
        const auto framed = write(change.before, change.after, contents);
        for (const auto& [dialect, keys] : kZstdDialects) {
            const auto layer = form(change, contents, of(dialect));
            ASSERT_EQ(layer.formed.diff_id, framed.written.diff_id) << "seed " << seed;
            ASSERT_EQ(layer.formed.tar_bytes, framed.written.toc.tar_bytes);
            ASSERT_EQ(layer.formed.blob, codec::sha256(layer.bytes));
            ASSERT_EQ(layer.formed.blob_bytes, layer.bytes.size());
            ASSERT_EQ(codec::sha256(unpack(layer.bytes)), framed.written.diff_id);
            std::vector<std::string> stated;
            for (const auto& [key, value] : layer.formed.annotations)
                stated.push_back(key);
            ASSERT_EQ(stated, keys);
        }
    }
}

TEST(Seekable, LawConvertingGivesWhatWritingGives) {
    for (const Form wanted : {Form::ZstdChunked, Form::ZstdStargz, Form::EStargz}) {
        Contents contents;
        const auto change = generated(7, contents);
        const auto framed = write(change.before, change.after, contents);
        std::string converted;
        const auto formed = write_seekable(
            framed.written.toc.entries,
            [&](const TocEntry& entry) { return source_of(contents.at(entry.content), 1000); },
            of(wanted), [&](Bytes bytes) { converted.append(as_text(bytes)); });
        EXPECT_EQ(converted, form(change, contents, of(wanted)).bytes);
        EXPECT_EQ(formed.blob, codec::sha256(converted));
    }
}

TEST(Seekable, EStargzAddsItsLandmarkAndItsTable) {
    Contents contents;
    snapshot::TreeBuilder builder;
    builder.put("etc/passwd", file_spec(contents, "root:x:0:0\n"));
    builder.put("stargz.index.json", file_spec(contents, "of an earlier conversion"));
    const Change change{snapshot::TreeBuilder().finish(), builder.finish()};
    const auto blob = form(change, contents, of(Form::EStargz));
    const std::string tar_bytes = unpack(blob.bytes);
    EXPECT_EQ(blob.formed.diff_id, codec::sha256(tar_bytes));
    EXPECT_EQ(blob.formed.tar_bytes, tar_bytes.size());
    tar::Reader reader(source_of(tar_bytes), "estargz");
    std::vector<std::string> paths;
    while (const auto member = reader.next())
        paths.push_back(member->path);
    EXPECT_THAT(paths, ::testing::ElementsAre(".no.prefetch.landmark", "etc", "etc/passwd",
                                              "stargz.index.json"));
    EXPECT_EQ(blob.formed.annotations.at("io.containers.estargz.uncompressed-size"),
              std::to_string(tar_bytes.size()));
}

TEST(Seekable, BytesDependOnNothingButMembersFormAndLevel) {
    Contents contents;
    const auto change = generated(3, contents);
    for (const Form wanted : {Form::ZstdChunked, Form::ZstdStargz, Form::EStargz})
        for (const int level : {1, 9}) {
            const auto one = form(change, contents, {wanted, level, 1});
            EXPECT_EQ(one.bytes, form(change, contents, {wanted, level, 5}).bytes);
            EXPECT_NE(one.bytes, form(change, contents, {wanted, level - 1, 1}).bytes);
        }
}

TEST(Seekable, NamesThatTheTablesCannotHoldAreRefused) {
    Contents contents;
    snapshot::TreeBuilder builder;
    builder.put("caf\xe9", file_spec(contents, "latin-1"));
    const Change change{snapshot::TreeBuilder().finish(), builder.finish()};
    for (const Form wanted : {Form::ZstdChunked, Form::ZstdStargz, Form::EStargz})
        EXPECT_THAT(refusal([&] { form(change, contents, of(wanted)); }),
                    HasSubstr("a name that is not UTF-8"));
}

TEST(Seekable, ContentsAreTheOnesNamedOrNothingIsWritten) {
    Contents contents;
    snapshot::TreeBuilder builder;
    builder.put("file", file_spec(contents, std::string(100'000, 'x')));
    const auto after = builder.finish();
    const auto changes = diff::compare(snapshot::TreeBuilder().finish(), after);
    const auto attempt = [&](std::string given) {
        return refusal([&] {
            write_seekable(
                changes, after,
                [&](std::string_view, const snapshot::Entry&) { return source_of(given); },
                of(Form::ZstdChunked), [](Bytes) {});
        });
    };
    EXPECT_THAT(attempt(std::string(99'999, 'x')), HasSubstr("'file'"));
    EXPECT_THAT(attempt(std::string(100'001, 'x')), HasSubstr("longer than 100000"));
    EXPECT_THAT(attempt(std::string(100'000, 'y')), HasSubstr("where"));
}

TEST(Forms, EachLevelOfTheTrueRangeIsTakenAndNoOther) {
    std::string tar_bytes;
    for (int i = 0; i < 20'000; ++i)
        tar_bytes += std::to_string(i * 7919 % 10'007) + " ";
    const auto compressed = [&](Form wanted, int level) {
        std::string out;
        const auto formed = compress_tar(source_of(tar_bytes), "tar", {wanted, level, 2},
                                         [&](Bytes bytes) { out.append(as_text(bytes)); });
        EXPECT_EQ(unpack(out), tar_bytes);
        EXPECT_EQ(formed.blob, codec::sha256(out));
        EXPECT_EQ(formed.diff_id, codec::sha256(tar_bytes));
        return out;
    };
    for (const int level : {-7, -1, 0, 1, 19, 22})
        compressed(Form::ZstdPlain, level);
    EXPECT_EQ(compressed(Form::ZstdPlain, 0), compressed(Form::ZstdPlain, 3));
    EXPECT_GT(compressed(Form::ZstdPlain, -7).size(), compressed(Form::ZstdPlain, 1).size());
    EXPECT_GT(compressed(Form::Gzip, 0).size(), tar_bytes.size());
    EXPECT_GT(compressed(Form::Gzip, 1).size(), compressed(Form::Gzip, 9).size());
    for (const auto& [wanted, level] :
         {std::pair{Form::ZstdPlain, -8}, {Form::Zstd, 23}, {Form::Gzip, -1}, {Form::EStargz, 10}})
        EXPECT_THAT(refusal([&, w = wanted, l = level] { checked_level(w, l); }),
                    HasSubstr("unsupported compression-level: " + std::to_string(level)));
    EXPECT_THAT(refusal([] { checked_level(Form::Uncompressed, 1); }), HasSubstr("no compression"));
}

TEST(Forms, NamesAreReadAsTheyAreWritten) {
    for (const Form known : {Form::Uncompressed, Form::Gzip, Form::EStargz, Form::Zstd,
                             Form::ZstdPlain, Form::ZstdChunked, Form::ZstdStargz})
        EXPECT_EQ(parse_form(form_name(known)), known);
    EXPECT_THAT(
        refusal([] { parse_form("lz4"); }),
        HasSubstr("uncompressed, gzip, estargz, zstd, zstd-plain, zstd:chunked, zstd:stargz"));
}

std::vector<RollingChunker::Chunk> chunks_of(const std::string& content, std::size_t piece) {
    RollingChunker chunker;
    std::vector<RollingChunker::Chunk> chunks;
    for (Bytes rest = as_bytes(content); !rest.empty();) {
        const auto now = rest.first(std::min(piece, rest.size()));
        chunker.take(now, chunks);
        rest = rest.subspan(now.size());
    }
    chunker.finish(chunks);
    return chunks;
}

TEST(RollingChunks, CoverTheContentHoweverItArrives) {
    std::mt19937_64 random(1);
    for (int round = 0; round < 20; ++round) {
        std::string content;
        while (content.size() < 400'000)
            if (random() % 3 == 0)
                content.append(random() % 3000, '\0');
            else
                content.push_back(static_cast<char>(random()));
        const auto whole = chunks_of(content, SIZE_MAX), pieces = chunks_of(content, 777);
        ASSERT_EQ(whole.size(), pieces.size());
        std::size_t at = 0;
        for (std::size_t i = 0; i < whole.size(); ++i) {
            ASSERT_EQ(whole[i].bytes, pieces[i].bytes);
            const auto bytes = content.substr(at, whole[i].bytes);
            ASSERT_EQ(whole[i].zeros, bytes.size() >= RollingChunker::kLeastZeros &&
                                          bytes == std::string(bytes.size(), '\0'));
            at += bytes.size();
        }
        ASSERT_EQ(at, content.size());
    }
}

TEST(RollingChunks, NoneIsLongerThanMemoryAllows) {
    const std::size_t most = RollingChunker::kMostBytes;
    for (const char byte : {'\0', '\x01'}) {
        const auto chunks = chunks_of(std::string(3 * most + 5, byte), 100'000);
        std::uint64_t total = 0;
        for (const auto& chunk : chunks) {
            EXPECT_LE(chunk.bytes, most);
            EXPECT_EQ(chunk.zeros, byte == '\0');
            total += chunk.bytes;
        }
        EXPECT_EQ(total, 3 * most + 5);
    }
}

TEST(Crc64, IsTheOneOfIso) {
    const std::string text = "123456789";
    EXPECT_EQ(codec::crc64_iso(0, as_bytes(text)), 0xb90956c775a41001u);
    const auto first = codec::crc64_iso(0, as_bytes(text).first(4));
    EXPECT_EQ(codec::crc64_iso(first, as_bytes(text).subspan(4)), 0xb90956c775a41001u);
}

}  // namespace
}  // namespace shale::layer
