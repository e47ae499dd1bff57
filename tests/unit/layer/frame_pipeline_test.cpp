// How many frames are compressed at a time: as many as there are processors for, and memory.
#include "frame_pipeline.hpp"
#include "layers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

namespace shale::layer {
namespace {

using namespace testing;

WriteOptions options(unsigned threads, int level, std::uint64_t mebibytes) {
    WriteOptions options;
    options.threads = threads;
    options.level = level;
    options.memory_bytes = mebibytes << 20;
    return options;
}

unsigned count(unsigned threads, int level, std::uint64_t mebibytes) {
    return compressor_count(options(threads, level, mebibytes), FrameCodec::Zstd);
}

TEST(FramePipeline, AsManyCompressAsFitIntoMemory) {
    EXPECT_EQ(count(2, 3, 256), 2u);
    EXPECT_EQ(count(2, 22, 256), 2u);
    EXPECT_EQ(count(8, 3, 256), 8u);
    EXPECT_NEAR(count(64, 3, 256), 17, 1);  // as docs/resources.md says
    EXPECT_NEAR(count(64, 19, 256), 3, 1);
    EXPECT_EQ(count(64, 3, 4096), 64u);
    EXPECT_EQ(count(1000, -7, 1 << 20), 64u);
    EXPECT_EQ(compressor_count(options(3, 6, 256), FrameCodec::Gzip), 3u);
}

TEST(FramePipeline, OneCompressesHoweverLittleMemoryThereIs) {
    EXPECT_EQ(count(8, 22, 0), 1u);
    EXPECT_EQ(count(8, 3, 41), 1u);
    EXPECT_EQ(compressor_count(options(8, 9, 1), FrameCodec::Gzip), 1u);
}

TEST(FramePipeline, WithoutANumberThereIsOneForEachProcessor) {
    EXPECT_EQ(count(0, 3, 1 << 20), std::clamp(std::thread::hardware_concurrency(), 1u, 64u));
}

TEST(FramePipeline, MemoryChangesNothingAboutTheBytes) {
    std::string content;
    for (int i = 0; i < 300'000; ++i)
        content += codec::sha256(std::to_string(i)).hex().substr(0, 8);
    Contents contents;
    snapshot::TreeBuilder builder;
    builder.put("large", file_spec(contents, content));
    builder.put("small", file_spec(contents, "text"));
    const auto tree = builder.finish();
    const auto empty = snapshot::TreeBuilder().finish();
    std::vector<std::string> blobs;
    for (const std::uint64_t mebibytes : {1, 256}) {
        blobs.emplace_back();
        write_layer(diff::compare(empty, tree), tree, contents.opener(), options(4, 3, mebibytes),
                    [&](Bytes bytes) { blobs.back().append(as_text(bytes)); });
    }
    EXPECT_EQ(blobs[0], blobs[1]);
}

// Which of the two it is depends on the processor; both must find what is wrong.
TEST(FramePipeline, WhoeverHashesContentsFindsTheOneThatIsOther) {
    const std::string text = "first" + std::string(70'000, 'x') + "last";
    for (const auto by : {ContentsBy::Finisher, ContentsBy::Compressors})
        for (const std::size_t wrong : {0, 1, 2, 3}) {
            std::vector<snapshot::NodeId> told;
            const codec::Sink nowhere = [](Bytes) {};
            FramePipeline pipeline(
                options(2, 1, 256), nowhere, FrameCodec::Zstd,
                [&](const JobContent& content, const Digest& found) {
                    told.push_back(content.node);
                    EXPECT_NE(found, content.expected);
                    fail(ErrorKind::Corrupt, "other");
                },
                by);
            FrameJob* const job = pipeline.acquire();
            const MutableBytes room = job->raw.room(text.size());
            std::copy(as_bytes(text).begin(), as_bytes(text).end(), room.begin());
            job->raw.commit(text.size());
            const std::size_t ends[] = {5, text.size() - 4, text.size()};
            std::size_t at = 0;
            for (snapshot::NodeId node = 0; node < 3; at = ends[node++]) {
                auto expected = codec::sha256(as_bytes(text).subspan(at, ends[node] - at));
                if (node == wrong) expected.bytes[0] ^= 1;
                job->contents.push_back({at, ends[node] - at, node, expected});
            }
            pipeline.submit(job);
            if (wrong == 3) {
                EXPECT_EQ(pipeline.finish().tar_bytes, text.size());
            } else {
                EXPECT_THROW(pipeline.finish(), Error);
            }
            EXPECT_EQ(told, wrong == 3 ? std::vector<snapshot::NodeId>()
                                       : std::vector<snapshot::NodeId>{
                                             static_cast<snapshot::NodeId>(wrong)});
        }
}

}  // namespace
}  // namespace shale::layer
