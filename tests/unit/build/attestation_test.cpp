// What is said about results: what goes beside an image, what into files, and what must never be
// said.
#include "attestation.hpp"
#include "build_fixture.hpp"

#include <shale/remote.hpp>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include <set>

namespace shale::build {
namespace {

using nlohmann::json;

struct Attested : testing::Test {
    MemoryRegistry registry;
    Builder machine{registry};
    TempDir out;

    Request request(const std::string& dockerfile, const std::string& attest) {
        auto made = machine.request(dockerfile);
        made.tags = {oci::Reference::parse("app:1")};
        add_attestation(made.attestations, attest);
        return made;
    }
    oci::Index index(const std::string& name = "app:1") {
        const auto descriptor = machine.store.resolve(oci::Reference::parse(name));
        return oci::decode_index(
            machine.store.read_document(descriptor->digest, oci::kMaxManifestBytes));
    }
    std::string document(const Digest& digest) {
        return machine.store.read_document(digest, oci::kMaxConfigBytes);
    }
    // The statements about the image at `place` of an index.
    std::vector<json> statements(const oci::Index& index, std::size_t place = 0) {
        std::vector<json> found;
        for (const auto& entry : index.manifests) {
            const auto about = entry.annotations.find("vnd.docker.reference.digest");
            if (about == entry.annotations.end() ||
                about->second != index.manifests[place].digest.str())
                continue;
            for (const auto& layer : oci::decode_manifest(document(entry.digest)).layers)
                found.push_back(json::parse(document(layer.digest)));
        }
        return found;
    }
    json provenance(const Request& request) {
        machine.build(request);
        const auto found = statements(index());
        EXPECT_EQ(found.size(), 1u);
        return found.at(0);
    }
    json file(const std::string& path) { return json::parse(read_file(out.path() + "/" + path)); }
};

constexpr const char* kBuild = "FROM scratch AS builder\nCOPY f /a\nFROM scratch\nARG V=1\n"
                               "COPY --from=builder /a /b\nENV X=$V\n";

TEST_F(Attested, AnImageBecomesAnIndexWithAManifestAboutIt) {
    machine.file("f", "F");
    const auto result = machine.build(request(kBuild, "type=provenance,mode=min"));
    EXPECT_TRUE(result.is_index);
    const auto made = index();
    ASSERT_EQ(made.manifests.size(), 2u);
    const auto& about = made.manifests[1];
    EXPECT_TRUE(oci::is_attestation(about));
    EXPECT_EQ(about.platform->str(), "unknown/unknown");
    EXPECT_EQ(about.annotations.at("vnd.docker.reference.type"), "attestation-manifest");
    EXPECT_EQ(about.annotations.at("vnd.docker.reference.digest"), made.manifests[0].digest.str());
    const auto manifest = oci::decode_manifest(document(about.digest));
    EXPECT_EQ(manifest.artifact_type, "application/vnd.docker.attestation.manifest.v1+json");
    EXPECT_EQ(manifest.subject->digest, made.manifests[0].digest);
    EXPECT_EQ(manifest.config.media_type, "application/vnd.oci.empty.v1+json");
    EXPECT_EQ(document(manifest.config.digest), "{}");
    ASSERT_EQ(manifest.layers.size(), 1u);
    EXPECT_EQ(manifest.layers[0].media_type, "application/vnd.in-toto+json");
    EXPECT_EQ(manifest.layers[0].annotations.at("in-toto.io/predicate-type"), kProvenanceV1);
    const auto said = json::parse(document(manifest.layers[0].digest));
    EXPECT_EQ(said["_type"], "https://in-toto.io/Statement/v1");
    EXPECT_EQ(said["predicateType"], kProvenanceV1);
    EXPECT_EQ(said["subject"][0]["name"], "pkg:docker/app@1?platform=" + std::string("linux%2F") +
                                              oci::Platform::host().architecture);
    EXPECT_EQ(said["subject"][0]["digest"]["sha256"], made.manifests[0].digest.hex());
    // Readers of images find the image.
    EXPECT_EQ(machine.text("app:1", "b"), "F");
}

TEST_F(Attested, TheImageItselfIsTheSameWithAndWithout) {
    machine.file("f", "F");
    auto plain = machine.request(kBuild);
    plain.tags = {oci::Reference::parse("plain")};
    const auto without = machine.build(plain);
    machine.build(request(kBuild, "type=provenance"));
    EXPECT_EQ(index().manifests[0].digest, without.manifest.digest);
}

TEST_F(Attested, TheOlderFormIsAnImageOfNoPlatform) {
    machine.file("f", "F");
    auto wanted = request(kBuild, "type=provenance");
    wanted.outputs = {output("type=image,oci-artifact=false")};
    machine.build(wanted);
    const auto manifest = oci::decode_manifest(document(index().manifests[1].digest));
    EXPECT_EQ(manifest.artifact_type, "");
    EXPECT_FALSE(manifest.subject);
    EXPECT_EQ(manifest.config.media_type, oci::media::kConfig);
    const auto config = oci::decode_config(document(manifest.config.digest));
    EXPECT_EQ(config.platform.str(), "unknown/unknown");
    ASSERT_EQ(config.diff_ids.size(), 1u);
    EXPECT_EQ(config.diff_ids[0], manifest.layers[0].digest);
}

TEST_F(Attested, DockersMediaTypesHaveNoPlaceForIt) {
    auto wanted = request("FROM scratch\nENV A=b\n", "type=provenance");
    wanted.outputs = {output("type=image,oci-mediatypes=false")};
    EXPECT_NE(machine.error_of(wanted).find("cannot export attestations"), std::string::npos);
}

TEST_F(Attested, TheSmallFormTellsNoArgumentsAndNoSteps) {
    machine.file("f", "F");
    auto wanted = request(kBuild, "type=provenance,mode=min");
    wanted.build_args = {{"V", "private"}};
    wanted.labels = {{"L", "hidden"}};
    const auto said = provenance(wanted)["predicate"];
    EXPECT_EQ(said.dump().find("private"), std::string::npos);
    EXPECT_EQ(said.dump().find("hidden"), std::string::npos);
    EXPECT_FALSE(said["buildDefinition"]["internalParameters"].contains("buildConfig"));
    const auto& metadata = said["runDetails"]["metadata"];
    EXPECT_EQ(metadata["buildkit_completeness"]["request"], false);
    EXPECT_FALSE(metadata["buildkit_metadata"].contains("source"));
    EXPECT_TRUE(metadata.contains("startedOn") && metadata.contains("finishedOn"));
    const auto& request = said["buildDefinition"]["externalParameters"]["request"];
    EXPECT_EQ(request["frontend"], "dockerfile.v0");
    EXPECT_EQ(request["locals"], json::parse(R"([{"name":"context"},{"name":"dockerfile"}])"));
}

TEST_F(Attested, TheLargeFormHasArgumentsStepsLinesAndLayers) {
    machine.file("f", "F");
    auto wanted = request(kBuild, "type=provenance,builder-id=https://ci.test/7");
    wanted.build_args = {{"V", "2"}};
    wanted.labels = {{"L", "M"}};
    const auto said = provenance(wanted)["predicate"];
    const auto& args = said["buildDefinition"]["externalParameters"]["request"]["args"];
    EXPECT_EQ(args["build-arg:V"], "2");
    EXPECT_EQ(args["label:L"], "M");
    EXPECT_EQ(said["runDetails"]["builder"]["id"], "https://ci.test/7");
    const auto& steps = said["buildDefinition"]["internalParameters"]["buildConfig"]["steps"];
    ASSERT_EQ(steps.size(), 3u);
    EXPECT_EQ(steps[0]["op"]["source"]["uri"], "local://context");
    EXPECT_EQ(steps[1]["instruction"], "COPY f /a");
    EXPECT_EQ(steps[1]["inputs"], json::parse(R"(["step0"])"));
    EXPECT_EQ(steps[2]["inputs"], json::parse(R"(["step1"])"));
    const auto& extra = said["runDetails"]["metadata"]["buildkit_metadata"];
    const auto& ranges = extra["source"]["locations"]["step2"]["locations"][0]["ranges"];
    EXPECT_EQ(ranges[0]["start"]["line"], 5);
    EXPECT_EQ(extra["source"]["infos"][0]["language"], "Dockerfile");
    EXPECT_EQ(extra["source"]["infos"][0]["data"], remote::encode_base64(kBuild));
    const auto manifest = machine.store.manifest(index().manifests[0]);
    ASSERT_EQ(extra["layers"]["step2"].size(), 1u);
    EXPECT_EQ(extra["layers"]["step2"][0]["digest"], manifest.layers[0].digest.str());
}

TEST_F(Attested, LayersOfABaseBelongToWhatItCameFrom) {
    machine.file("f", "F");
    auto base = machine.request("FROM scratch\nCOPY f /base\n");
    base.tags = {oci::Reference::parse("registry.test/base:1")};
    base.outputs = {output("type=registry")};
    const auto pushed = machine.build(base);
    const auto said = provenance(request("FROM registry.test/base:1\nCOPY f /x\nCOPY f /x\n",
                                         "type=provenance"))["predicate"];
    const auto& materials = said["buildDefinition"]["resolvedDependencies"];
    ASSERT_EQ(materials.size(), 1u);
    EXPECT_EQ(std::string(materials[0]["uri"]).find("pkg:docker/registry.test/base@1?platform="),
              0u);
    EXPECT_EQ(materials[0]["digest"]["sha256"], pushed.manifest.digest.hex());
    const auto& layers = said["runDetails"]["metadata"]["buildkit_metadata"]["layers"];
    const auto manifest = machine.store.manifest(index().manifests[0]);
    EXPECT_EQ(layers["step0"][0]["digest"], manifest.layers[0].digest.str());
    // Two layers with nothing in the second, and each has its step.
    EXPECT_EQ(manifest.layers.size(), 3u);
    EXPECT_EQ(layers["step2"][0]["digest"], manifest.layers[1].digest.str());
    EXPECT_EQ(layers["step3"][0]["digest"], manifest.layers[2].digest.str());
}

TEST_F(Attested, ASourceThatIsUsedTwiceIsListedOnce) {
    machine.file("f", "F");
    auto base = machine.request("FROM scratch\nCOPY f /base\n");
    base.tags = {oci::Reference::parse("registry.test/base:1")};
    base.outputs = {output("type=registry")};
    machine.build(base);
    const auto said =
        provenance(request("FROM registry.test/base:1 AS a\nCOPY f /x\nFROM registry.test/base:1\n"
                           "COPY --from=a /x /y\nCOPY --from=registry.test/base:1 /base /z\n",
                           "type=provenance,mode=min"))["predicate"];
    EXPECT_EQ(said["buildDefinition"]["resolvedDependencies"].size(), 1u);
}

TEST_F(Attested, AnImageOfALayoutIsCalledOne) {
    machine.file("f", "F");
    auto base = machine.request("FROM scratch\nCOPY f /base\n");
    base.tags = {oci::Reference::parse("base:1")};
    base.outputs = {output("type=oci,tar=false,dest=" + out.path())};
    const auto made = machine.build(base);
    auto wanted = request("FROM base\n", "type=provenance,mode=min");
    wanted.build_contexts = {{"base", "oci-layout://" + out.path() + ":1"}};
    const auto said = provenance(wanted)["predicate"];
    const auto& materials = said["buildDefinition"]["resolvedDependencies"];
    ASSERT_EQ(materials.size(), 1u);
    EXPECT_EQ(std::string(materials[0]["uri"]).find("pkg:oci/"), 0u);
    EXPECT_EQ(materials[0]["digest"]["sha256"], made.manifest.digest.hex());
}

TEST_F(Attested, AnImageOfMetadataOnlyHasProvenance) {
    const auto said =
        provenance(request("FROM scratch\nENV A=b\n", "type=provenance"))["predicate"];
    const auto& metadata = said["runDetails"]["metadata"];
    EXPECT_EQ(metadata["buildkit_completeness"]["request"], true);
    EXPECT_EQ(metadata["buildkit_hermetic"], false);  // its Dockerfile came from this machine
    EXPECT_TRUE(said["buildDefinition"]["resolvedDependencies"].empty());
}

TEST_F(Attested, EachPlatformHasItsOwn) {
    auto wanted = request("FROM scratch\nARG TARGETARCH\nCOPY <<E /$TARGETARCH\nE\n",
                          "type=provenance,mode=min");
    wanted.platforms = {oci::Platform::parse("linux/amd64"), oci::Platform::parse("linux/arm64")};
    machine.build(wanted);
    const auto made = index();
    ASSERT_EQ(made.manifests.size(), 4u);
    std::vector<std::string> ids;
    for (std::size_t i : {0u, 1u}) {
        const auto found = statements(made, i);
        ASSERT_EQ(found.size(), 1u);
        EXPECT_EQ(found[0]["subject"][0]["digest"]["sha256"], made.manifests[i].digest.hex());
        ids.push_back(found[0]["predicate"]["runDetails"]["metadata"]["invocationId"]);
    }
    EXPECT_EQ(ids[0], ids[1]);
}

TEST_F(Attested, WithASourceDateEpochTheBytesAreTheSameAgain) {
    auto wanted = request("FROM scratch\nWORKDIR /w\n", "type=provenance");
    add_attestation(wanted.attestations, "type=sbom");
    wanted.source_date_epoch = 1'600'000'000;
    const auto first = machine.build(wanted);
    Builder other(registry);
    other.clock.now += 1'000'000'000'000;
    wanted.context = other.context();
    EXPECT_EQ(other.build(wanted).manifest.digest, first.manifest.digest);
}

TEST_F(Attested, TheOlderVersionOfSlsaIsARearrangement) {
    machine.file("f", "F");
    const auto said = provenance(request(kBuild, "type=provenance,version=v0.2"));
    EXPECT_EQ(said["predicateType"], kProvenanceV02);
    const auto& predicate = said["predicate"];
    EXPECT_EQ(predicate["invocation"]["configSource"]["entryPoint"], "Dockerfile");
    EXPECT_EQ(predicate["invocation"]["parameters"]["frontend"], "dockerfile.v0");
    EXPECT_EQ(predicate["metadata"]["completeness"]["environment"], true);
    EXPECT_TRUE(predicate["metadata"].contains("buildStartedOn"));
    EXPECT_TRUE(predicate["buildConfig"].contains("steps"));
}

TEST_F(Attested, FilesOfALocalOutputAreItsSubjects) {
    machine.file("f", "F");
    auto wanted = request(kBuild, "type=provenance");
    wanted.outputs = {output("type=local,attestation-prefix=x-,dest=" + out.path())};
    machine.build(wanted);
    const auto said = file("x-provenance.json");
    ASSERT_EQ(said["subject"].size(), 1u);
    EXPECT_EQ(said["subject"][0]["name"], "b");
    EXPECT_EQ(said["subject"][0]["digest"]["sha256"], codec::sha256(std::string_view("F")).hex());
    EXPECT_EQ(read_file(out.path() + "/b"), "F");
}

TEST_F(Attested, InlineOnlyIsNoFile) {
    machine.file("f", "F");
    auto wanted = request(kBuild, "type=provenance,inline-only=true");
    wanted.outputs = {output("type=local,dest=" + out.path())};
    machine.build(wanted);
    EXPECT_FALSE(path_exists(out.path() + "/provenance.json"));
    EXPECT_TRUE(path_exists(out.path() + "/b"));
}

TEST_F(Attested, FilesOfSeveralPlatformsAreApartOrNamedAfterThem) {
    auto wanted = request("FROM scratch\nARG TARGETARCH\nCOPY <<E /$TARGETARCH\nE\n",
                          "type=provenance,mode=min");
    wanted.outputs = {output("type=local,dest=" + out.path() + "/one")};
    const auto platform = "linux_" + oci::Platform::host().architecture;
    machine.build(wanted);
    EXPECT_TRUE(path_exists(out.path() + "/one/provenance.json"));
    wanted.outputs = {output("type=local,platform-split=true,dest=" + out.path() + "/split")};
    machine.build(wanted);
    EXPECT_TRUE(path_exists(out.path() + "/split/" + platform + "/provenance.json"));
    wanted.platforms = {oci::Platform::parse("linux/amd64"), oci::Platform::parse("linux/arm64")};
    wanted.outputs = {output("type=local,dest=" + out.path() + "/several"),
                      output("type=local,platform-split=false,dest=" + out.path() + "/merged")};
    machine.build(wanted);
    for (const auto* name : {"linux_amd64", "linux_arm64"}) {
        EXPECT_TRUE(path_exists(out.path() + "/several/" + std::string(name) + "/provenance.json"));
        EXPECT_TRUE(path_exists(out.path() + "/merged/provenance." + std::string(name) + ".json"));
    }
}

TEST_F(Attested, PackagesOfTheResultAreListed) {
    machine.file("status", "Package: bash\nStatus: install ok installed\nArchitecture: amd64\n"
                           "Version: 5.2.15-2+b2\n\nPackage: gone\nStatus: deinstall ok "
                           "config-files\nVersion: 1\n");
    machine.file("os-release", "NAME=x\nID=debian\n");
    machine.build(
        request("FROM scratch\nCOPY status /var/lib/dpkg/\nCOPY os-release /etc/\n", "type=sbom"));
    const auto found = statements(index());
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0]["predicateType"], kSpdx);
    const auto& spdx = found[0]["predicate"];
    EXPECT_EQ(spdx["spdxVersion"], "SPDX-2.3");
    ASSERT_EQ(spdx["packages"].size(), 2u);
    EXPECT_EQ(spdx["packages"][1]["name"], "bash");
    EXPECT_EQ(spdx["packages"][1]["externalRefs"][0]["referenceLocator"],
              "pkg:deb/debian/bash@5.2.15-2%2Bb2?arch=amd64");
}

TEST_F(Attested, AListOfPackagesStaysReadable) {
    std::string status;
    for (int i = 0; i < 80'000; ++i)
        status +=
            "Package: p" + std::to_string(i) + "\nStatus: install ok installed\nVersion: 1\n\n";
    machine.file("status", status);
    machine.build(request("FROM scratch\nCOPY status /var/lib/dpkg/\n", "type=sbom"));
    const auto images = index();
    ASSERT_EQ(images.manifests.size(), 2u);
    const auto manifest = oci::decode_manifest(document(images.manifests[1].digest));
    ASSERT_EQ(manifest.layers.size(), 1u);
    EXPECT_LE(manifest.layers[0].size, kMaxStatementBytes);
    EXPECT_GT(manifest.layers[0].size, kMaxStatementBytes / 4) << "what fits is listed";
}

TEST_F(Attested, OtherStagesAndTheContextAreScannedIfAskedFor) {
    machine.file("package.json", R"({"name":"left-pad","version":"1.3.0"})");
    const std::string text = "FROM scratch AS one\nCOPY package.json /node_modules/left-pad/\n"
                             "FROM scratch AS two\nARG BUILDKIT_SBOM_SCAN_STAGE=true\n"
                             "COPY --from=one / /\nFROM scratch AS unused\nFROM scratch\n"
                             "COPY --from=two /node_modules /x\n";
    const auto scans = [&](const Request& request) {
        auto wanted = request;
        wanted.outputs = {output("type=local,dest=" + out.path())};
        machine.build(wanted);
        std::set<std::string> names;
        for (const auto& name : {"sbom", "sbom-one", "sbom-two", "sbom-unused", "sbom-context"}) {
            const auto path = out.path() + "/" + name + ".spdx.json";
            if (path_exists(path)) names.insert(name);
            ::unlink(path.c_str());
        }
        return names;
    };
    using Names = std::set<std::string>;
    auto wanted = request(text, "type=sbom");
    EXPECT_EQ(scans(wanted), (Names{"sbom", "sbom-two"}));
    wanted.build_args = {{"BUILDKIT_SBOM_SCAN_STAGE", "true"}};
    EXPECT_EQ(scans(wanted), (Names{"sbom", "sbom-one", "sbom-two"}));
    wanted.build_args = {{"BUILDKIT_SBOM_SCAN_STAGE", "one"}};
    EXPECT_EQ(scans(wanted), (Names{"sbom", "sbom-one"}));
    wanted.build_args = {{"BUILDKIT_SBOM_SCAN_STAGE", "false"},
                         {"BUILDKIT_SBOM_SCAN_CONTEXT", "1"}};
    EXPECT_EQ(scans(wanted), (Names{"sbom", "sbom-context"}));
}

// --- names and flags -----------------------------------------------------------------------------

TEST(AttestationFlags, AMistakeNamesTheFlagThatWasGiven) {
    Attestations attestations;
    try {
        add_attestation_of(attestations, "provenance", "maybe");
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(std::string(error.what()),
                  "--provenance: \"maybe\" is neither true nor false, nor options of --attest "
                  "(KEY=VALUE,...)");
    }
}

TEST(PackageUrls, OfImages) {
    const oci::Platform arm{"linux", "arm64", "v8"};
    const auto url = [&](const std::string& name) {
        return package_url("docker", oci::Reference::parse(name), arm);
    };
    EXPECT_EQ(url("alpine"), "pkg:docker/alpine@latest?platform=linux%2Farm64");
    EXPECT_EQ(url("me/app:1.0"), "pkg:docker/me/app@1.0?platform=linux%2Farm64");
    EXPECT_EQ(url("r.test:5000/a/b:1"), "pkg:docker/r.test:5000/a/b@1?platform=linux%2Farm64");
    const auto digest = "sha256:" + std::string(64, 'a');
    EXPECT_EQ(url("alpine@" + digest),
              "pkg:docker/alpine?digest=" + digest + "&platform=linux%2Farm64");
}

std::string refusal(const std::string& text) {
    Attestations attestations;
    try {
        add_attestation(attestations, text);
    } catch (const Error& error) {
        return error.what();
    }
    return "none";
}

TEST(AttestFlags, EveryOptionIsRead) {
    Attestations made;
    add_attestation(made, "type=provenance,mode=min,version=v0.2,builder-id=b,filename=f.json,"
                          "reproducible=true,inline-only=true");
    ASSERT_TRUE(made.provenance);
    EXPECT_FALSE(made.provenance->full || made.provenance->version_1);
    EXPECT_TRUE(made.provenance->reproducible && made.provenance->inline_only);
    EXPECT_EQ(made.provenance->builder_id + made.provenance->filename, "bf.json");
    add_attestation(made, "type=sbom,generator=g:1,MODE=fast");
    ASSERT_TRUE(made.sbom);
    EXPECT_EQ(made.sbom->generator, "g:1");
    EXPECT_EQ(made.sbom->parameters.at(0).key, "MODE");
    add_attestation(made, "type=provenance,disabled=true");
    EXPECT_FALSE(made.provenance);
}

TEST(AttestFlags, TheShorthandsAreBooleansOrOptions) {
    Attestations made;
    add_attestation_of(made, "provenance", "true");
    ASSERT_TRUE(made.provenance);
    EXPECT_TRUE(made.provenance->full);
    add_attestation_of(made, "provenance", "mode=min");
    EXPECT_FALSE(made.provenance->full);
    add_attestation_of(made, "provenance", "false");
    EXPECT_FALSE(made.provenance);
    add_attestation_of(made, "sbom", "1");
    EXPECT_TRUE(made.sbom);
}

TEST(AttestFlags, WhatMakesNoSenseIsRefused) {
    EXPECT_NE(refusal("type=provenance,mode=most").find("invalid mode"), std::string::npos);
    EXPECT_NE(refusal("type=provenance,version=v2").find("invalid provenance SLSA version"),
              std::string::npos);
    EXPECT_NE(refusal("type=provenance,filename=../x").find("no name of a file"),
              std::string::npos);
    EXPECT_NE(refusal("type=provenence").find("did you mean provenance"), std::string::npos);
    EXPECT_NE(refusal("mode=min").find("type not specified"), std::string::npos);
    EXPECT_NE(refusal("type=sbom,MODE=fast").find("for a generator"), std::string::npos);
    EXPECT_NE(refusal("type=sbom,generator=g,A-B=c").find("no name"), std::string::npos);
}

}  // namespace
}  // namespace shale::build
