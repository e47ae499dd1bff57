// Images, annotations, media types and times, as the outputs of one build make them.
#include "build_fixture.hpp"

#include <fcntl.h>
#include <sys/stat.h>

namespace shale::build {
namespace {

using snapshot::kNoNode;

constexpr std::int64_t kSecond = 1'000'000'000;

struct Export : testing::Test {
    MemoryRegistry registry;
    Builder machine{registry};
    TempDir out;

    Export() { machine.file("f", "F"); }

    Request request(const std::string& dockerfile = "FROM scratch\nCOPY f /d/f\n") {
        auto made = machine.request(dockerfile);
        made.tags = {oci::Reference::parse("it")};
        return made;
    }
    oci::Manifest manifest(const std::string& name = "it") {
        return machine.store.manifest(*machine.store.resolve(oci::Reference::parse(name)));
    }
    std::string layout_index(const std::string& directory) {
        return read_file(directory + "/index.json");
    }
};

TEST_F(Export, AnyMixtureOfOutputsComesFromOneBuild) {
    auto wanted = request();
    wanted.outputs = {output("type=image"),
                      output("type=oci,tar=false,dest=" + out.path() + "/oci"),
                      output("type=docker,dest=" + out.path() + "/docker.tar"),
                      output("type=local,dest=" + out.path() + "/a"),
                      output("type=local,dest=" + out.path() + "/b"),
                      output("type=tar,dest=" + out.path() + "/tree.tar"),
                      output("type=image,name=other:1,compression=gzip")};
    const auto result = machine.build(wanted);
    EXPECT_EQ(result.steps, 1u);
    for (const char* path : {"oci/index.json", "docker.tar", "a/d/f", "b/d/f", "tree.tar"})
        EXPECT_TRUE(path_exists(out.path() + "/" + path)) << path;
    EXPECT_EQ(manifest("other:1").layers.front().media_type, oci::media::kLayerGzip);
    EXPECT_EQ(manifest().layers.front().media_type,
              oci::media::kLayerGzip);  // the last one named it
    EXPECT_EQ(result.image_id, manifest().config.digest);
}

TEST_F(Export, ADockerArchiveIsAnOciLayoutToo) {
    auto wanted = request();
    wanted.outputs = {output("type=docker,tar=false,dest=" + out.path() + "/d")};
    machine.build(wanted);
    const auto index = oci::decode_index(layout_index(out.path() + "/d"));
    ASSERT_EQ(index.manifests.size(), 1u);
    const auto made = oci::decode_manifest(
        read_file(out.path() + "/d/blobs/sha256/" + index.manifests[0].digest.hex()));
    ASSERT_EQ(made.layers.size(), 1u);
    EXPECT_EQ(made.layers[0].media_type, oci::media::kLayerTar);
    const auto tar = read_file(out.path() + "/d/blobs/sha256/" + made.layers[0].digest.hex());
    EXPECT_EQ(codec::sha256(tar), made.layers[0].digest);
    EXPECT_EQ(tar.size(), made.layers[0].size);
    EXPECT_NE(read_file(out.path() + "/d/manifest.json").find(made.layers[0].digest.hex()),
              std::string::npos);
}

TEST_F(Export, AnnotationsGoWhereTheirTypeSays) {
    auto wanted = request();
    wanted.platforms = {oci::Platform::parse("linux/amd64"), oci::Platform::parse("linux/arm64")};
    for (const char* text :
         {"a=all", "manifest[linux/arm64]:b=arm", "index:c=index", "manifest-descriptor:d=entry",
          "index-descriptor:e=top", "manifest,index:f=both"})
        for (auto& annotation : parse_annotation(text))
            wanted.annotations.push_back(annotation);
    wanted.outputs = {output("type=image,annotation.g=own,annotation.a=mine")};
    const auto result = machine.build(wanted);
    const auto index = oci::decode_index(
        machine.store.read_document(result.manifest.digest, oci::kMaxManifestBytes));
    EXPECT_EQ(index.annotations, (oci::Annotations{{"c", "index"}, {"f", "both"}}));
    EXPECT_EQ(index.manifests[0].annotations.at("d"), "entry");
    const auto amd64 = machine.store.manifest(index.manifests[0]);
    const auto arm64 = machine.store.manifest(index.manifests[1]);
    EXPECT_EQ(amd64.annotations, (oci::Annotations{{"a", "mine"}, {"f", "both"}, {"g", "own"}}));
    EXPECT_EQ(arm64.annotations.at("b"), "arm");
    EXPECT_EQ(result.manifest.annotations.at("e"), "top");
}

TEST_F(Export, AnnotationsWithoutAPlaceAreRefusedBeforeTheBuild) {
    auto wanted = request();
    wanted.annotations = parse_annotation("index:a=b");
    EXPECT_EQ(machine.error_of(wanted),
              "index annotations not supported for single platform export");
    wanted.annotations = parse_annotation("a=b");
    wanted.outputs = {output("type=image,oci-mediatypes=false")};
    EXPECT_EQ(machine.error_of(wanted), "cannot export annotations with \"oci-mediatypes=false\"");
    EXPECT_EQ(machine.progress.names.size(), 0u);
}

TEST_F(Export, DockerMediaTypes) {
    auto wanted = request();
    wanted.outputs = {output("type=image,oci-mediatypes=false")};
    machine.build(wanted);
    EXPECT_EQ(manifest().media_type, oci::media::kDockerManifest);
    EXPECT_EQ(manifest().config.media_type, oci::media::kDockerConfig);
    EXPECT_EQ(manifest().layers.front().media_type, oci::media::kDockerLayerGzip);
}

// Two machines, two days, one digest.
TEST_F(Export, RewrittenTimestampsMakeColdBuildsEqual) {
    Digest digests[2];
    Builder other(registry);
    other.file("f", "F");
    other.clock.now += 86'400'000'000'000;
    const struct timespec times[2] = {{1'700'000'999, 0}, {1'700'000'999, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, (other.context() + "/f").c_str(), times, 0), 0);
    Builder* const machines[] = {&machine, &other};
    for (int i = 0; i < 2; ++i) {
        auto wanted = machines[i]->request("FROM scratch\nCOPY f /d/f\nCOPY --link f /e/f\n"
                                           "WORKDIR /w\nCMD [\"/d/f\"]\n");
        wanted.tags = {oci::Reference::parse("it")};
        wanted.source_date_epoch = 1'600'000'000;
        wanted.outputs = {output("type=image,rewrite-timestamp=true")};
        digests[i] = machines[i]->build(wanted).manifest.digest;
        const auto tree = machines[i]->tree("it");
        EXPECT_EQ(tree->entry(tree->find("d/f")).mtime_ns, 1'600'000'000 * kSecond);
    }
    EXPECT_EQ(digests[0], digests[1]);
    EXPECT_EQ(manifest().layers.front().annotations.at("buildkit/rewritten-timestamp"),
              "1600000000");
}

// Whether two directories were made in one second is chance. It decides whether a copy of one over
// the other changes the time of it, and so whether the layer has a member for it.
TEST_F(Export, RewrittenLayersDoNotDependOnWhatFellIntoOneSecond) {
    Digest digests[3];
    for (const int between : {0, 1, 2}) {
        Builder other(registry);
        other.file("one/f", "F");
        other.file("two/g", "G");
        other.file("two/sub/h", "H");
        for (const auto& [name, second] : {std::pair{"one", 0}, {"two/sub", 5}, {"two", between}}) {
            const timespec time{1'700'000'100 + second, 0}, times[2] = {time, time};
            const auto path = other.context() + "/" + name;
            ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
        }
        auto wanted = other.request("FROM scratch\nCOPY one /d/\nCOPY two /d/\n");
        wanted.tags = {oci::Reference::parse("it")};
        wanted.source_date_epoch = 1'600'000'000;
        wanted.outputs = {output("type=image,rewrite-timestamp=true")};
        digests[between] = other.build(wanted).manifest.digest;
        const auto tree = other.tree("it");
        for (snapshot::NodeId node = 1; node < tree->size(); ++node)
            EXPECT_EQ(tree->entry(node).mtime_ns, 1'600'000'000 * kSecond) << tree->path(node);
    }
    EXPECT_EQ(digests[0], digests[1]);
    EXPECT_EQ(digests[0], digests[2]);
}

TEST_F(Export, EpochOfAnOutputWinsAndOnlyLowers) {
    auto wanted = request();
    wanted.source_date_epoch = 1'600'000'000;
    wanted.outputs = {output("type=image,source-date-epoch=1500000000")};
    EXPECT_EQ(machine.build(wanted).created_ns, 1'500'000'000 * kSecond);
    wanted.outputs = {output("type=image,source-date-epoch=3000000000")};
    EXPECT_EQ(machine.build(wanted).created_ns, machine.clock.now);
}

TEST_F(Export, BaseLayersAreNotRewritten) {
    auto base = request();
    base.tags = {oci::Reference::parse("base")};
    machine.build(base);
    auto wanted = request("FROM base\nCOPY f /mine\n");
    wanted.source_date_epoch = 1;
    wanted.outputs = {output("type=image,rewrite-timestamp=true")};
    machine.build(wanted);
    EXPECT_EQ(manifest().layers.front().digest, manifest("base").layers.front().digest);
    EXPECT_FALSE(manifest().layers.front().annotations.contains("buildkit/rewritten-timestamp"));
}

TEST_F(Export, PushByDigestLeavesNoTag) {
    auto wanted = request();
    wanted.tags.clear();
    wanted.outputs = {output("type=image,name=registry.test/app,push=true,push-by-digest=true,"
                             "name-canonical=true")};
    const auto result = machine.build(wanted);
    const auto digest = result.manifest.digest.str();
    EXPECT_TRUE(registry.manifests.contains("app/" + digest));
    EXPECT_FALSE(registry.manifests.contains("app/latest"));
    EXPECT_EQ(result.names, std::vector<std::string>{"registry.test/app@" + digest});
    EXPECT_TRUE(machine.store.resolve(oci::Reference::parse("registry.test/app@" + digest)));
    wanted.outputs = {output("type=registry,name=registry.test/app:1,push-by-digest=true")};
    EXPECT_EQ(machine.error_of(wanted), "can't push tagged ref registry.test/app:1 by digest");
}

TEST_F(Export, DanglingNamesAreMadeOfThePrefix) {
    auto wanted = request();
    wanted.tags.clear();
    wanted.outputs = {output("type=image,dangling-name-prefix=dangling")};
    const auto result = machine.build(wanted);
    EXPECT_EQ(result.names.front(), "docker.io/library/dangling@" + result.manifest.digest.str());
}

TEST_F(Export, AnImageThatIsOnlyPushedIsNotInTheStore) {
    auto wanted = request();
    wanted.tags.clear();
    wanted.outputs = {output("type=registry,store=false,name=registry.test/app:1")};
    machine.build(wanted);
    EXPECT_TRUE(registry.manifests.contains("app/1"));
    EXPECT_TRUE(machine.store.images().empty());
    EXPECT_TRUE(machine.store.unnamed().empty());
}

TEST_F(Export, DeleteModeRemovesWhatIsNotInTheResult) {
    make_directories(out.path() + "/dest/old");
    write_file_atomic(out.path() + "/dest/old/f", as_bytes("x"));
    auto wanted = request();
    wanted.outputs = {output("type=local,mode=delete,dest=" + out.path() + "/dest")};
    EXPECT_NE(machine.error_of(wanted).find("buildx.local.delete"), std::string::npos);
    EXPECT_TRUE(path_exists(out.path() + "/dest/old/f"));
    wanted.allow = {"buildx.local.delete"};
    machine.build(wanted);
    EXPECT_FALSE(path_exists(out.path() + "/dest/old"));
    EXPECT_TRUE(path_exists(out.path() + "/dest/d/f"));
}

TEST_F(Export, TriggersOfABaseRunOnceAndAreGone) {
    auto base = request("FROM scratch\nONBUILD COPY f /triggered\nONBUILD LABEL a=b\n");
    base.tags = {oci::Reference::parse("base")};
    machine.build(base);
    auto wanted = request("FROM base AS one\nFROM one\nCOPY f /mine\n");
    const auto result = machine.build(wanted);
    EXPECT_EQ(result.steps, 2u);
    EXPECT_EQ(machine.progress.count("ONBUILD COPY f /triggered"), 1u);
    EXPECT_NE(machine.tree("it")->find("triggered"), kNoNode);
    const auto config = machine.store.config(manifest());
    EXPECT_TRUE(config.config.onbuild.empty());
    EXPECT_EQ(config.config.labels.at("a"), "b");
}

TEST_F(Export, TriggersOfAStageRunInItsChildren) {
    machine.build(request("FROM scratch AS one\nONBUILD COPY --from=two /f /from-two\n"
                          "FROM scratch AS two\nCOPY f /f\nFROM one\n"));
    EXPECT_NE(machine.tree("it")->find("from-two"), kNoNode);
}

}  // namespace
}  // namespace shale::build
