// Pushing against a scripted registry: what is asked before a byte is sent, mounts, upload
// locations in all their forms, retries, and what must not be sent.
#include "scripted_transport.hpp"

namespace shale::registry {
namespace {

const std::string kHost = "http://127.0.0.1:5000";
const oci::Reference kName = oci::Reference::parse("127.0.0.1:5000/team/app:1");
const std::string kUploads = kHost + "/v2/team/app/blobs/uploads/";

class Push : public ScriptedTest {
  protected:
    bool push(const std::string& mount_from = {}) {
        return client().push_blob(
            kName, blob,
            [this] {
                ++opened;
                return [rest = std::string_view(bytes)](MutableBytes out) mutable {
                    const auto count = std::min(out.size(), rest.size());
                    std::memcpy(out.data(), rest.data(), count);
                    rest.remove_prefix(count);
                    return count;
                };
            },
            mount_from);
    }
    std::string bytes = "the bytes of a layer";
    const oci::Descriptor blob = descriptor_of("the bytes of a layer");
    const std::string encoded = "sha256%3a" + blob.digest.hex();
    const std::string head = "HEAD " + kHost + "/v2/team/app/blobs/" + blob.digest.str();
    int opened = 0;
};

TEST_F(Push, BlobThatIsThereIsNotSent) {
    script = {{head, 200}};
    EXPECT_FALSE(push());
    EXPECT_EQ(opened, 0);
}

TEST_F(Push, BlobIsUploadedInOnePiece) {
    script = {{head, 404},
              {"POST " + kUploads, 202, {{"location", "/up/1?state=s"}}},
              {"PUT " + kHost + "/up/1?state=s&digest=" + encoded, 201}};
    EXPECT_TRUE(push());
    EXPECT_EQ(asked.at(2).body, bytes);
    EXPECT_EQ(header(2, "Content-Type"), "application/octet-stream");
    EXPECT_EQ(opened, 1);
}

TEST_F(Push, LocationMayHaveAnyForm) {
    const std::map<std::string, std::string> forms = {
        {kHost + "/up/1", kHost + "/up/1?digest="},
        {"/up/1", kHost + "/up/1?digest="},
        {"up-1", kUploads + "up-1?digest="},
        {"?session=1", kUploads + "?session=1&digest="},
        {"https://other.example/u?a=b", "https://other.example/u?a=b&digest="}};
    for (const auto& [location, target] : forms) {
        script = {{head, 404},
                  {"POST " + kUploads, 202, {{"location", location}}},
                  {"PUT " + target + encoded, 201}};
        EXPECT_TRUE(push()) << location;
    }
}

TEST_F(Push, MissingLocationIsNamed) {
    script = {{head, 404}, {"POST " + kUploads, 202}};
    expect_error(ErrorKind::Network, "Location of " + kUploads + ": missing", [&] { push(); });
}

TEST_F(Push, MountThatIsAcceptedSendsNothing) {
    script = {{head, 404}, {"POST " + kUploads + "?mount=" + encoded + "&from=team%2fbase", 201}};
    EXPECT_FALSE(push("team/base"));
    EXPECT_EQ(opened, 0);
}

TEST_F(Push, MountThatIsDeclinedUsesTheSessionOffered) {
    script = {{head, 404},
              {"POST " + kUploads + "?mount=" + encoded + "&from=team%2fbase",
               202,
               {{"location", "/up/7"}}},
              {"PUT " + kHost + "/up/7?digest=" + encoded, 201}};
    EXPECT_TRUE(push("team/base"));
}

TEST_F(Push, MountThatIsForbiddenFallsBackToAnUpload) {
    for (const int status : {400, 403, 404, 405}) {
        script = {{head, 404},
                  {"POST " + kUploads + "?mount=" + encoded + "&from=team%2fbase", status},
                  {"POST " + kUploads, 202, {{"location", "/up/7"}}},
                  {"PUT " + kHost + "/up/7?digest=" + encoded, 201}};
        EXPECT_TRUE(push("team/base")) << status;
    }
}

TEST_F(Push, OwnRepositoryIsNotMountedFrom) {
    script = {{head, 404},
              {"POST " + kUploads, 202, {{"location", "/up/1"}}},
              {"PUT " + kHost + "/up/1?digest=" + encoded, 201}};
    EXPECT_TRUE(push("team/app"));
}

TEST_F(Push, BrokenUploadStartsAgainInANewSession) {
    script = {{head, 404},
              {"POST " + kUploads, 202, {{"location", "/up/1"}}},
              {"PUT " + kHost + "/up/1?digest=" + encoded, 0},
              {head, 404},
              {"POST " + kUploads, 202, {{"location", "/up/2"}}},
              {"PUT " + kHost + "/up/2?digest=" + encoded, 201}};
    EXPECT_TRUE(push());
    EXPECT_EQ(opened, 2);
    EXPECT_EQ(asked.at(5).body, bytes);
    EXPECT_EQ(slept.size(), 1u);
}

TEST_F(Push, LostAnswerIsFoundOutByAsking) {
    script = {{head, 404},
              {"POST " + kUploads, 202, {{"location", "/up/1"}}},
              {"PUT " + kHost + "/up/1?digest=" + encoded, 504},
              {head, 200}};
    EXPECT_FALSE(push());
}

TEST_F(Push, RedirectedUploadSendsTheBodyAgain) {
    script = {{head, 404},
              {"POST " + kUploads, 202, {{"location", "/up/1"}}},
              {"PUT " + kHost + "/up/1?digest=" + encoded,
               307,
               {{"location", "https://s.example/put?k=1"}}},
              {"PUT https://s.example/put?k=1", 201}};
    EXPECT_TRUE(push());
    EXPECT_EQ(asked.at(3).body, bytes);
}

TEST_F(Push, RedirectThatWouldLoseTheBodyIsRefused) {
    script = {{head, 404},
              {"POST " + kUploads, 202, {{"location", "/up/1"}}},
              {"PUT " + kHost + "/up/1?digest=" + encoded, 302, {{"location", "/x"}}}};
    expect_error(ErrorKind::Network, "PUT " + kHost + "/up/1: HTTP 302", [&] { push(); });
}

TEST_F(Push, BytesThatChangedMeanwhileAreCorrupt) {
    bytes = "the bytes of a LAYER";
    script = {{head, 404},
              {"POST " + kUploads, 202, {{"location", "/up/1"}}},
              {"PUT " + kHost + "/up/1?digest=" + encoded,
               400,
               {},
               R"({"errors":[{"code":"DIGEST_INVALID","message":"digest did not match"}]})"}};
    expect_error(ErrorKind::Corrupt,
                 "pushing " + blob.digest.str() + ": the bytes sent have another digest",
                 [&] { push(); });
}

TEST_F(Push, UploadAcceptedTooEarlyIsAnError) {
    Step early{"PUT " + kHost + "/up/1?digest=" + encoded, 201};
    early.reads = 7;
    script = {{head, 404}, {"POST " + kUploads, 202, {{"location", "/up/1"}}}, early};
    expect_error(ErrorKind::Network, kHost + "/up/1: accepted after 7 of 20 bytes",
                 [&] { push(); });
}

// A peer would wait for the rest, and so would we.
TEST_F(Push, BlobThatWasCutShortIsGivenUpAtOnce) {
    bytes = "the by";
    script = {{head, 404}, {"POST " + kUploads, 202, {{"location", "/up/1"}}}};
    expect_error(ErrorKind::Corrupt,
                 "pushing " + blob.digest.str() + ": it ends after 6 of 20 bytes", [&] { push(); });
}

TEST_F(Push, DenialNamesTheRepository) {
    script = {{head, 403, {}, {}}};
    expect_error(ErrorKind::Denied,
                 "push access denied for 127.0.0.1:5000/team/app, repository does not exist or may "
                 "require authorization",
                 [&] { push(); });
}

TEST_F(Push, PlainHttpUploadOfATlsRegistryIsRefused) {
    const auto name = oci::Reference::parse("r.example/x");
    const std::string base = "https://r.example/v2/x/blobs/";
    script = {{"HEAD " + base + blob.digest.str(), 404},
              {"POST " + base + "uploads/", 202, {{"location", "http://r.example/up"}}}};
    expect_error(ErrorKind::Network, "refusing to upload over plain http: http://r.example/up",
                 [&] {
                     client().push_blob(name, blob,
                                        [] { return [](MutableBytes) { return std::size_t{0}; }; });
                 });
}

TEST_F(Push, ManifestGoesUnderItsTag) {
    const auto descriptor = descriptor_of(kEmptyManifest, oci::media::kManifest);
    script = {{"PUT " + kHost + "/v2/team/app/manifests/1",
               201,
               {{"docker-content-digest", descriptor.digest.str()}}}};
    client().push_manifest(kName, descriptor, kEmptyManifest);
    EXPECT_EQ(asked.at(0).body, kEmptyManifest);
    EXPECT_EQ(header(0, "Content-Type"), oci::media::kManifest);
}

TEST_F(Push, ManifestWithoutATagGoesUnderItsDigest) {
    const auto descriptor = descriptor_of(kEmptyManifest, oci::media::kManifest);
    auto name = kName;
    name.tag.clear();
    script = {{"PUT " + kHost + "/v2/team/app/manifests/" + descriptor.digest.str(), 503},
              {"PUT " + kHost + "/v2/team/app/manifests/" + descriptor.digest.str(), 201}};
    client().push_manifest(name, descriptor, kEmptyManifest);
    EXPECT_EQ(asked.at(1).body, kEmptyManifest) << "the retry sends it from the start";
}

TEST_F(Push, ManifestThatTheRegistryRewroteIsCorrupt) {
    const auto descriptor = descriptor_of(kEmptyManifest, oci::media::kManifest);
    const std::string other = codec::sha256("other").str();
    script = {
        {"PUT " + kHost + "/v2/team/app/manifests/1", 201, {{"docker-content-digest", other}}}};
    expect_error(ErrorKind::Corrupt,
                 "pushing " + kName.str() + ": the registry stored " + other + " instead of " +
                     descriptor.digest.str(),
                 [&] { client().push_manifest(kName, descriptor, kEmptyManifest); });
}

TEST_F(Push, ManifestThatIsNotItsDescriptorIsNotSent) {
    const auto descriptor = descriptor_of("other", oci::media::kManifest);
    expect_error(ErrorKind::Corrupt,
                 "pushing " + kName.str() + ": the manifest is not " + descriptor.digest.str(),
                 [&] { client().push_manifest(kName, descriptor, kEmptyManifest); });
}

}  // namespace
}  // namespace shale::registry
