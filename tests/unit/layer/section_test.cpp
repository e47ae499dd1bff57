// Layers that take over whole sections of earlier ones: which they are, and that the blob is the
// one a cold build gives.
#include "memory_frames.hpp"
#include "section.hpp"
#include "trees.hpp"

#include <fmt/format.h>

namespace shale::layer {
namespace {

using namespace testing;
using snapshot::Tree;
using snapshot::TreeBuilder;

constexpr std::uint32_t kFrameBytes = 4096;  // a section has some 100 members then

Result rewrite(const Tree& before, const Tree& after, const Contents& contents, FrameStore* store,
               std::uint32_t frame_bytes = kFrameBytes) {
    WriteOptions options;
    options.frame_bytes = frame_bytes;
    options.keep_entries = false;
    Result result;
    result.layer = rewrite_layer(diff::compare(before, after, {.whole_subtrees = true}), after,
                                 contents.opener(), options, store,
                                 [&](Bytes bytes) { result.blob.append(as_text(bytes)); });
    return result;
}

// Both are the layer that knows nothing of earlier ones and is told of every node apart.
void expect_cold(const Result& result, const Tree& before, const Tree& after,
                 const Contents& contents, std::uint32_t frame_bytes = kFrameBytes) {
    WriteOptions options;
    options.frame_bytes = frame_bytes;
    const Layer cold = write(before, after, contents, options);
    ASSERT_EQ(result.layer.written.blob, cold.written.blob);
    EXPECT_EQ(result.blob, cold.blob);
    EXPECT_EQ(result.layer.written.diff_id, cold.written.diff_id);
    EXPECT_EQ(as_text(result.layer.contents->bytes()),
              as_text(ContentTable(cold.written.toc).bytes()));
}

class Sections : public ::testing::Test {
  protected:
    Sections() {
        for (int directory = 0; directory < 40; ++directory)
            for (int file = 0; file < 25; ++file)
                put(name(directory, file), "content " + name(directory, file));
    }
    static std::string name(int directory, int file) {
        return "src/pkg" + std::to_string(directory) + "/lib/f" + std::to_string(file) + ".js";
    }
    void put(const std::string& path, std::string bytes) {
        builder_->put(path, file_spec(contents_, std::move(bytes)));
    }
    // The layer of the tree as it is, made with what earlier ones left behind.
    Result rebuild() {
        trees_.push_back(std::make_unique<Tree>(builder_->finish()));
        const Tree& after = *trees_.back();
        builder_.emplace(after);
        Result result = rewrite(empty_, after, contents_, &frames_);
        expect_cold(result, empty_, after, contents_);
        return result;
    }
    // With everything remembered, and nothing changed: how many members can be taken over at most.
    std::uint64_t remember() {
        frames_.put(rebuild());
        return rebuild().stats().members_reused;
    }

    const Tree empty_ = TreeBuilder().finish();
    Contents contents_;
    std::vector<std::unique_ptr<Tree>> trees_;
    std::optional<TreeBuilder> builder_{std::in_place};
    MemoryFrames frames_;
};

TEST_F(Sections, AllButTheLastAreTakenOver) {
    EXPECT_EQ(rebuild().stats().members_reused, 0u);
    const auto reused = remember();
    EXPECT_GT(frames_.sections().size(), 5u);
    EXPECT_GT(reused, 900u);  // of 1081
    const Result again = rebuild();
    EXPECT_EQ(again.stats().files_opened, 0u);
    EXPECT_EQ(again.stats().bytes_compressed, 0u);
}

TEST_F(Sections, EditCostsItsSectionAndThoseOfTheDirectoriesAbove) {
    const auto all = remember();
    put(name(20, 3), "edited");
    const auto reused = rebuild().stats().members_reused;
    EXPECT_LT(reused, all);
    EXPECT_GT(reused + 300, all);
    // Taken back, all are there again.
    put(name(20, 3), "content " + name(20, 3));
    EXPECT_EQ(rebuild().stats().members_reused, all);
}

// What a section's members say does not tell where they are.
TEST_F(Sections, SameSectionElsewhereIsAnother) {
    remember();
    TreeBuilder moved;
    const Tree& tree = *trees_.back();
    moved.put_subtree("src2", tree, tree.find("src"));
    const Tree after = moved.finish();
    const Result result = rewrite(empty_, after, contents_, &frames_);
    EXPECT_EQ(result.stats().members_reused, 0u);
    expect_cold(result, empty_, after, contents_);
}

// The last group of a section ends where the member behind it says so.
TEST_F(Sections, OtherMemberBehindASectionIsNoticed) {
    const auto all = remember();
    for (int directory = 10; directory < 40; ++directory)  // 7 to 9 are the last in the layer
        for (int file = directory % 4; file < 25; file += 7) {
            builder_->remove(name(directory, file));
            EXPECT_LT(rebuild().stats().members_reused, all);
            put(name(directory, file), "content " + name(directory, file));
        }
}

// The same path and the same bytes of tar, and yet the rules for groups see another member: behind
// a file, a directory begins something.
TEST_F(Sections, DirectoryThatBecomesALinkBehindASectionIsNoticed) {
    for (const char* prefix : {"a", "b", "c"}) {
        const auto name = [&](int i) { return fmt::format("{}/e{:03}", prefix, i); };
        TreeBuilder builder;
        for (int i = 0; i < 600; ++i)  // one header each
            builder.put(name(i), i % 2 ? snapshot::EntrySpec() : file_spec(contents_, ""));
        const Tree tree = builder.finish();
        MemoryFrames frames;
        frames.put(rewrite(empty_, tree, contents_, &frames));
        ASSERT_GT(frames.sections().size(), 2u);
        for (int i = 1; i < 600; i += 2) {
            TreeBuilder edited(tree);
            edited.put(name(i), link_spec("x"));
            const Tree after = edited.finish();
            const Result result = rewrite(empty_, after, contents_, &frames);
            expect_cold(result, empty_, after, contents_);
            if (HasFatalFailure()) FAIL() << name(i);
        }
    }
}

TEST_F(Sections, LargeContentsAndHardLinksAreAsEver) {
    put("src/pkg7/big.bin", std::string(100'000, 'b'));
    auto link = file_spec(contents_, "linked");
    link.link_group = 7;
    builder_->put(name(30, 4), link);
    builder_->put(name(33, 4), link);
    const auto all = remember();
    EXPECT_GT(all, 600u);
    put(name(3, 3), "edited");
    EXPECT_GT(rebuild().stats().members_reused, 0u);
    builder_->remove(name(30, 4));  // the other is a file of its own now
    EXPECT_GT(rebuild().stats().members_reused, 0u);
}

TEST_F(Sections, FramesThatAreGoneAreMadeOfTheirNodes) {
    remember();
    std::mt19937_64 random(1);
    for (const std::uint64_t one_of : {2u, 3u, 10u, 1000u}) {
        frames_.forget_frames(random, one_of);
        put(name(20, 3), "edit " + std::to_string(one_of));
        const Result result = rebuild();
        EXPECT_GT(result.stats().files_opened, 0u);
        EXPECT_LE(result.stats().files_opened, 1000u);
    }
}

TEST_F(Sections, UnreadableStoreIsAsGoodAsNone) {
    remember();
    frames_.is_damaged = true;
    EXPECT_EQ(rebuild().stats().members_reused, 0u);
}

// Rows that say something untrue, which nothing but a fault of ours could have written: what can be
// seen is seen before it is believed, and the rest before a frame is made of it.
TEST_F(Sections, UntrueRowsGiveNoOtherLayer) {
    remember();
    auto untrue = frames_.sections();
    for (auto& [key, section] : untrue)
        section.gap_behind += 512;
    frames_.sections().swap(untrue);
    EXPECT_EQ(rebuild().stats().members_reused, 0u);
    frames_.sections().swap(untrue);

    untrue = frames_.sections();
    for (auto& [key, section] : untrue)
        section.groups.insert(section.groups.begin(), {Digest(), 0, 0, true});
    frames_.sections().swap(untrue);
    EXPECT_EQ(rebuild().stats().members_reused, 0u);
    frames_.sections().swap(untrue);

    untrue = frames_.sections();
    for (auto& [key, section] : untrue)
        section.groups.back().ends_in_large = true;
    frames_.sections().swap(untrue);
    EXPECT_EQ(rebuild().stats().members_reused, 0u);
    frames_.sections().swap(untrue);

    for (auto& [key, section] : frames_.sections())
        section.groups.front().key = codec::sha256("of no frame");
    EXPECT_THROW(rebuild(), DamagedFrame);
}

// Pieces of the table are bytes that nothing reads on their way; one that was no frame when it was
// stored would be in every later layer.
TEST_F(Sections, DamagedTablesAreMadeAgain) {
    remember();
    frames_.corrupt();
    frames_.vouch_for_all();
    frames_.forget_data();
    EXPECT_EQ(rebuild().stats().members_reused, 0u);
}

TEST_F(Sections, KeptEntriesAreWhole) {
    remember();
    const Tree& tree = *trees_.back();
    WriteOptions options;
    options.frame_bytes = kFrameBytes;
    const auto again = rewrite_layer(diff::compare(empty_, tree), tree, contents_.opener(), options,
                                     &frames_, [](Bytes) {});
    EXPECT_EQ(again.stats.members_reused, 0u);
    EXPECT_EQ(again.written.toc.entries.size(), tree.size() - 1);
}

// A layer over something, edited again and again: whiteouts, types that change, links, odd names.
TEST(SectionReuse, LawTheBlobIsThatOfAColdBuild) {
    std::uint64_t reused = 0;
    for (unsigned seed = 0; seed < 15; ++seed) {
        Contents contents;
        TreeGenerator generator(seed, contents, {.devices = true});
        TreeBuilder below;
        generator.fill(below, 40);
        const Tree before = below.finish();
        MemoryFrames frames;
        std::vector<std::unique_ptr<Tree>> trees;
        trees.push_back(std::make_unique<Tree>(Tree(before.shared_data())));
        for (int generation = 0; generation < 6; ++generation) {
            TreeBuilder builder(*trees.back());
            if (generation == 0) generator.fill(builder, 1500);
            generator.edit(builder, generation == 0 ? 20 : 3);
            trees.push_back(std::make_unique<Tree>(builder.finish()));
            const Tree& after = *trees.back();
            const std::uint32_t frame_bytes = seed % 2 == 0 ? 300 : 1000;
            const Result result = rewrite(before, after, contents, &frames, frame_bytes);
            expect_cold(result, before, after, contents, frame_bytes);
            if (HasFatalFailure()) FAIL() << "seed " << seed << ", generation " << generation;
            reused += result.stats().members_reused;
            frames.put(result);
        }
    }
    EXPECT_GT(reused, 1000u);
}

// Two trees whose nodes differ in one thing have other sections.
TEST(NodesDigest, CoversEverythingOfANode) {
    Contents contents;
    const auto digest_with = [&](auto&& edit) {
        TreeBuilder builder;
        auto spec = file_spec(contents, "text");
        spec.mtime_ns = 1'000'000'000;
        builder.put("d/e/a", spec);
        builder.put("d/e/b", spec);
        builder.put("d/f", spec);
        edit(builder);
        const Tree tree = builder.finish();
        // From "d/e/a" on: within a directory, and beyond it.
        return nodes_digest(tree, 3, static_cast<snapshot::NodeId>(tree.size()));
    };
    std::set<Digest> seen;
    const auto expect_new = [&](const char* what, auto&& edit) {
        EXPECT_TRUE(seen.insert(digest_with(edit)).second) << what;
    };
    const auto changed = [&](const char* path, auto&& change) {
        return [path, change](TreeBuilder& builder) {
            auto spec = *builder.get(path);
            change(spec);
            builder.put(path, spec);
        };
    };
    using Spec = snapshot::EntrySpec;
    expect_new("as it is", [](TreeBuilder&) {});
    for (const char* path : {"d/e/a", "d/e/b", "d/f"}) {
        expect_new("mode", changed(path, [](Spec& spec) { spec.mode = 0600; }));
        expect_new("owner", changed(path, [](Spec& spec) { spec.uid = 1; }));
        expect_new("group", changed(path, [](Spec& spec) { spec.gid = 1; }));
        expect_new("time", changed(path, [](Spec& spec) { ++spec.mtime_ns; }));
        expect_new("xattr", changed(path, [](Spec& spec) { spec.xattrs = {{"user.a", "b"}}; }));
        expect_new("content",
                   changed(path, [&](Spec& spec) { spec.content = contents.put("tex2"); }));
    }
    expect_new("name", [&](TreeBuilder& builder) {
        builder.put("d/g", *builder.get("d/f"));
        builder.remove("d/f");
    });
    expect_new("place", [&](TreeBuilder& builder) {  // the same nodes, one level further down
        builder.put("d/e/f", *builder.get("d/f"));
        builder.remove("d/f");
    });
    expect_new("more", [&](TreeBuilder& builder) { builder.put("d/h", *builder.get("d/f")); });
}

// A directory whose nodes are not all in the range is stated by itself.
TEST(NodesDigest, CoversDirectoriesThatGoOnBehindTheRange) {
    const auto digest_with = [&](auto&& change) {
        TreeBuilder builder;
        snapshot::EntrySpec directory;
        directory.mtime_ns = 5;
        change(directory);
        builder.put("d", directory);
        builder.put("d/a", {});
        builder.put("d/b", {});
        return nodes_digest(builder.finish(), 1, 3);  // d and d/a
    };
    using Spec = snapshot::EntrySpec;
    std::set<Digest> seen;
    EXPECT_TRUE(seen.insert(digest_with([](Spec&) {})).second);
    EXPECT_TRUE(seen.insert(digest_with([](Spec& d) { d.mode = 0700; })).second);
    EXPECT_TRUE(seen.insert(digest_with([](Spec& d) { d.uid = 7; })).second);
    EXPECT_TRUE(seen.insert(digest_with([](Spec& d) { d.gid = 7; })).second);
    EXPECT_TRUE(seen.insert(digest_with([](Spec& d) { d.mtime_ns = 6; })).second);
    EXPECT_TRUE(seen.insert(digest_with([](Spec& d) { d.xattrs = {{"user.a", ""}}; })).second);
    EXPECT_TRUE(seen.insert(digest_with([](Spec& d) { d.xattrs = {{"user.", "a"}}; })).second);
}

}  // namespace
}  // namespace shale::layer
