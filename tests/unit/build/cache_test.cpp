// Caches that travel: what one machine exports, another builds from; what it must not believe; and
// what it must not fetch.
#include "build_fixture.hpp"
#include "cache_records.hpp"

#include <filesystem>
#include <thread>

namespace shale::build {
namespace {

constexpr const char* kTwoStages = "FROM scratch AS builder\nCOPY a /a\nCOPY --chmod=600 b /b\n"
                                   "FROM scratch\nCOPY --from=builder /a /\nWORKDIR /w\n"
                                   "COPY --from=builder /b /w/\n";

struct Caches : testing::Test {
    MemoryRegistry registry;
    Builder here{registry}, there{registry};
    TempDir directory;

    Caches() {
        for (auto* machine : {&here, &there})
            put_files(*machine);
    }
    static void put_files(Builder& machine) {
        machine.file("a", "A");
        machine.file("b", "B");
    }
    static Request request(Builder& machine, const std::string& dockerfile) {
        auto made = machine.request(dockerfile);
        made.tags = {oci::Reference::parse("it")};
        return made;
    }
    Result export_from(Builder& machine, const std::string& dockerfile, const std::string& target) {
        auto wanted = request(machine, dockerfile);
        wanted.cache_to = {parse_cache_target(target)};
        return machine.build(wanted);
    }
    Result import_into(Builder& machine, const std::string& dockerfile, const std::string& source,
                       const std::string& outputs = {}) {
        registry.downloads.clear();
        auto wanted = request(machine, dockerfile);
        wanted.cache_from = {parse_cache_source(source)};
        if (!outputs.empty()) wanted.outputs = {output(outputs)};
        return machine.build(wanted);
    }
    // Without configs: layers that came from the registry.
    std::size_t layers_fetched() const {
        std::size_t count = 0;
        for (const auto& digest : registry.downloads)
            for (const auto& [name, bytes] : registry.blobs)
                count += name.ends_with(digest) && !bytes.starts_with("{") ? 1 : 0;
        return count;
    }
    std::string to_registry(const std::string& more = {}) const {
        return "type=registry,ref=registry.test/cache:1" + more;
    }
    std::string local(const char* key, const std::string& more = {}) const {
        return std::string("type=local,") + key + "=" + directory.path() + more;
    }
    std::string warnings(const Builder& machine) const {
        std::string all;
        for (const auto& text : machine.progress.warnings)
            all += text + "\n";
        return all;
    }
    oci::ImageConfig cache_config(const std::string& name = "cache/1") const {
        const auto manifest = oci::decode_manifest(registry.manifests.at(name));
        const auto repository = name.substr(0, name.rfind('/') + 1);
        return oci::decode_config(registry.blobs.at(repository + manifest.config.digest.str()));
    }
    // Puts another config into the cache, all digests in order.
    void replace_config(const oci::ImageConfig& config) {
        const auto text = oci::encode(config);
        auto manifest = oci::decode_manifest(registry.manifests.at("cache/1"));
        manifest.config.digest = codec::sha256(text);
        manifest.config.size = text.size();
        registry.blobs["cache/" + manifest.config.digest.str()] = text;
        registry.manifests["cache/1"] = oci::encode(manifest);
    }
};

TEST_F(Caches, AnotherMachineBuildsTheSameImageFromACacheInARegistry) {
    const auto made = export_from(here, kTwoStages, to_registry(",mode=max"));
    const auto again = import_into(there, kTwoStages, to_registry());
    EXPECT_EQ(again.cached_steps, again.steps);
    EXPECT_EQ(again.image_id, made.image_id);
    EXPECT_EQ(again.manifest.digest, made.manifest.digest);
    EXPECT_EQ(there.text("it", "w/b"), "B");
    EXPECT_EQ(warnings(there), "");
}

TEST_F(Caches, OnlyTheResultsLayersAreFetched) {
    export_from(here, kTwoStages, to_registry(",mode=max"));
    import_into(there, kTwoStages, to_registry());
    EXPECT_EQ(layers_fetched(), 3u);  // not the builder's two
    Builder third(registry);
    put_files(third);
    const auto nothing = import_into(third, kTwoStages, to_registry(), "type=cacheonly");
    EXPECT_EQ(nothing.cached_steps, nothing.steps);
    EXPECT_EQ(layers_fetched(), 0u);
}

TEST_F(Caches, WhatWasFetchedIsKnownWithoutTheCache) {
    constexpr const char* kOneStage = "FROM scratch\nCOPY a /a\nCOPY b /b\n";
    export_from(here, kOneStage, to_registry());
    import_into(there, kOneStage, to_registry());
    EXPECT_EQ(layers_fetched(), 2u);
    const auto alone = there.build(request(there, kOneStage));
    EXPECT_EQ(alone.cached_steps, 2u);
    import_into(there, kOneStage, to_registry());
    EXPECT_EQ(layers_fetched(), 0u);
}

TEST_F(Caches, TheMinimumHasNoLayersOfStagesBehindTheResult) {
    const auto made = export_from(here, kTwoStages, to_registry(",mode=min"));
    EXPECT_EQ(oci::decode_manifest(registry.manifests.at("cache/1")).layers.size(), 3u);
    // All the same, nothing has to be done again as long as nothing has changed.
    const auto again = import_into(there, kTwoStages, to_registry());
    EXPECT_EQ(again.cached_steps, again.steps);
    EXPECT_EQ(again.image_id, made.image_id);
}

TEST_F(Caches, AStageWithoutLayersIsMadeAgainWhenSomebodyLooksAtIt) {
    export_from(here, kTwoStages, to_registry(",mode=min"));
    there.file("b", "other");
    const auto again = import_into(there, kTwoStages, to_registry());
    EXPECT_LT(again.cached_steps, again.steps);
    EXPECT_EQ(there.text("it", "a"), "A");
    EXPECT_EQ(there.text("it", "w/b"), "other");
    EXPECT_EQ(warnings(there), "");
}

TEST_F(Caches, TheMaximumHasTheLayersOfEveryStep) {
    export_from(here, kTwoStages, to_registry(",mode=max"));
    const auto config = cache_config();
    const auto& member = config.unknown_top.at(std::string(kCacheMember));
    const auto steps = decode_cache(member, config.diff_ids.size());
    EXPECT_EQ(steps.size(), 5u);
    for (const auto& step : steps) {
        EXPECT_TRUE(step.layer) << step.name;
        EXPECT_TRUE(step.content_key) << step.name;
    }
}

TEST_F(Caches, ALayoutIsACacheToo) {
    const auto made = export_from(here, kTwoStages, local("dest", ",mode=max"));
    const auto again = import_into(there, kTwoStages, local("src"));
    EXPECT_EQ(again.cached_steps, again.steps);
    EXPECT_EQ(again.image_id, made.image_id);
    EXPECT_EQ(registry.downloads.size(), 0u);
}

TEST_F(Caches, ALayoutHoldsSeveralByTagAndDigest) {
    export_from(here, "FROM scratch\nCOPY a /one\n", local("dest", ",tag=one"));
    export_from(here, "FROM scratch\nCOPY a /two\n", local("dest", ",tag=two"));
    const auto index = oci::decode_index(read_file(directory.path() + "/index.json"));
    ASSERT_EQ(index.manifests.size(), 2u);
    for (const auto& more : {",tag=one", ",tag=two"}) {
        Builder machine(registry);
        machine.file("a", "A");
        const auto name = std::string(more).substr(5);
        const auto result =
            import_into(machine, "FROM scratch\nCOPY a /" + name + "\n", local("src", more));
        EXPECT_EQ(result.cached_steps, 1u) << more;
    }
    const auto by_digest = ",digest=" + index.manifests[0].digest.str();
    EXPECT_EQ(
        import_into(there, "FROM scratch\nCOPY a /one\n", local("src", by_digest)).cached_steps,
        1u);
}

TEST_F(Caches, ResetRemovesWhatNoTagReaches) {
    const auto blobs = [&] {
        const auto at = std::filesystem::directory_iterator(directory.path() + "/blobs/sha256");
        return std::distance(begin(at), end(at));
    };
    export_from(here, "FROM scratch\nCOPY a /one\n", local("dest", ",tag=kept"));
    export_from(here, "FROM scratch\nCOPY a /two\n", local("dest"));
    EXPECT_EQ(blobs(), 6);
    export_from(here, "FROM scratch\nCOPY a /three\n", local("dest"));
    EXPECT_EQ(blobs(), 9);
    export_from(here, "FROM scratch\nCOPY a /three\n", local("dest", ",reset=true"));
    EXPECT_EQ(blobs(), 6);
    const auto kept = import_into(there, "FROM scratch\nCOPY a /one\n", local("src", ",tag=kept"));
    EXPECT_EQ(kept.cached_steps, 1u);
}

TEST_F(Caches, AnImageCarriesItsOwnCache) {
    auto wanted = request(here, kTwoStages);
    const auto plain = here.build(wanted);
    wanted.tags = {oci::Reference::parse("registry.test/app:1")};
    wanted.outputs = {output("type=registry")};
    wanted.build_args = {{"BUILDKIT_INLINE_CACHE", "1"}};
    const auto made = here.build(wanted);
    EXPECT_NE(made.image_id, plain.image_id);
    const auto again = [&] {
        auto asked = request(there, kTwoStages);
        asked.cache_from = {parse_cache_source("registry.test/app:1")};
        asked.cache_to = {parse_cache_target("type=inline")};
        return there.build(asked);
    }();
    EXPECT_EQ(again.cached_steps, again.steps);
    EXPECT_EQ(again.image_id, made.image_id);
    // With and without, the layers are the same.
    const auto layers = [&](const Digest& config) {
        return oci::decode_config(here.store.read_document(config, oci::kMaxConfigBytes)).diff_ids;
    };
    EXPECT_EQ(layers(made.image_id), layers(plain.image_id));
}

TEST_F(Caches, AnImageForTwoPlatformsCarriesTheCachesOfBoth) {
    const auto both = [&](Builder& machine) {
        auto wanted = request(machine, "FROM scratch\nARG TARGETARCH\nCOPY a /$TARGETARCH\n");
        wanted.platforms = {oci::Platform::parse("linux/amd64"),
                            oci::Platform::parse("linux/arm64")};
        wanted.tags = {oci::Reference::parse("registry.test/app:1")};
        wanted.cache_to = {parse_cache_target("type=inline")};
        return wanted;
    };
    auto first = both(here);
    first.outputs = {output("type=registry")};
    const auto made = here.build(first);
    auto second = both(there);
    second.cache_from = {parse_cache_source("registry.test/app:1")};
    const auto again = there.build(second);
    EXPECT_EQ(again.cached_steps, 2u);
    EXPECT_EQ(again.manifest.digest, made.manifest.digest);
}

TEST_F(Caches, OfEveryCompressionComesTheSameImage) {
    const auto made = export_from(here, kTwoStages, to_registry());
    for (const auto* compression : {"gzip", "uncompressed", "zstd,compression-level=12"}) {
        export_from(here, kTwoStages, to_registry(std::string(",compression=") + compression));
        Builder machine(registry);
        put_files(machine);
        const auto again = import_into(machine, kTwoStages, to_registry());
        EXPECT_EQ(again.cached_steps, again.steps) << compression;
        const auto diff_ids = [](Builder& of) {
            return of.store
                .config(of.store.manifest(*of.store.resolve(oci::Reference::parse("it"))))
                .diff_ids;
        };
        EXPECT_EQ(diff_ids(machine), diff_ids(here)) << compression;
        EXPECT_EQ(again.image_id, made.image_id) << compression;
    }
}

TEST_F(Caches, ARebuiltParentThatCameOutEqualHitsByContent) {
    export_from(here, kTwoStages, to_registry(",mode=max"));
    // Another way to the same tree: the definition differs, the bytes do not.
    const auto again = import_into(there,
                                   "FROM scratch AS builder\nCOPY --chmod=600 b /b\nCOPY a /a\n"
                                   "FROM scratch\nCOPY --from=builder /a /\nWORKDIR /w\n"
                                   "COPY --from=builder /b /w/\n",
                                   to_registry());
    EXPECT_EQ(again.steps, 5u);
    EXPECT_GE(again.cached_steps, 3u);
    EXPECT_EQ(there.text("it", "w/b"), "B");
}

TEST_F(Caches, PushingToWhereEverythingIsFetchesNothing) {
    auto wanted = request(here, kTwoStages);
    wanted.tags = {oci::Reference::parse("registry.test/cache:app")};
    wanted.outputs = {output("type=registry")};
    wanted.cache_to = {parse_cache_target(to_registry(",mode=max"))};
    const auto made = here.build(wanted);
    registry.downloads.clear();
    auto asked = request(there, kTwoStages);
    asked.tags = wanted.tags;
    asked.outputs = {output("type=registry,store=false")};
    asked.cache_from = {parse_cache_source(to_registry())};
    asked.cache_to = wanted.cache_to;
    const auto again = there.build(asked);
    EXPECT_EQ(again.manifest.digest, made.manifest.digest);
    EXPECT_EQ(layers_fetched(), 0u);
}

// --- what must not be believed -------------------------------------------------------------------

TEST_F(Caches, AMissingCacheIsAWarning) {
    const auto result = import_into(there, kTwoStages, to_registry());
    EXPECT_EQ(result.cached_steps, 0u);
    EXPECT_NE(warnings(there).find("registry.test/cache:1 is not used"), std::string::npos);
    import_into(there, kTwoStages, local("src"));
    EXPECT_NE(warnings(there).find("is not used"), std::string::npos);
}

TEST_F(Caches, ALayerThatIsGoneEndsTheCacheAndNotTheBuild) {
    export_from(here, kTwoStages, to_registry(",mode=max"));
    for (const auto& layer : oci::decode_manifest(registry.manifests.at("cache/1")).layers)
        registry.blobs.erase("cache/" + layer.digest.str());
    const auto again = import_into(there, kTwoStages, to_registry());
    EXPECT_LT(again.cached_steps, again.steps);
    EXPECT_EQ(there.text("it", "w/b"), "B");
    EXPECT_NE(warnings(there).find("is not used any more"), std::string::npos);
}

TEST_F(Caches, AStepThatWasFoundByContentIsMadeIfItsLayerIsGone) {
    export_from(here, kTwoStages, to_registry(",mode=max"));
    for (const auto& layer : oci::decode_manifest(registry.manifests.at("cache/1")).layers)
        registry.blobs.erase("cache/" + layer.digest.str());
    ++there.file_time;  // equal but for times
    put_files(there);
    const auto again = import_into(there,
                                   "FROM scratch AS builder\nCOPY --chmod=600 b /b\nCOPY a /a\n"
                                   "FROM scratch\nCOPY --from=builder /a /\nWORKDIR /w\n"
                                   "COPY --from=builder /b /w/\n",
                                   to_registry());
    EXPECT_EQ(again.cached_steps, 0u);
    EXPECT_EQ(there.text("it", "w/b"), "B");
    EXPECT_NE(warnings(there).find("is not used any more"), std::string::npos);
    EXPECT_EQ(there.progress.count("importing layer"), 1u);  // nor is it asked again
}

TEST_F(Caches, DamagedLayersAreNotBelieved) {
    export_from(here, kTwoStages, to_registry(",mode=max"));
    for (const auto& layer : oci::decode_manifest(registry.manifests.at("cache/1")).layers) {
        auto& bytes = registry.blobs.at("cache/" + layer.digest.str());
        bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    }
    import_into(there, kTwoStages, to_registry());
    EXPECT_EQ(there.text("it", "w/b"), "B");
    EXPECT_EQ(there.text("it", "a"), "A");
    EXPECT_NE(warnings(there).find("is not used any more"), std::string::npos);
}

TEST_F(Caches, ALayerThatGivesAnotherTreeIsNotBelieved) {
    export_from(here, "FROM scratch\nCOPY a /a\nCOPY b /b\n", to_registry());
    auto config = cache_config();
    auto& member = config.unknown_top.at(std::string(kCacheMember));
    auto steps = decode_cache(member, config.diff_ids.size());
    ASSERT_EQ(steps.size(), 2u);
    std::swap(steps[0].layer, steps[1].layer);
    member = encode_cache(steps);
    replace_config(config);
    import_into(there, "FROM scratch\nCOPY a /a\nCOPY b /b\n", to_registry());
    EXPECT_EQ(there.text("it", "a"), "A");
    EXPECT_EQ(there.text("it", "b"), "B");
    EXPECT_NE(warnings(there).find("does not give the tree"), std::string::npos);
    // Nothing of it was kept.
    const auto alone = there.build(request(there, "FROM scratch\nCOPY a /a\nCOPY b /b\n"));
    EXPECT_EQ(alone.cached_steps, 2u);
    EXPECT_EQ(there.text("it", "b"), "B");
}

TEST_F(Caches, AForeignContentKeyGivesNothingToAnotherProject) {
    const auto steps_of = [&] {
        const auto config = cache_config();
        return decode_cache(config.unknown_top.at(std::string(kCacheMember)),
                            config.diff_ids.size());
    };
    const char* const victim = "FROM scratch\nCOPY b /b\n";
    export_from(here, victim, to_registry());
    const auto key = steps_of().at(0).key;
    export_from(here, "FROM scratch\nCOPY a /a\n", to_registry());
    auto config = cache_config();
    auto steps = steps_of();
    steps.at(0).content_key = key;
    config.unknown_top.at(std::string(kCacheMember)) = encode_cache(steps);
    replace_config(config);

    EXPECT_EQ(import_into(there, "FROM scratch\nCOPY a /a\n", to_registry()).cached_steps, 1u);
    const auto alone = there.build(request(there, victim));
    EXPECT_EQ(alone.cached_steps, 0u);
    EXPECT_EQ(there.text("it", "b"), "B");
}

TEST_F(Caches, ATreeThatIsNotTheStepsDoesNotReachTheStore) {
    export_from(here, kTwoStages, to_registry(",mode=min"));
    auto config = cache_config();
    auto& member = config.unknown_top.at(std::string(kCacheMember));
    auto steps = decode_cache(member, config.diff_ids.size());
    for (auto& step : steps)
        if (!step.layer) step.tree = codec::sha256(std::string_view("something else"));
    member = encode_cache(steps);
    replace_config(config);
    import_into(there, kTwoStages, to_registry());
    EXPECT_EQ(there.text("it", "w/b"), "B");
    const auto alone = there.build(request(there, kTwoStages));
    EXPECT_EQ(alone.cached_steps, alone.steps);
    EXPECT_EQ(there.text("it", "w/b"), "B");
}

TEST_F(Caches, TruncatedDocumentsAreAWarning) {
    export_from(here, kTwoStages, to_registry());
    const auto whole = cache_config();
    for (std::size_t keep : {0u, 1u, 20u, 200u}) {
        auto config = whole;
        auto& member = config.unknown_top.at(std::string(kCacheMember));
        member = "\"" + std::string(keep, 'x') + "\"";
        replace_config(config);
        Builder machine(registry);
        put_files(machine);
        import_into(machine, kTwoStages, to_registry());
        EXPECT_EQ(machine.text("it", "w/b"), "B");
        EXPECT_NE(warnings(machine).find("is not used"), std::string::npos) << keep;
    }
}

TEST_F(Caches, AnImageWithoutACacheIsNone) {
    auto wanted = request(here, kTwoStages);
    wanted.tags = {oci::Reference::parse("registry.test/app:1")};
    wanted.outputs = {output("type=registry")};
    here.build(wanted);
    const auto result = import_into(there, kTwoStages, "registry.test/app:1");
    EXPECT_EQ(result.cached_steps, 0u);
    EXPECT_EQ(warnings(there), "");
}

TEST_F(Caches, TheFirstOfSeveralThatHasTheLayerIsUsed) {
    export_from(here, kTwoStages, to_registry(",mode=min"));
    export_from(here, kTwoStages, local("dest", ",mode=max"));
    there.file("b", "other");
    auto wanted = request(there, kTwoStages);
    wanted.cache_from = {parse_cache_source("registry.test/none:1"),
                         parse_cache_source(to_registry()), parse_cache_source(local("src"))};
    const auto result = there.build(wanted);
    EXPECT_EQ(result.cached_steps, 3u);  // both that read a, and WORKDIR
    EXPECT_EQ(there.text("it", "w/b"), "other");
}

TEST_F(Caches, NoCacheMeansThoseOfOthersToo) {
    export_from(here, kTwoStages, to_registry(",mode=max"));
    auto wanted = request(there, kTwoStages);
    wanted.cache_from = {parse_cache_source(to_registry())};
    wanted.no_cache = true;
    EXPECT_EQ(there.build(wanted).cached_steps, 0u);
}

TEST_F(Caches, WhatWasImportedIsExportedAgainWithoutEnd) {
    export_from(here, kTwoStages, to_registry(",mode=max"));
    const auto first = cache_config().unknown_top;
    for (int round = 0; round < 3; ++round) {
        Builder machine(registry);
        put_files(machine);
        auto wanted = request(machine, kTwoStages);
        wanted.cache_from = {parse_cache_source(to_registry())};
        wanted.cache_to = {parse_cache_target(to_registry(",mode=max"))};
        const auto result = machine.build(wanted);
        EXPECT_EQ(result.cached_steps, result.steps);
    }
    EXPECT_EQ(cache_config().unknown_top, first);
}

TEST_F(Caches, SeveralWriteOneLayoutAtOneTime) {
    std::vector<std::unique_ptr<Builder>> machines;
    for (int i = 0; i < 4; ++i) {
        machines.push_back(std::make_unique<Builder>(registry));
        machines.back()->file("a", "A" + std::to_string(i));
        machines.back()->file("b", "B");
    }
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < machines.size(); ++i)
            threads.emplace_back([&, i] {
                export_from(*machines[i], kTwoStages,
                            local("dest", ",mode=max,tag=t" + std::to_string(i)));
            });
    }
    EXPECT_EQ(oci::decode_index(read_file(directory.path() + "/index.json")).manifests.size(), 4u);
    there.file("a", "A2");
    const auto result = import_into(there, kTwoStages, local("src", ",tag=t2"));
    EXPECT_EQ(result.cached_steps, result.steps);
}

TEST_F(Caches, AnExportThatFailsIsAnErrorUnlessItMayFail) {
    const auto blocked = directory.path() + "/file";
    write_file_atomic(blocked, as_bytes(std::string_view("x")));
    auto wanted = request(here, kTwoStages);
    wanted.cache_to = {parse_cache_target("type=local,dest=" + blocked)};
    EXPECT_NE(here.error_of(wanted).find(blocked), std::string::npos);
    wanted.cache_to = {parse_cache_target("type=local,ignore-error=true,dest=" + blocked)};
    here.build(wanted);
    EXPECT_NE(warnings(here).find("not exported"), std::string::npos);
}

// --- the flags -----------------------------------------------------------------------------------

std::string refusal(const std::function<void()>& body) {
    try {
        body();
    } catch (const Error& error) {
        return error.what();
    }
    return "none";
}

TEST(CacheFlags, NamesAreImagesOfRegistries) {
    EXPECT_EQ(parse_cache_source("me/app").name.str(), "docker.io/me/app:latest");
    EXPECT_EQ(parse_cache_source("type=registry,ref=r.test/x:2").name.str(), "r.test/x:2");
    EXPECT_EQ(parse_cache_target("r.test/x").kind, CacheTarget::Kind::Registry);
    EXPECT_EQ(parse_cache_target("inline").kind, CacheTarget::Kind::Inline);
}

TEST(CacheFlags, EveryOptionIsRead) {
    const auto target = parse_cache_target("type=local,dest=d,tag=t,mode=max,compression=gzip,"
                                           "compression-level=9,force-compression=true,"
                                           "oci-mediatypes=true,image-manifest=true,"
                                           "ignore-error=true,reset=true");
    EXPECT_EQ(target.directory, "d");
    EXPECT_EQ(target.name.tag, "t");
    EXPECT_TRUE(target.all_steps && target.ignore_error && target.reset);
    EXPECT_EQ(target.compression, layer::Form::Gzip);
    EXPECT_EQ(target.compression_level, 9);
}

TEST(CacheFlags, WhatIsNotThereIsRefusedByName) {
    const std::pair<const char*, const char*> kCases[] = {
        {"type=gha", "service"},
        {"type=s3,bucket=b", "service"},
        {"type=azblob", "service"},
        {"type=registy,ref=x", "did you mean registry"},
        {"type=registry", "needs ref="},
        {"type=local,mode=max", "needs dest="},
        {"type=registry,ref=x,mode=most", "min and max"},
        {"type=registry,ref=x,image-manifest=false", "an index of layers"},
        {"type=registry,ref=x,compression=estargz", "not the step's"},
        {"type=registry,ref=x,compression=nydus", "not implemented"},
        {"type=registry,ref=x,compression=gzip,compression-level=10", "compression-level"},
        {"type=registry,ref=x,registry.insecure=true", "insecure-registries"},
        {"type=inline,mode=max", "mode=min only"},
        {"type=local,dest=d,ref=x", "\"ref\" is not known"},
        {"dest=d", "type is required"},
    };
    for (const auto& [text, part] : kCases)
        EXPECT_NE(refusal([&] { parse_cache_target(text); }).find(part), std::string::npos) << text;
    EXPECT_NE(refusal([] { parse_cache_source("type=inline"); }).find("type=registry,ref=IMAGE"),
              std::string::npos);
    EXPECT_NE(refusal([] { parse_cache_source("type=local"); }).find("needs src="),
              std::string::npos);
}

// --- the document --------------------------------------------------------------------------------

CachedStep some_step(std::string_view name) {
    CachedStep step;
    step.key = codec::sha256(name);
    step.tree = codec::sha256(std::string_view("tree"));
    step.created_ns = 1'700'000'000'123'456'789;
    step.cost_ms = 12;
    step.name = name;
    return step;
}

TEST(CacheRecords, WhatIsWrittenIsRead) {
    auto first = some_step("RUN a"), second = some_step("COPY b /");
    first.layer = 1;
    second.content_key = codec::sha256(std::string_view("content"));
    const auto text = encode_cache({first, second});
    const auto read = decode_cache(text, 2);
    ASSERT_EQ(read.size(), 2u);
    EXPECT_TRUE((read[0] == first && read[1] == second) || (read[0] == second && read[1] == first));
    EXPECT_EQ(encode_cache({second, first}), text);
}

TEST(CacheRecords, NamesAreCutAndMadeText) {
    auto step = some_step("x");
    step.name = std::string(kMaxStepNameBytes - 1, 'a') + "\xc3\xa4" + "b";
    EXPECT_EQ(decode_cache(encode_cache({step}), 0)[0].name,
              std::string(kMaxStepNameBytes - 1, 'a'));
    step.name = "RUN \xff";
    EXPECT_EQ(decode_cache(encode_cache({step}), 0)[0].name, "RUN \xef\xbf\xbd");
}

TEST(CacheRecords, WhatCannotBeIsCorrupt) {
    const std::string key = "\"key\":\"sha256:" + std::string(64, 'a') + "\"";
    const std::string tree = "\"tree\":\"sha256:" + std::string(64, 'b') + "\"";
    const std::string created = "\"created\":\"2026-01-02T03:04:05Z\"";
    const auto step = [&](const std::string& members) { return "{\"steps\":[{" + members + "}]}"; };
    EXPECT_EQ(decode_cache(step(key + "," + tree + "," + created), 0).size(), 1u);
    const std::pair<std::string, const char*> kCases[] = {
        {"", "parse error"},
        {"[]", "not an object"},
        {"{}", "steps"},
        {"{\"steps\":{}}", "steps"},
        {step(tree + "," + created), "\"key\""},
        {step(key + "," + created), "\"tree\""},
        {step(key + "," + tree), "\"created\""},
        {step(key + "," + tree + ",\"created\":\"yesterday\""), "RFC 3339"},
        {step("\"key\":\"md5:1\"," + tree + "," + created), "not a SHA-256 digest"},
        {step(key + "," + tree + "," + created + ",\"layer\":2"), "the image has 2 layers"},
        {step(key + "," + tree + "," + created + ",\"layer\":-1"), "the image has 2 layers"},
        {step(key + "," + tree + "," + created + ",\"cost_ms\":-1"), "negative"},
        {step(key + "," + tree + "," + created + ",\"name\":\"" +
              std::string(kMaxStepNameBytes + 1, 'x') + "\""),
         "too long"},
        {"{\"steps\":[{" + key + "," + tree + "," + created + "},{" + key + "," + tree + "," +
             created + "}]}",
         "two steps"},
    };
    for (const auto& [text, part] : kCases)
        EXPECT_NE(refusal([&, text = text] { decode_cache(text, 2); }).find(part),
                  std::string::npos)
            << text;
}

}  // namespace
}  // namespace shale::build
