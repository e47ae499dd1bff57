// Other tools work on the store in place: skopeo and umoci address its tags, read its images, and
// write their own without disturbing ours. The commands are those of docs/formats/store.md.
#include <shale/codec.hpp>
#include <shale/store.hpp>
#include <shale/tar.hpp>

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace shale::store {
namespace {

bool installed(const std::string& tool) {
    return std::system(("command -v " + tool + " >/dev/null 2>&1").c_str()) == 0;
}

class StoreLayout : public ::testing::Test {
  protected:
    std::string root() const { return join_path(directory_.path(), "store"); }
    std::string out(const std::string& name) const { return join_path(directory_.path(), name); }

    // Runs a command in a shell; the output of a failure becomes the message.
    ::testing::AssertionResult run(const std::string& command) {
        const std::string log = out("log");
        if (std::system(("{ " + command + "; } >" + log + " 2>&1").c_str()) == 0)
            return ::testing::AssertionSuccess();
        return ::testing::AssertionFailure() << command << "\n" << read_file(log);
    }
    std::string output() const { return read_file(out("log")); }

    oci::Descriptor put(Store& store, const std::string& bytes, std::string_view media_type) {
        oci::Descriptor blob;
        blob.media_type = media_type;
        blob.digest = store.put_blob(as_bytes(bytes));
        blob.size = bytes.size();
        return blob;
    }
    // One layer with one file, compressed as told, tagged.
    oci::Descriptor put_image(Store& store, const std::string& name, const std::string& text,
                              codec::StreamFormat format, std::string_view media_type) {
        tar::Member member;
        member.path = "hello";
        member.mode = 0644;
        member.size = text.size();
        std::string tar = tar::encode_header(member) + text;
        tar.append(tar::padding(text.size()) + tar::kTrailerBytes, '\0');
        std::string compressed;
        codec::StreamCompressor stream(format, 3,
                                       [&](Bytes bytes) { compressed.append(as_text(bytes)); });
        stream.write(as_bytes(tar));
        stream.finish();

        oci::ImageConfig config;
        config.platform = oci::Platform::host();
        config.config.cmd = std::vector<std::string>{"/hello"};
        config.diff_ids = {codec::sha256(tar)};
        oci::Manifest manifest;
        manifest.layers = {put(store, compressed, media_type)};
        manifest.config = put(store, oci::encode(config), oci::media::kConfig);
        const auto descriptor = put(store, oci::encode(manifest), oci::media::kManifest);
        store.tag(oci::Reference::parse(name), descriptor);
        return descriptor;
    }
    oci::Descriptor put_gzip_image(Store& store, const std::string& name, const std::string& text) {
        return put_image(store, name, text, codec::StreamFormat::Gzip, oci::media::kLayerGzip);
    }
    // The one file of an image, through our own eyes.
    std::string hello_of(Store& store, const std::string& name) {
        const auto descriptor = store.resolve(oci::Reference::parse(name));
        if (!descriptor) return "no such image";
        const oci::Manifest manifest = store.manifest(*descriptor);
        const ImageTree image = store.image_tree(manifest, store.config(manifest));
        const auto node = image.tree->find("hello");
        if (node == snapshot::kNoNode) return "no such file";
        const snapshot::Entry entry = image.tree->entry(node);
        layer::ContentReader reader(store.content_index(image.sources), store.framed());
        std::string text(entry.size, '\0');
        text.resize(reader.read(entry.content, 0, std::as_writable_bytes(std::span(text))));
        return text;
    }

  private:
    TempDir directory_;
};

const char* const kNames[] = {"app:prod", "ghcr.io/me/my-app:v1.2_3", "localhost:5000/a/b:1"};

TEST_F(StoreLayout, SkopeoReadsEveryTag) {
    if (!installed("skopeo")) GTEST_SKIP() << "skopeo is not installed";
    Store store(root());
    for (const std::string name : kNames) {
        const auto manifest = put_gzip_image(store, name, "I am " + name);
        ASSERT_TRUE(run("skopeo --insecure-policy inspect --raw oci:" + root() + ":" + name));
        EXPECT_EQ(codec::sha256(output()), manifest.digest);
        std::filesystem::remove_all(out("copy"));
        ASSERT_TRUE(run("skopeo --insecure-policy copy oci:" + root() + ":" + name +
                        " dir:" + out("copy")));
        EXPECT_EQ(codec::sha256(read_file(out("copy/manifest.json"))), manifest.digest);
    }
}

TEST_F(StoreLayout, SkopeoDecompressesZstdLayers) {
    if (!installed("skopeo")) GTEST_SKIP() << "skopeo is not installed";
    Store store(root());
    const auto descriptor =
        put_image(store, "app:prod", "hello", codec::StreamFormat::Zstd, oci::media::kLayerZstd);
    ASSERT_TRUE(run("skopeo --insecure-policy copy --dest-decompress oci:" + root() +
                    ":app:prod dir:" + out("copy")));
    const Digest diff_id = store.config(store.manifest(descriptor)).diff_ids[0];
    ASSERT_TRUE(path_exists(out("copy/" + diff_id.hex())));
    EXPECT_EQ(codec::sha256(read_file(out("copy/" + diff_id.hex()))), diff_id);
}

TEST_F(StoreLayout, SkopeoWritesIntoItAndOursStays) {
    if (!installed("skopeo")) GTEST_SKIP() << "skopeo is not installed";
    Store store(root());
    put_gzip_image(store, "ours:1", "first");
    put_gzip_image(store, "ours:2", "second");
    ASSERT_TRUE(
        run("skopeo --insecure-policy copy oci:" + root() + ":ours:1 oci:" + root() + ":theirs:1"));
    // Replaces a tag of ours, as a pull by skopeo would.
    ASSERT_TRUE(
        run("skopeo --insecure-policy copy oci:" + root() + ":ours:1 oci:" + root() + ":ours:2"));
    EXPECT_EQ(hello_of(store, "theirs:1"), "first");
    EXPECT_EQ(hello_of(store, "ours:1"), "first");
    EXPECT_EQ(hello_of(store, "ours:2"), "first");
    EXPECT_EQ(store.images().size(), 3u);
    put_gzip_image(store, "theirs:1", "mine now");
    EXPECT_EQ(hello_of(store, "theirs:1"), "mine now");
    EXPECT_EQ(store.images().size(), 3u);
}

TEST_F(StoreLayout, UmociListsAndUnpacksEveryTag) {
    if (!installed("umoci")) GTEST_SKIP() << "umoci is not installed";
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to unpack with owners";
    Store store(root());
    for (const std::string name : kNames)
        put_gzip_image(store, name, "I am " + name);
    ASSERT_TRUE(run("umoci ls --layout " + root()));
    for (const std::string name : kNames) {
        EXPECT_NE(("\n" + output()).find("\n" + name + "\n"), std::string::npos) << output();
    }
    for (const std::string name : kNames) {
        std::filesystem::remove_all(out("bundle"));
        ASSERT_TRUE(run("umoci unpack --image " + root() + ":" + name + " " + out("bundle")));
        EXPECT_EQ(read_file(out("bundle/rootfs/hello")), "I am " + name);
    }
}

TEST_F(StoreLayout, UmociTagsAndRepacksIntoIt) {
    if (!installed("umoci")) GTEST_SKIP() << "umoci is not installed";
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to unpack with owners";
    Store store(root());
    put_gzip_image(store, "ours:1", "first");
    ASSERT_TRUE(run("umoci tag --image " + root() + ":ours:1 alias:2"));
    EXPECT_EQ(hello_of(store, "alias:2"), "first");

    ASSERT_TRUE(run("umoci unpack --image " + root() + ":ours:1 " + out("bundle")));
    write_file_atomic(out("bundle/rootfs/hello"), as_bytes("repacked"));
    ASSERT_TRUE(run("umoci repack --image " + root() + ":repacked:1 " + out("bundle")));
    EXPECT_EQ(hello_of(store, "repacked:1"), "repacked");
    EXPECT_EQ(hello_of(store, "ours:1"), "first");

    ASSERT_TRUE(run("umoci rm --image " + root() + ":alias:2"));
    EXPECT_EQ(hello_of(store, "alias:2"), "no such image");
    EXPECT_EQ(store.images().size(), 2u);
}

// umoci removes every blob that no tag needs, the build cache's layers among them. That costs time
// and nothing else.
TEST_F(StoreLayout, UmociGcCostsOnlyTheCache) {
    if (!installed("umoci")) GTEST_SKIP() << "umoci is not installed";
    const Digest key = codec::sha256("key");
    Store store(root());
    put_gzip_image(store, "ours:1", "first");
    StepRecord record;
    record.tree = store.put_tree(snapshot::TreeBuilder().finish());
    record.sources = {store.put_blob(as_bytes("a layer that only the cache knows"))};
    store.put_step(key, record);
    ASSERT_TRUE(store.find_step(key));
    ASSERT_TRUE(run("umoci gc --layout " + root()));
    EXPECT_EQ(hello_of(store, "ours:1"), "first");
    EXPECT_FALSE(store.find_step(key));
    Store again(root());
    EXPECT_EQ(hello_of(again, "ours:1"), "first");
}

// buildah makes the path of the layout into an image name, which must be lower case.
struct LowerCaseDirectory {
    LowerCaseDirectory() : path("/tmp/shale-layout-" + std::to_string(::getpid())) {
        make_directories(path, 0700);
    }
    ~LowerCaseDirectory() { remove_tree(path); }
    std::string path;
};

TEST_F(StoreLayout, BuildahPullsFromIt) {
    if (!installed("buildah") || !installed("skopeo"))
        GTEST_SKIP() << "buildah or skopeo is not installed";
    if (::geteuid() != 0) GTEST_SKIP() << "needs root for a storage of its own";
    const LowerCaseDirectory directory;
    Store store(directory.path);
    put_image(store, "app:prod", "hello", codec::StreamFormat::Zstd, oci::media::kLayerZstd);
    write_file_atomic(out("policy.json"),
                      as_bytes(R"({"default":[{"type":"insecureAcceptAnything"}]})"));
    const std::string buildah =
        "buildah --storage-driver vfs --root " + out("images") + " --runroot " + out("run") + " ";
    ASSERT_TRUE(run(buildah + "pull --signature-policy " + out("policy.json") +
                    " oci:" + directory.path + ":app:prod"));
    ASSERT_TRUE(run(buildah + "images --format '{{.Name}}'"));
    EXPECT_NE(output().find("localhost" + directory.path), std::string::npos) << output();
    // skopeo puts it into the same storage under its own name.
    ASSERT_TRUE(run("skopeo --insecure-policy copy oci:" + directory.path +
                    ":app:prod containers-storage:[vfs@" + out("images") + "+" + out("run") +
                    "]app:prod"));
    ASSERT_TRUE(run(buildah + "images --format '{{.Name}}:{{.Tag}}'"));
    EXPECT_NE(output().find("/app:prod"), std::string::npos) << output();
}

}  // namespace
}  // namespace shale::store
