// write_layer: the blob is an ordinary layer, the same on any number of threads, and turns the tree
// before into the tree after.
#include "trees.hpp"

#include <set>

namespace shale::layer {
namespace {

using namespace testing;

snapshot::Tree empty_tree() {
    return snapshot::TreeBuilder().finish();
}

std::string listing(const std::string& tar_bytes) {
    tar::Reader reader(source_of(tar_bytes), "layer");
    std::string out;
    while (const auto member = reader.next()) {
        out += member->path;
        if (member->type == tar::MemberType::Directory) out += "/";
        if (!member->link_target.empty()) out += " -> " + member->link_target;
        out += "\n";
    }
    return out;
}

// A program that unpacks each layer by itself must not have to make up a directory, and some take
// no path twice.
std::string first_out_of_place(const Toc& toc) {
    std::set<std::string> directories = {""}, stated;
    for (const TocEntry& entry : toc.entries) {
        const std::string& path = entry.member.path;
        const auto slash = path.rfind('/');
        const auto parent = slash == std::string::npos ? "" : path.substr(0, slash);
        if (!directories.contains(parent) || !stated.insert(path).second) return path;
        if (entry.member.type == tar::MemberType::Directory) directories.insert(path);
    }
    return "";
}

snapshot::EntrySpec directory_spec() {
    snapshot::EntrySpec spec;
    spec.type = FileType::Directory;
    spec.mode = 0755;
    return spec;
}

TEST(WriteLayer, BlobIsAPlainTarWithTheStatedDigests) {
    Contents contents;
    snapshot::TreeBuilder builder;
    builder.put("etc/passwd", file_spec(contents, "root:x:0:0\n"));
    builder.put("bin", link_spec("usr/bin"));
    const auto after = builder.finish();
    const auto layer = write(empty_tree(), after, contents);
    const auto tar_bytes = plain_tar(layer.blob);
    EXPECT_EQ(codec::sha256(layer.blob), layer.written.blob);
    EXPECT_EQ(layer.blob.size(), layer.written.blob_bytes);
    EXPECT_EQ(codec::sha256(tar_bytes), layer.written.diff_id);
    EXPECT_EQ(tar_bytes.size(), layer.written.toc.tar_bytes);
    EXPECT_EQ(tar_bytes.substr(tar_bytes.size() - 1024), std::string(1024, '\0'));
    EXPECT_EQ(listing(tar_bytes), "bin -> usr/bin\netc/\netc/passwd\n");
}

TEST(WriteLayer, EmptyChangeListIsAnEmptyArchive) {
    Contents contents;
    const auto tree = empty_tree();
    const auto layer = write(tree, tree, contents);
    EXPECT_EQ(plain_tar(layer.blob), std::string(1024, '\0'));
    EXPECT_TRUE(layer.written.toc.entries.empty());
}

TEST(WriteLayer, LawApplyingTheDifferenceGivesAfter) {
    for (unsigned seed = 0; seed < 150; ++seed) {
        Contents contents;
        TreeGenerator generator(seed, contents, {.devices = true});
        snapshot::TreeBuilder first;
        generator.fill(first, 40);
        const auto before = first.finish();
        snapshot::TreeBuilder second(before);
        generator.edit(second, 15);
        const auto after = second.finish();
        WriteOptions options;
        options.frame_bytes = 4096;
        const auto layer = write(before, after, contents, options);
        const auto merged = merge(before, layer.written.toc);
        ASSERT_EQ(describe(merged), describe(after)) << "seed " << seed;
        ASSERT_EQ(merged.digest(), after.digest()) << "seed " << seed;
        ASSERT_EQ(first_out_of_place(layer.written.toc), "") << "seed " << seed;
    }
}

TEST(WriteLayer, StatesTheDirectoriesAboveAChangeAsTheyAre) {
    Contents contents;
    snapshot::TreeBuilder first;
    first.put("etc/passwd", file_spec(contents, "root:x:0:0\n"));
    auto home = directory_spec();
    home.mode = 0700;
    home.uid = home.gid = 1000;
    home.mtime_ns = 981173106'000000000;
    first.put("home/app", home);
    first.put("home/app/a/b/profile", file_spec(contents, "old"));
    first.put("home/app/a/b/gone", file_spec(contents, "old"));
    first.put("home/app/a/c/kept", file_spec(contents, "kept"));
    first.put("home/emptied/file", file_spec(contents, "old"));
    first.put("home/other/file", file_spec(contents, "kept"));
    const auto before = first.finish();
    snapshot::TreeBuilder second(before);
    second.put("home/app/a/b/profile", file_spec(contents, "new"));
    second.remove("home/app/a/b/gone");
    second.put("home/app/a/c/new/deep/file", file_spec(contents, "new"));
    second.put("home/app/z", file_spec(contents, "new"));
    second.put("home/emptied", home);
    second.remove("home/emptied/file");
    const auto layer = write(before, second.finish(), contents);
    EXPECT_EQ(listing(plain_tar(layer.blob)),
              "home/\nhome/app/\nhome/app/a/\nhome/app/a/b/\nhome/app/a/b/.wh.gone\n"
              "home/app/a/b/profile\nhome/app/a/c/\nhome/app/a/c/new/\nhome/app/a/c/new/deep/\n"
              "home/app/a/c/new/deep/file\nhome/app/z\nhome/emptied/\nhome/emptied/.wh.file\n");
    EXPECT_EQ(entry_spec(layer.written.toc.entries[1]), home);
}

// Its text is compressed in pieces while the layer is written.
TEST(Write, ATableOfContentsOfManyMegabytesIsReadBack) {
    constexpr int kFiles = 30'000;
    Contents contents;
    snapshot::TreeBuilder builder;
    for (int i = 0; i < kFiles; ++i)
        builder.put(std::string(180, 'n') + std::to_string(i),
                    file_spec(contents, std::to_string(i)));
    const auto layer = write(snapshot::TreeBuilder().finish(), builder.finish(), contents);
    ASSERT_GT(encode_toc(layer.written.toc).size(), 8u << 20) << "several pieces";
    MemoryBlobs blobs;
    const auto toc = read_toc(blobs, blobs.put(layer.blob));
    ASSERT_TRUE(toc);
    ASSERT_EQ(toc->entries.size(), layer.written.toc.entries.size());
    EXPECT_EQ(encode_toc(*toc), encode_toc(layer.written.toc));
    plain_tar(layer.blob);  // still one archive
}

// A layer that said something else than its tree would be a wrong image that builds go on with.
TEST(Write, FilesThatChangedSinceTheScanAreRefusedByName) {
    const std::string large(5 << 20, 'l');
    const auto changed_at = [](std::string text, std::size_t at) {
        text[at] ^= 1;
        return text;
    };
    const std::pair<std::string, std::string> cases[] = {
        {"few bytes", "few bytex"},
        {"few bytes", "few byte"},
        {"few bytes", "few bytes!"},
        {"few bytes", ""},
        {large, changed_at(large, 0)},
        {large, changed_at(large, large.size() / 2)},
        {large, changed_at(large, large.size() - 1)},
        {large, large.substr(1)},
        {large, large + "!"},
    };
    for (const auto& [was, is] : cases) {
        Contents contents;
        snapshot::TreeBuilder builder;
        builder.put("a", file_spec(contents, "before"));
        builder.put("changed", file_spec(contents, was));
        builder.put("z", file_spec(contents, "behind"));
        contents.change(codec::sha256(was), is);
        std::string message;
        try {
            write(empty_tree(), builder.finish(), contents);
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::Corrupt);
            message = error.what();
        }
        EXPECT_TRUE(message.starts_with("'changed' is not the file that was scanned"))
            << was.size() << " bytes: " << message;
    }
}

TEST(Write, EntriesAreKeptOnRequestOnly) {
    Contents contents;
    snapshot::TreeBuilder builder;
    builder.put("f", file_spec(contents, "bytes"));
    WriteOptions options;
    options.keep_entries = false;
    const auto brief = write(snapshot::TreeBuilder().finish(), builder.finish(), contents, options);
    builder.put("f", file_spec(contents, "bytes"));
    const auto full = write(snapshot::TreeBuilder().finish(), builder.finish(), contents);
    EXPECT_EQ(brief.blob, full.blob);
    EXPECT_TRUE(brief.written.toc.entries.empty());
    EXPECT_EQ(full.written.toc.entries.size(), 1u);
    EXPECT_EQ(brief.written.toc.frames.size(), full.written.toc.frames.size());
}

}  // namespace
}  // namespace shale::layer
