// The registry client against a real registry process, and against a second opinion: what we push,
// skopeo must read. Damage is done to the registry's files on disk.
#include "local_registry.hpp"

#include <shale/codec.hpp>
#include <shale/registry.hpp>

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace shale::registry {
namespace {

using test::LocalRegistry;

// Bytes that no filter or buffer boundary leaves alone by accident.
std::string noise(std::size_t size) {
    std::string out(size, '\0');
    std::uint64_t state = 0x9e3779b97f4a7c15;
    for (char& c : out) {
        state = state * 6364136223846793005 + 1442695040888963407;
        c = static_cast<char>(state >> 56);
    }
    return out;
}

oci::Descriptor descriptor_of(std::string_view type, const std::string& bytes) {
    oci::Descriptor out;
    out.media_type = type;
    out.digest = codec::sha256(bytes);
    out.size = bytes.size();
    return out;
}

std::function<std::function<std::size_t(MutableBytes)>()> source_of(const std::string& bytes) {
    return [&bytes] {
        return [rest = std::string_view(bytes)](MutableBytes out) mutable {
            const auto count = std::min(out.size(), rest.size());
            std::memcpy(out.data(), rest.data(), count);
            rest.remove_prefix(count);
            return count;
        };
    };
}

struct Image {
    std::string layer, config, manifest;
    oci::Descriptor layer_descriptor, config_descriptor, manifest_descriptor;
};

// The layer is an empty tar archive with noise behind its end, which tar readers ignore.
Image make_image(std::size_t layer_bytes) {
    Image out;
    out.layer = std::string(1024, '\0') + noise(layer_bytes);
    out.layer_descriptor = descriptor_of(oci::media::kLayerTar, out.layer);
    oci::ImageConfig config;
    config.platform = oci::Platform::host();
    config.config.env = {"GREETING=hello"};
    config.diff_ids = {out.layer_descriptor.digest};
    config.history = {{1'600'000'000'000'000'000, "COPY . /", "", "", false}};
    out.config = oci::encode(config);
    out.config_descriptor = descriptor_of(oci::media::kConfig, out.config);
    oci::Manifest manifest;
    manifest.config = out.config_descriptor;
    manifest.layers = {out.layer_descriptor};
    out.manifest = oci::encode(manifest);
    out.manifest_descriptor = descriptor_of(oci::media::kManifest, out.manifest);
    return out;
}

Options options_without_waiting() {
    Options out;
    out.credentials = [](const std::string&) { return std::nullopt; };
    out.sleep = [](std::chrono::milliseconds) {};
    return out;
}

std::string output_of(const std::string& command) {
    std::string out;
    FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
    if (pipe == nullptr) throw_errno("popen");
    char buffer[4096];
    for (std::size_t count; (count = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;)
        out.append(buffer, count);
    const int status = ::pclose(pipe);
    return status == 0 ? out : "exit " + std::to_string(status) + ": " + out;
}

class RealRegistry : public testing::Test {
  protected:
    void SetUp() override {
        if (!LocalRegistry::is_available())
            GTEST_SKIP() << LocalRegistry::kProgram << " is not installed";
        server = std::make_unique<LocalRegistry>(server_options);
        name = oci::Reference::parse(server->domain() + "/team/app:1");
    }
    void push(Client& client, const Image& image, const oci::Reference& target) {
        client.push_blob(target, image.layer_descriptor, source_of(image.layer));
        client.push_blob(target, image.config_descriptor, source_of(image.config));
        client.push_manifest(target, image.manifest_descriptor, image.manifest);
    }
    std::string fetch(Client& client, const oci::Descriptor& blob) {
        std::string out;
        client.fetch_blob(name, blob, [&](Bytes bytes) { out.append(as_text(bytes)); });
        return out;
    }
    void expect_error(ErrorKind kind, const std::string& text, const std::function<void()>& body) {
        try {
            body();
            ADD_FAILURE() << "nothing thrown";
        } catch (const Error& error) {
            EXPECT_EQ(error.what(), text);
            EXPECT_EQ(error.kind(), kind);
        }
    }

    LocalRegistry::Options server_options;
    std::unique_ptr<LocalRegistry> server;
    oci::Reference name;
};

TEST_F(RealRegistry, WhatIsPushedComesBack) {
    Client client(options_without_waiting());
    const Image image = make_image(3 << 20);
    EXPECT_FALSE(client.has_blob(name, image.layer_descriptor.digest));
    EXPECT_TRUE(client.push_blob(name, image.layer_descriptor, source_of(image.layer)));
    EXPECT_TRUE(client.has_blob(name, image.layer_descriptor.digest));
    EXPECT_FALSE(client.push_blob(name, image.layer_descriptor, nullptr)) << "it is there already";
    push(client, image, name);

    const auto manifest = client.fetch_manifest(name);
    EXPECT_EQ(manifest.json, image.manifest);
    EXPECT_EQ(manifest.descriptor.digest, image.manifest_descriptor.digest);
    EXPECT_EQ(manifest.descriptor.media_type, oci::media::kManifest);
    EXPECT_EQ(fetch(client, image.layer_descriptor), image.layer);
    EXPECT_EQ(fetch(client, image.config_descriptor), image.config);

    auto pinned = name;
    pinned.tag.clear();
    pinned.digest = image.manifest_descriptor.digest;
    EXPECT_EQ(client.fetch_manifest(pinned).json, image.manifest);
}

TEST_F(RealRegistry, SkopeoReadsWhatWePush) {
    if (::access("/usr/bin/skopeo", X_OK) != 0) GTEST_SKIP() << "skopeo is not installed";
    Client client(options_without_waiting());
    const Image image = make_image(100);
    push(client, image, name);
    const std::string reference = " --tls-verify=false docker://" + name.str();
    EXPECT_EQ(output_of("skopeo inspect --raw" + reference), image.manifest);
    const std::string seen = output_of("skopeo inspect" + reference);
    EXPECT_NE(seen.find("GREETING=hello"), std::string::npos) << seen;
    EXPECT_NE(seen.find(image.layer_descriptor.digest.str()), std::string::npos) << seen;
    EXPECT_NE(seen.find(image.manifest_descriptor.digest.str()), std::string::npos) << seen;
}

TEST_F(RealRegistry, WeReadWhatSkopeoPushes) {
    if (::access("/usr/bin/skopeo", X_OK) != 0) GTEST_SKIP() << "skopeo is not installed";
    Client client(options_without_waiting());
    const Image image = make_image(100);
    push(client, image, name);
    const auto copy = oci::Reference::parse(server->domain() + "/copied/by-skopeo:2");
    const std::string said = output_of(
        "skopeo copy --format v2s2 --src-tls-verify=false --dest-tls-verify=false docker://" +
        name.str() + " docker://" + copy.str());
    const auto remote = client.fetch_manifest(copy);
    EXPECT_EQ(remote.descriptor.media_type, oci::media::kDockerManifest) << said;
    name = copy;
    const auto manifest = oci::decode_manifest(remote.json);
    EXPECT_EQ(oci::decode_config(fetch(client, manifest.config)).config.env.at(0),
              "GREETING=hello");
}

TEST_F(RealRegistry, NeighboursBlobIsMounted) {
    Client client(options_without_waiting());
    const Image image = make_image(1000);
    push(client, image, name);
    const auto neighbour = oci::Reference::parse(server->domain() + "/team/neighbour:1");
    EXPECT_FALSE(client.push_blob(neighbour, image.layer_descriptor, nullptr, "team/app"))
        << "nothing may be read: the source is null";
    EXPECT_TRUE(client.has_blob(neighbour, image.layer_descriptor.digest));
}

TEST_F(RealRegistry, MountOfWhatIsNotThereBecomesAnUpload) {
    Client client(options_without_waiting());
    const Image image = make_image(1000);
    EXPECT_TRUE(
        client.push_blob(name, image.layer_descriptor, source_of(image.layer), "team/none"));
    EXPECT_EQ(fetch(client, image.layer_descriptor), image.layer);
}

TEST_F(RealRegistry, EmptyBlobIsABlob) {
    Client client(options_without_waiting());
    const std::string nothing;
    const auto blob = descriptor_of(oci::media::kLayerTar, nothing);
    client.push_blob(name, blob, source_of(nothing));
    EXPECT_EQ(fetch(client, blob), nothing);
}

TEST_F(RealRegistry, WhatIsNotThereIsNotFound) {
    Client client(options_without_waiting());
    expect_error(ErrorKind::NotFound, name.str() + ": not found",
                 [&] { client.fetch_manifest(name); });
    const auto blob = make_image(10).layer_descriptor;
    expect_error(ErrorKind::NotFound, name.str() + ": blob " + blob.digest.str() + ": not found",
                 [&] { fetch(client, blob); });
}

TEST_F(RealRegistry, ManifestWithMissingBlobsIsRefusedWithTheRegistrysReason) {
    Client client(options_without_waiting());
    const Image image = make_image(10);
    try {
        client.push_manifest(name, image.manifest_descriptor, image.manifest);
        FAIL();
    } catch (const Error& error) {
        const std::string what = error.what();
        EXPECT_TRUE(
            what.starts_with("PUT http://" + server->domain() + "/v2/team/app/manifests/1: HTTP 4"))
            << what;
        EXPECT_NE(what.find("unknown"), std::string::npos) << what;
    }
}

TEST_F(RealRegistry, TruncatedBlobIsCorrupt) {
    Client client(options_without_waiting());
    const Image image = make_image(2 << 20);
    push(client, image, name);
    ASSERT_EQ(::truncate(server->blob_path(image.layer_descriptor.digest).c_str(), 5000), 0);
    try {
        fetch(client, image.layer_descriptor);
        FAIL() << "a truncated layer was accepted";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::Corrupt) << error.what();
        EXPECT_NE(std::string(error.what()).find(image.layer_descriptor.digest.hex()),
                  std::string::npos)
            << error.what();
    }
}

TEST_F(RealRegistry, DamagedBlobIsCorruptAndNamesBothDigests) {
    Client client(options_without_waiting());
    const Image image = make_image(5000);
    push(client, image, name);
    std::string damaged = image.layer;
    damaged[3000] = static_cast<char>(damaged[3000] ^ 1);
    write_file_atomic(server->blob_path(image.layer_descriptor.digest), as_bytes(damaged));
    expect_error(ErrorKind::Corrupt,
                 "digest mismatch for " + image.layer_descriptor.digest.str() + ": " +
                     codec::sha256(damaged).str() +
                     " (expected: " + image.layer_descriptor.digest.str() + ")",
                 [&] { fetch(client, image.layer_descriptor); });
}

// Breaks the first transfer of a blob after some bytes; the rest is the real transport's.
class BreaksOnce final : public HttpTransport {
  public:
    BreaksOnce(std::uint64_t after, std::vector<int>& statuses)
        : after_(after), statuses_(statuses), real_(http::curl_transport()) {}
    void perform(const HttpRequest& request,
                 const std::function<void(const HttpResponse&)>& on_head,
                 const std::function<void(Bytes)>& on_body) override {
        real_->perform(
            request,
            [&](const HttpResponse& head) {
                statuses_.push_back(head.status);
                on_head(head);
            },
            [&](Bytes bytes) {
                const auto now = std::min<std::uint64_t>(bytes.size(), after_);
                on_body(bytes.first(now));
                if (now == bytes.size()) {
                    after_ -= now;
                    return;
                }
                after_ = UINT64_MAX;
                fail(ErrorKind::Network, "cut by the test");
            });
    }

  private:
    std::uint64_t after_;
    std::vector<int>& statuses_;
    std::unique_ptr<HttpTransport> real_;
};

TEST_F(RealRegistry, BrokenDownloadIsResumedByRange) {
    const Image image = make_image(1 << 20);
    {
        Client client(options_without_waiting());
        push(client, image, name);
    }
    std::vector<int> statuses;
    Client client(options_without_waiting(), std::make_unique<BreaksOnce>(700'001, statuses));
    EXPECT_EQ(fetch(client, image.layer_descriptor), image.layer);
    EXPECT_EQ(statuses, (std::vector<int>{200, 206}));
}

TEST_F(RealRegistry, MirrorServesAnotherDomain) {
    auto options = options_without_waiting();
    options.mirrors["docker.io"] = {"http://" + server->domain()};
    Client client(options);
    const Image image = make_image(10);
    push(client, image, oci::Reference::parse(server->domain() + "/library/node:18"));
    name = oci::Reference::parse("node:18");
    EXPECT_EQ(client.fetch_manifest(name).json, image.manifest);
    EXPECT_EQ(fetch(client, image.layer_descriptor), image.layer);
}

TEST_F(RealRegistry, ManyThreadsShareOneClient) {
    Client client(options_without_waiting());
    const Image image = make_image(300'000);
    push(client, image, name);
    std::vector<std::thread> threads;
    std::vector<std::string> got(4);
    for (auto& bytes : got)
        threads.emplace_back([&] { bytes = fetch(client, image.layer_descriptor); });
    for (auto& thread : threads)
        thread.join();
    for (const auto& bytes : got)
        EXPECT_EQ(bytes, image.layer);
}

TEST_F(RealRegistry, ThatIsDownIsReportedInOneLine) {
    Client client(options_without_waiting());
    server->stop();
    expect_error(ErrorKind::Network,
                 "GET http://" + server->domain() + "/v2/team/app/manifests/1: Connection refused",
                 [&] { client.fetch_manifest(name); });
}

class PasswordRegistry : public RealRegistry {
  protected:
    PasswordRegistry() { server_options.basic_auth = true; }
};

TEST_F(PasswordRegistry, AdmitsWhoKnowsIt) {
    auto options = options_without_waiting();
    options.credentials = [&](const std::string& domain) -> std::optional<Credential> {
        EXPECT_EQ(domain, server->domain());
        return Credential{"user", "secret", ""};
    };
    Client client(options);
    const Image image = make_image(10'000);
    push(client, image, name);
    EXPECT_EQ(client.fetch_manifest(name).json, image.manifest);
    EXPECT_EQ(fetch(client, image.layer_descriptor), image.layer);
}

TEST_F(PasswordRegistry, DeniesStrangersAndGuessers) {
    const std::string denied = " access denied for " + server->domain() +
                               "/team/app, repository does not exist or may require authorization";
    Client stranger(options_without_waiting());
    expect_error(ErrorKind::Denied, "pull" + denied + ": server message: authentication required",
                 [&] { stranger.fetch_manifest(name); });
    auto options = options_without_waiting();
    options.credentials = [](const std::string&) { return Credential{"user", "wrong", ""}; };
    Client guesser(options);
    const Image image = make_image(10);
    // The first request is a HEAD, whose refusal comes without words.
    expect_error(ErrorKind::Denied, "push" + denied, [&] { push(guesser, image, name); });
}

}  // namespace
}  // namespace shale::registry
