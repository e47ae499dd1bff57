// index.json: names, other tools' entries, concurrent writers.
#include "index_file.hpp"
#include "store_fixture.hpp"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

namespace shale::store::test {
namespace {

oci::Reference named(std::string_view text) {
    return oci::Reference::parse(text);
}

class TagTest : public StoreTest {
  protected:
    void SetUp() override {
        Store store(root());
        manifest_ = put_image(store, {}, {}).descriptor;
    }
    void write_index(const std::string& text) {
        write_file_atomic(root() + "/index.json", as_bytes(text));
    }
    std::string index() { return read_file(root() + "/index.json"); }
    // An entry as another tool writes it.
    std::string entry(const std::string& annotations) {
        return R"({"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":")" +
               manifest_.digest.str() + R"(","size":)" + std::to_string(manifest_.size) +
               R"(,"annotations":{)" + annotations + "}}";
    }
    oci::Descriptor manifest_;
};

TEST_F(TagTest, ResolvesToWhatWasTagged) {
    Store store(root());
    manifest_.annotations["org.opencontainers.image.created"] = "2026-01-02T03:04:05Z";
    manifest_.platform = oci::Platform::parse("linux/arm64/v8");
    store.tag(named("app:prod"), manifest_);
    const auto found = Store(root()).resolve(named("docker.io/library/app:prod"));
    ASSERT_TRUE(found);
    EXPECT_EQ(found->digest, manifest_.digest);
    EXPECT_EQ(found->size, manifest_.size);
    EXPECT_EQ(found->media_type, manifest_.media_type);
    EXPECT_EQ(found->annotations, manifest_.annotations);
    EXPECT_EQ(found->platform, manifest_.platform);
    EXPECT_FALSE(store.resolve(named("app:dev")));
}

TEST_F(TagTest, IsAnAnnotatedDescriptorForOtherTools) {
    Store store(root());
    store.tag(named("app:prod"), manifest_);
    store.tag(named("ghcr.io/me/app:1"), manifest_);
    const oci::Index parsed = oci::decode_index(index());
    ASSERT_EQ(parsed.manifests.size(), 2u);
    const auto& first = parsed.manifests[0].annotations;
    EXPECT_EQ(first.at("org.opencontainers.image.ref.name"), "app:prod");
    EXPECT_EQ(first.at("io.containerd.image.name"), "docker.io/library/app:prod");
    const auto& second = parsed.manifests[1].annotations;
    EXPECT_EQ(second.at("org.opencontainers.image.ref.name"), "ghcr.io/me/app:1");
}

TEST_F(TagTest, RetaggingReplacesInPlace) {
    Store store(root());
    const auto other = put_image_of_tars(store, {make_tar({{"a", "1"}})}).descriptor;
    store.tag(named("a:1"), manifest_);
    store.tag(named("b:1"), manifest_);
    store.tag(named("a:1"), other);
    EXPECT_EQ(store.resolve(named("a:1"))->digest, other.digest);
    EXPECT_EQ(store.resolve(named("b:1"))->digest, manifest_.digest);
    const oci::Index parsed = oci::decode_index(index());
    ASSERT_EQ(parsed.manifests.size(), 2u);
    EXPECT_EQ(parsed.manifests[0].digest, other.digest);
}

TEST_F(TagTest, RetaggingTheSameLeavesTheFileAlone) {
    Store store(root());
    store.tag(named("a:1"), manifest_);
    struct stat before {
    }, after{};
    ASSERT_EQ(::stat((root() + "/index.json").c_str(), &before), 0);
    store.tag(named("a:1"), manifest_);
    ASSERT_EQ(::stat((root() + "/index.json").c_str(), &after), 0);
    EXPECT_EQ(before.st_ino, after.st_ino);
    EXPECT_EQ(store.images().size(), 1u);
}

TEST_F(TagTest, UntagTellsWhetherThereWasOne) {
    Store store(root());
    store.tag(named("a:1"), manifest_);
    EXPECT_TRUE(store.untag(named("a:1")));
    EXPECT_FALSE(store.untag(named("a:1")));
    EXPECT_FALSE(store.resolve(named("a:1")));
    EXPECT_TRUE(store.has_blob(manifest_.digest));
}

TEST_F(TagTest, AnUnnamedImageIsKeptUntilItIsForgotten) {
    Store store(root());
    manifest_.annotations["k"] = "v";
    store.keep(manifest_);
    store.keep(manifest_);
    const auto kept = Store(root()).unnamed();
    ASSERT_EQ(kept.size(), 1u);
    EXPECT_EQ(kept[0].digest, manifest_.digest);
    EXPECT_EQ(kept[0].annotations, manifest_.annotations);
    EXPECT_TRUE(store.images().empty());
    EXPECT_EQ(oci::decode_index(index()).manifests.at(0).digest, manifest_.digest);
    EXPECT_FALSE(store.forget(codec::sha256("another")));
    EXPECT_TRUE(store.forget(manifest_.digest));
    EXPECT_FALSE(store.forget(manifest_.digest));
    EXPECT_TRUE(store.unnamed().empty());
}

TEST_F(TagTest, ANameTakesTheUnnamedImageOver) {
    Store store(root());
    const auto other = put_image_of_tars(store, {make_tar({{"a", "1"}})}).descriptor;
    store.tag(named("before:1"), other);
    store.keep(manifest_);
    store.tag(named("after:1"), other);
    store.tag(named("after:1"), manifest_);
    EXPECT_TRUE(store.unnamed().empty());
    EXPECT_EQ(store.resolve(named("after:1"))->digest, manifest_.digest);
    EXPECT_EQ(store.resolve(named("before:1"))->digest, other.digest);
    store.keep(manifest_);
    EXPECT_TRUE(store.unnamed().empty()) << "it has a name";
    EXPECT_EQ(oci::decode_index(index()).manifests.size(), 2u);
}

TEST_F(TagTest, AManifestThatIsNotInTheStoreCannotBeKept) {
    Store store(root());
    manifest_.digest = codec::sha256("absent");
    error_of(ErrorKind::NotFound, [&] { store.keep(manifest_); });
    EXPECT_TRUE(store.unnamed().empty());
}

TEST_F(TagTest, ImagesAreSortedByName) {
    Store store(root());
    for (const char* name : {"zoo:1", "app:2", "app:1", "ghcr.io/x/y:1"})
        store.tag(named(name), manifest_);
    std::vector<std::string> names;
    for (const ImageRecord& image : store.images()) {
        names.push_back(image.name.familiar());
        EXPECT_EQ(image.manifest.digest, manifest_.digest);
        EXPECT_TRUE(image.manifest.annotations.empty());
    }
    EXPECT_EQ(names, (std::vector<std::string>{"app:1", "app:2", "zoo:1", "ghcr.io/x/y:1"}));
}

TEST_F(TagTest, AManifestThatIsNotInTheStoreCannotBeTagged) {
    Store store(root());
    manifest_.digest = codec::sha256("absent");
    const std::string text =
        error_of(ErrorKind::NotFound, [&] { store.tag(named("a:1"), manifest_); });
    EXPECT_NE(text.find(manifest_.digest.str()), std::string::npos) << text;
    EXPECT_TRUE(store.images().empty());
}

TEST_F(TagTest, AReferenceWithADigestFindsItUnderAnyTagOfTheRepository) {
    Store store(root());
    store.tag(named("app:1"), manifest_);
    const std::string digest = manifest_.digest.str();
    EXPECT_TRUE(store.resolve(named("app@" + digest)));
    EXPECT_TRUE(store.resolve(named("app:other@" + digest)));
    EXPECT_FALSE(store.resolve(named("other@" + digest)));
    EXPECT_FALSE(store.resolve(named("app@" + codec::sha256("x").str())));
}

TEST_F(TagTest, ADigestReferenceIsANameToo) {
    Store store(root());
    // As for a platform's manifest that was pulled by the digest of its index.
    const oci::Reference by_index = named("app@" + codec::sha256("index").str());
    store.tag(by_index, manifest_);
    EXPECT_EQ(store.resolve(by_index)->digest, manifest_.digest);
    EXPECT_EQ(store.images().size(), 1u);
    EXPECT_TRUE(store.untag(by_index));
    EXPECT_TRUE(store.images().empty());
}

// ---------------------------------------------------------------------------------------------

TEST_F(TagTest, ForeignEntriesSurviveByteForByte) {
    const std::string sha512 =
        R"({"mediaType":"application/vnd.oci.image.manifest.v1+json", "size":3,"digest":"sha512:)" +
        std::string(128, 'a') + R"("})";
    const std::string artifact =
        R"({ "mediaType" : "application/vnd.oci.image.manifest.v1+json","digest":")" +
        manifest_.digest.str() + R"(","size":)" + std::to_string(manifest_.size) +
        R"(,"artifactType":"a/b","data":"e30=","urls":["http://x/]}\"{"],"future":{"a":[1,{}]}})";
    write_index(R"({ "schemaVersion": 2, "manifests": [ )" + sha512 + " ,\n" + artifact +
                R"( ], "annotations": {"k":"v"}, "future": [true, null, -1.5e3] })");
    Store store(root());
    EXPECT_TRUE(store.images().empty());
    store.tag(named("app:1"), manifest_);
    store.tag(named("app:2"), manifest_);
    store.untag(named("app:1"));
    const std::string text = index();
    EXPECT_NE(text.find(sha512), std::string::npos) << text;
    EXPECT_NE(text.find(artifact), std::string::npos) << text;
    EXPECT_NE(text.find(R"("annotations":{"k":"v"})"), std::string::npos) << text;
    EXPECT_NE(text.find(R"("future":[true, null, -1.5e3])"), std::string::npos) << text;
    ASSERT_EQ(store.images().size(), 1u);
    EXPECT_EQ(store.images()[0].name, named("app:2"));
}

TEST_F(TagTest, NamesOfOtherToolsAreUnderstood) {
    struct Case {
        std::string annotations, wanted;  // wanted: empty if it names no image
    };
    const std::string ref_name = R"("org.opencontainers.image.ref.name":)";
    const std::string full_name = R"("io.containerd.image.name":)";
    for (const Case& test : std::vector<Case>{
             {ref_name + R"("app:prod")", "docker.io/library/app:prod"},  // skopeo, umoci
             {ref_name + R"("docker.io/library/app:prod")", "docker.io/library/app:prod"},
             {ref_name + R"("v1",)" + full_name + R"("ghcr.io/me/app:v1")", "ghcr.io/me/app:v1"},
             // skopeo takes ref.name away from what it replaces.
             {full_name + R"("ghcr.io/me/app:v1")", ""},
             // umoci tag copies all annotations and changes one.
             {ref_name + R"("new:2",)" + full_name + R"("docker.io/library/app:1")",
              "docker.io/library/new:2"},
             {ref_name + R"("Not A Reference")", ""},
             {R"("some.other":"thing")", ""},
         }) {
        write_index(R"({"schemaVersion":2,"manifests":[)" + entry(test.annotations) + "]}");
        const auto images = Store(root()).images();
        ASSERT_EQ(images.size(), test.wanted.empty() ? 0u : 1u) << test.annotations;
        if (!images.empty()) {
            EXPECT_EQ(images[0].name.str(), test.wanted);
        }
    }
}

TEST_F(TagTest, NullListOfManifestsIsEmpty) {
    write_index(R"({"schemaVersion":2,"manifests":null})");
    Store store(root());
    EXPECT_TRUE(store.images().empty());
    store.tag(named("a:1"), manifest_);
    EXPECT_EQ(store.images().size(), 1u);
}

TEST_F(TagTest, DamagedIndexIsCorruptAndKeptAsItIs) {
    const std::string deep(100, '[');
    for (const std::string& text : std::vector<std::string>{
             "", "{", "[]", "null", R"({"schemaVersion":2})", R"({"manifests":[}])",
             R"({"manifests":[{]}]})", R"({"manifests":[{"a":"b)", R"({"manifests":[{}])",
             R"({"manifests":{}})", R"({"manifests":[]} x)", R"({"manifests":[],"manifests":[]})",
             R"({"manifests":[,]})", R"({"manifests" []})", R"({manifests:[]})",
             R"({"manifests":[)" + deep, R"({"a":"\)", std::string("\0\0", 2)}) {
        write_index(text);
        Store store(root());
        const std::string message = error_of(ErrorKind::Corrupt, [&] { store.images(); });
        EXPECT_NE(message.find(root() + "/index.json"), std::string::npos) << message;
        error_of(ErrorKind::Corrupt, [&] { store.tag(named("a:1"), manifest_); });
        EXPECT_EQ(index(), text);
    }
}

// ---------------------------------------------------------------------------------------------

TEST_F(TagTest, ConcurrentProcessesAndThreadsLoseNothing) {
    constexpr int kProcesses = 3, kThreads = 2, kTags = 10;
    std::vector<pid_t> children;
    for (int process = 0; process < kProcesses; ++process) {
        const pid_t child = ::fork();
        if (child != 0) {
            children.push_back(child);
            continue;
        }
        try {
            Store store(root());
            std::vector<std::jthread> threads;
            for (int thread = 0; thread < kThreads; ++thread)
                threads.emplace_back([&, thread] {
                    for (int i = 0; i < kTags; ++i) {
                        const std::string tag = std::to_string(process) + "." +
                                                std::to_string(thread) + "." + std::to_string(i);
                        store.tag(named("app:" + tag), manifest_);
                        store.tag(named("gone:" + tag), manifest_);
                        if (!store.untag(named("gone:" + tag))) ::_exit(2);
                    }
                });
            threads.clear();
            ::_exit(0);
        } catch (const std::exception& error) {
            std::fprintf(stderr, "child: %s\n", error.what());
            ::_exit(1);
        }
    }
    for (const pid_t child : children) {
        int status = -1;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        EXPECT_TRUE(exited_cleanly(status));
    }
    Store store(root());
    EXPECT_EQ(store.images().size(), static_cast<std::size_t>(kProcesses * kThreads * kTags));
    for (const ImageRecord& image : store.images())
        EXPECT_EQ(image.name.repository, "library/app");
}

}  // namespace
}  // namespace shale::store::test
