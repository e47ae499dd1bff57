// COPY --link: a layer of its own that knows nothing of what lies below it.
#include "build_fixture.hpp"
#include "copy.hpp"

#include <shale/diff.hpp>
#include <shale/layer.hpp>

#include <unistd.h>

namespace shale::build {
namespace {

using snapshot::kNoNode;

struct CopyLink : testing::Test {
    MemoryRegistry registry;
    Builder machine{registry};

    CopyLink() { machine.file("f", "F"); }

    // Makes the image on another machine and leaves it in the registry.
    void publish(const std::string& name, const std::string& dockerfile) {
        Builder other(registry);
        other.file("f", "F");
        auto request = other.request(dockerfile);
        request.tags = {oci::Reference::parse(name)};
        request.outputs = {output("type=registry")};
        other.build(request);
    }
    Request tagged(const std::string& dockerfile) const {
        auto request = machine.request(dockerfile);
        request.tags = {oci::Reference::parse("it")};
        return request;
    }
    std::size_t layers_fetched() const {
        std::size_t count = 0;
        for (const auto& digest : registry.downloads)
            for (const auto& [name, bytes] : registry.blobs)
                count += name.ends_with(digest) && bytes.front() != '{' ? 1 : 0;
        return count;
    }
};

TEST_F(CopyLink, DestinationIsMadeOfRealDirectoriesWithDefaultModes) {
    machine.build(tagged("FROM scratch\nCOPY --chmod=1777 f /tmp/\nCOPY --link f /tmp/g\n"));
    const auto tree = machine.tree("it");
    EXPECT_EQ(tree->entry(tree->find("tmp")).mode, 0755u);  // no longer sticky
    EXPECT_NE(tree->find("tmp/f"), kNoNode);
    EXPECT_NE(tree->find("tmp/g"), kNoNode);
}

TEST_F(CopyLink, ALinkBelowIsReplacedByADirectory) {
    make_directories(machine.context() + "/links");
    ASSERT_EQ(::symlink("/elsewhere", (machine.context() + "/links/to").c_str()), 0);
    machine.build(tagged("FROM scratch\nCOPY links /\nCOPY f /elsewhere/\nCOPY --link f /to/\n"));
    const auto tree = machine.tree("it");
    EXPECT_EQ(tree->entry(tree->find("to")).type, FileType::Directory);
    EXPECT_NE(tree->find("to/f"), kNoNode);
    machine.build(tagged("FROM scratch\nCOPY links /\nCOPY f /elsewhere/\nCOPY f /to/g\n"));
    const auto followed = machine.tree("it");
    EXPECT_NE(followed->find("elsewhere/g"), kNoNode);
}

TEST_F(CopyLink, AnOctalModeMakesItAnOrdinaryCopy) {
    make_directories(machine.context() + "/links");
    ASSERT_EQ(::symlink("/elsewhere", (machine.context() + "/links/to").c_str()), 0);
    machine.build(tagged("FROM scratch\nCOPY links /\nCOPY --link --chmod=600 f /to/\n"));
    const auto tree = machine.tree("it");
    EXPECT_EQ(tree->entry(tree->find("to")).type, FileType::Symlink);
    EXPECT_NE(tree->find("elsewhere/f"), kNoNode);
}

TEST_F(CopyLink, DestinationIsRelativeToWorkdir) {
    machine.build(tagged("FROM scratch\nWORKDIR /w\nCOPY --link f .\nCOPY --link f d/\n"));
    const auto tree = machine.tree("it");
    EXPECT_NE(tree->find("w/f"), kNoNode);
    EXPECT_NE(tree->find("w/d/f"), kNoNode);
}

TEST_F(CopyLink, OwnersAreNumbers) {
    machine.build(tagged("FROM scratch\nCOPY --link --chown=5:6 f /n/f\n"));
    const auto tree = machine.tree("it");
    EXPECT_EQ(tree->entry(tree->find("n/f")).gid, 6u);
    EXPECT_EQ(tree->entry(tree->find("n")).uid, 5u);
    EXPECT_NE(machine.error_of(tagged("FROM scratch\nCOPY --link --chown=app f /\n"))
                  .find("\"app\" cannot be looked up"),
              std::string::npos);
}

TEST_F(CopyLink, PullsNoLayerOfTheBase) {
    publish("registry.test/app:base", "FROM scratch\nCOPY f /base\n");
    auto request = machine.request("FROM registry.test/app:base\nCOPY --link f /mine\n");
    request.outputs = {output("type=cacheonly"),
                       output("type=registry,store=false,name=registry.test/app:new")};
    machine.build(request);
    EXPECT_EQ(layers_fetched(), 0u);
    EXPECT_TRUE(registry.manifests.contains("app/new"));

    Builder reader(registry);
    auto whole = reader.request("FROM registry.test/app:new\nWORKDIR /w\n");
    whole.tags = {oci::Reference::parse("it")};
    reader.build(whole);
    EXPECT_NE(reader.tree("it")->find("base"), kNoNode);
    EXPECT_NE(reader.tree("it")->find("mine"), kNoNode);
}

TEST_F(CopyLink, TheLayerIsTheSameOverAnotherBase) {
    publish("registry.test/one:1", "FROM scratch\nCOPY f /one\n");
    publish("registry.test/two:1", "FROM scratch\nCOPY f /two\n");
    machine.build(tagged("FROM registry.test/one:1\nCOPY --link f /mine\n"));
    const auto name = oci::Reference::parse("it");
    const auto first = machine.store.manifest(*machine.store.resolve(name)).layers.back();
    const auto result = machine.build(tagged("FROM registry.test/two:1\nCOPY --link f /mine\n"));
    EXPECT_EQ(result.cached_steps, 1u);
    EXPECT_EQ(machine.store.manifest(*machine.store.resolve(name)).layers.back().digest,
              first.digest);
}

TEST_F(CopyLink, ACopyFromAStageIsIndependentToo) {
    machine.build(tagged("FROM scratch AS a\nCOPY f /x/f\nFROM scratch\nCOPY f /below\n"
                         "COPY --link --from=a /x /y\nCOPY f /above\n"));
    const auto tree = machine.tree("it");
    for (const char* path : {"below", "y/f", "above"})
        EXPECT_NE(tree->find(path), kNoNode) << path;
}

// Laying a tree over another is what applying its layer does.
TEST(LayOver, EqualsTheMergedLayer) {
    snapshot::TreeBuilder lower_builder, upper_builder;
    const auto put = [](snapshot::TreeBuilder& out, const std::string& path, FileType type,
                        std::uint32_t mode, std::uint64_t group = 0) {
        snapshot::EntrySpec spec;
        spec.type = type;
        spec.mode = mode;
        spec.link_group = group;
        if (type == FileType::Symlink) spec.link_target = "d";
        out.put(path, spec);
    };
    put(lower_builder, "d", FileType::Directory, 0700);
    put(lower_builder, "d/old", FileType::Regular, 0600, 1);
    put(lower_builder, "d/same", FileType::Regular, 0600, 1);
    put(lower_builder, "link", FileType::Symlink, 0777);
    put(lower_builder, "gone/below", FileType::Regular, 0644);
    put(upper_builder, "d", FileType::Directory, 0755);
    put(upper_builder, "d/old", FileType::Regular, 0644, 1);
    put(upper_builder, "d/new", FileType::Regular, 0644, 1);
    put(upper_builder, "link/f", FileType::Regular, 0644);
    put(upper_builder, "gone", FileType::Regular, 0644);
    const auto lower = lower_builder.finish(), upper = upper_builder.finish();

    const auto nothing = snapshot::TreeBuilder().finish();
    const auto written = layer::write_layer(
        diff::compare(nothing, upper), upper,
        [](std::string_view, const snapshot::Entry&) -> codec::Source {
            return [](MutableBytes) { return 0; };
        },
        {}, [](Bytes) {});
    snapshot::TreeBuilder laid(lower);
    lay_over(laid, upper);
    EXPECT_EQ(laid.finish().digest(), layer::merge(lower, written.toc).digest());
}

}  // namespace
}  // namespace shale::build
