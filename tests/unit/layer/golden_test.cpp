// Blobs that earlier versions and other programs wrote: they stay readable, and ours stay what the
// writer writes. Where the writer's bytes are to change, the format document's version changes with
// them, the old blob stays under its version, and SHALE_ACCEPT=1 writes the new one.
#include "layers.hpp"

#include <shale/codec_state.hpp>
#include <shale/layer_form.hpp>

#include <cstdlib>

namespace shale::layer {
namespace {

using namespace testing;

constexpr std::int64_t kTime = 1'700'000'000'000'000'000;
// Stands for the distribution, zlib's version included: another one may compress otherwise.
constexpr std::uint32_t kZstdOfGoldens = 10504;

struct Expected {
    Contents contents;
    snapshot::Tree tree;
};

snapshot::EntrySpec directory_spec() {
    snapshot::EntrySpec spec;
    spec.type = FileType::Directory;
    spec.mode = 0755;
    spec.mtime_ns = kTime;
    return spec;
}

snapshot::EntrySpec dated_file(Contents& contents, std::string bytes) {
    auto spec = file_spec(contents, std::move(bytes));
    spec.mtime_ns = kTime;
    return spec;
}

// What all of the blobs hold.
Expected expected() {
    Contents contents;
    snapshot::TreeBuilder builder;
    builder.put("", directory_spec());
    constexpr std::uint64_t kGroup = 1;
    auto shared = dated_file(contents, "x\n" + std::string(3000, '\0') + "y\n");
    shared.link_group = kGroup;
    builder.put("b", shared);
    builder.put("l", shared);
    builder.put("d", directory_spec());
    builder.put("d/a", dated_file(contents, "hello\n"));
    return {std::move(contents), builder.finish()};
}

std::string path_of(const std::string& name) {
    return std::string(SHALE_GOLDEN_LAYERS "/") + name;
}

std::string unpacked(const std::string& blob) {
    codec::StreamDecompressor stream(codec::sniff(as_bytes(blob)), source_of(blob), UINT64_MAX);
    return drain([&](MutableBytes out) { return stream.read(out); });
}

TEST(GoldenLayers, StayReadable) {
    const auto wanted = expected();
    for (const std::string name :
         {"framed-1.tar.zst", "framed-2.tar.zst", "zstd-chunked.tar.zst", "zstd-stargz.tar.zst",
          "estargz.tar.gz", "skopeo-1.9.3.tar.zst", "stargz-0.12.0.tar.zst"}) {
        MemoryBlobs blobs;
        oci::Descriptor layer;
        layer.digest = blobs.put(read_file(path_of(name)));
        const auto toc = read_layer_toc(blobs, layer);
        ASSERT_TRUE(toc) << name;
        const auto merged = merge(snapshot::TreeBuilder().finish(), *toc);
        snapshot::TreeBuilder builder(merged);
        for (const std::string added : {".no.prefetch.landmark", "stargz.index.json"})
            if (merged.find(added) != snapshot::kNoNode) builder.remove(added);
        EXPECT_EQ(describe(builder.finish()), describe(wanted.tree)) << name;
        ContentIndex index;
        index.add(layer.digest, *toc);
        ContentReader reader(std::move(index), blobs);
        for (const std::string path : {"b", "d/a"}) {
            const Digest content = wanted.tree.entry(wanted.tree.find(path)).content;
            EXPECT_EQ(drain(reader.open(content)), wanted.contents.at(content)) << name;
        }
    }
}

std::string written_as(Form form, const Expected& wanted) {
    const auto before = snapshot::TreeBuilder().finish();
    if (form == Form::Zstd) return write(before, wanted.tree, wanted.contents).blob;
    FormOptions options;
    options.form = form;
    std::string bytes;
    write_seekable(diff::compare(before, wanted.tree), wanted.tree, wanted.contents.opener(),
                   options, [&](Bytes piece) { bytes.append(as_text(piece)); });
    return bytes;
}

TEST(GoldenLayers, AreWhatTheWriterWrites) {
    const auto wanted = expected();
    const std::pair<Form, std::string> goldens[] = {{Form::Zstd, "framed-2.tar.zst"},
                                                    {Form::ZstdChunked, "zstd-chunked.tar.zst"},
                                                    {Form::ZstdStargz, "zstd-stargz.tar.zst"},
                                                    {Form::EStargz, "estargz.tar.gz"}};
    for (const auto& [form, name] : goldens) {
        const std::string now = written_as(form, wanted);
        if (std::getenv("SHALE_ACCEPT") != nullptr) {
            write_file_atomic(path_of(name), as_bytes(now));
            continue;
        }
        const std::string golden = read_file(path_of(name));
        // An estargz holds places in its compressed self.
        if (form != Form::EStargz) {
            EXPECT_EQ(unpacked(now), unpacked(golden)) << name;
        }
        if (codec::zstd_version() == kZstdOfGoldens) {
            EXPECT_EQ(now, golden) << name;
        }
    }
    if (std::getenv("SHALE_ACCEPT") != nullptr) GTEST_SKIP() << "accepted";
}

}  // namespace
}  // namespace shale::layer
