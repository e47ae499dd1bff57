// Pulling against a scripted registry: names and mirrors, refusals, retries, and blobs that arrive
// in pieces, too long, too short, or wrong.
#include "scripted_transport.hpp"

namespace shale::registry {
namespace {

const std::string kHost = "http://127.0.0.1:5000";
const oci::Reference kName = oci::Reference::parse("127.0.0.1:5000/team/app:1");
const std::string kManifestUrl = "GET " + kHost + "/v2/team/app/manifests/1";

class Pull : public ScriptedTest {
  protected:
    std::string fetch(const oci::Descriptor& blob, const oci::Reference& name = kName) {
        std::string out;
        client().fetch_blob(name, blob, [&](Bytes bytes) { out.append(as_text(bytes)); });
        return out;
    }
};

std::string blob_request(const oci::Descriptor& blob, const std::string& host = kHost) {
    return "GET " + host + "/v2/team/app/blobs/" + blob.digest.str();
}

TEST_F(Pull, ManifestIsVerifiedAndDescribed) {
    const auto digest = codec::sha256(kEmptyManifest);
    script = {{kManifestUrl, 200, {{"docker-content-digest", digest.str()}}, kEmptyManifest}};
    const auto manifest = client().fetch_manifest(kName);
    EXPECT_EQ(manifest.json, kEmptyManifest);
    EXPECT_EQ(manifest.descriptor.digest, digest);
    EXPECT_EQ(manifest.descriptor.size, kEmptyManifest.size());
    EXPECT_EQ(manifest.descriptor.media_type, oci::media::kManifest);
    for (const auto type : {oci::media::kIndex, oci::media::kManifest, oci::media::kDockerIndex,
                            oci::media::kDockerManifest})
        EXPECT_NE(header(0, "Accept").find(type), std::string::npos) << type;
}

TEST_F(Pull, DockerHubIsServedByAnotherHostOverTls) {
    script = {{"GET https://registry-1.docker.io/v2/library/node/manifests/18",
               404,
               {},
               R"({"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]})"}};
    expect_error(ErrorKind::NotFound, "docker.io/library/node:18: not found",
                 [&] { client().fetch_manifest(oci::Reference::parse("node:18")); });
}

TEST_F(Pull, PlainHttpOnlyForLoopbackAndInsecureDomains) {
    options.insecure = {"plain.example:5000"};
    const auto scheme_for = [&](const std::string& domain, const std::string& scheme) {
        script.push_back({"GET " + scheme + "://" + domain + "/v2/x/manifests/latest", 404});
        EXPECT_THROW(client().fetch_manifest(oci::Reference::parse(domain + "/x")), Error);
    };
    scheme_for("127.0.0.1:5000", "http");
    scheme_for("127.255.0.9", "http");
    scheme_for("localhost", "http");
    scheme_for("localhost:1", "http");
    scheme_for("[::1]:5000", "http");
    scheme_for("plain.example:5000", "http");
    scheme_for("plain.example", "https");
    scheme_for("128.0.0.1", "https");
    scheme_for("localhost.example.org", "https");
    scheme_for("127.0.0.1.example.org", "https");
}

TEST_F(Pull, MediaTypeComesFromTheDocumentThenFromTheHeader) {
    const std::string silent = R"({"schemaVersion":2,"manifests":[]})";
    script = {{kManifestUrl, 200, {{"content-type", "text/html"}}, kEmptyManifest},
              {kManifestUrl,
               200,
               {{"content-type", std::string(oci::media::kDockerIndex) + "; x"}},
               silent},
              {kManifestUrl, 200, {{"content-type", std::string(oci::media::kManifest)}}, silent}};
    EXPECT_EQ(client().fetch_manifest(kName).descriptor.media_type, oci::media::kManifest);
    EXPECT_EQ(client().fetch_manifest(kName).descriptor.media_type, oci::media::kDockerIndex);
    EXPECT_EQ(client().fetch_manifest(kName).descriptor.media_type, oci::media::kIndex);
}

TEST_F(Pull, ManifestWithAnotherDigestIsCorrupt) {
    auto name = kName;
    name.digest = codec::sha256("something else");
    const auto got = codec::sha256(kEmptyManifest).str(), want = name.digest->str();
    script = {{"GET " + kHost + "/v2/team/app/manifests/" + want, 200, {}, kEmptyManifest},
              {kManifestUrl, 200, {{"docker-content-digest", want}}, kEmptyManifest}};
    expect_error(ErrorKind::Corrupt,
                 "digest mismatch for " + name.str() + ": " + got + " (expected: " + want + ")",
                 [&] { client().fetch_manifest(name); });
    expect_error(ErrorKind::Corrupt,
                 "digest mismatch for " + kName.str() + ": " + got + " (expected: " + want + ")",
                 [&] { client().fetch_manifest(kName); });
}

TEST_F(Pull, ManifestThatIsTooLargeOrAmbiguousIsCorrupt) {
    script = {{kManifestUrl, 200, {}, std::string(oci::kMaxManifestBytes + 1, ' ')},
              {kManifestUrl, 200, {}, R"({"schemaVersion":2,"layers":[],"manifests":[]})"}};
    expect_error(ErrorKind::Corrupt, kManifestUrl.substr(4) + ": larger than 4.19 MB",
                 [&] { client().fetch_manifest(kName); });
    expect_error(ErrorKind::Corrupt, "manifest: both a manifest and an index, which is ambiguous",
                 [&] { client().fetch_manifest(kName); });
}

TEST_F(Pull, DenialNamesTheRepositoryAndTheServersWords) {
    script = {{kManifestUrl,
               403,
               {},
               R"({"errors":[{"code":"DENIED","message":"no\u001b[31m way\n","detail":{}}]})"}};
    expect_error(ErrorKind::Denied,
                 "pull access denied for 127.0.0.1:5000/team/app, repository does not exist or may "
                 "require authorization: server message: no [31m way",
                 [&] { client().fetch_manifest(kName); });
}

TEST_F(Pull, ServerErrorsAreRetriedWithGrowingPauses) {
    script = {{kManifestUrl, 500},
              {kManifestUrl, 502, {}, "<html>bad gateway</html>"},
              {kManifestUrl, 0},
              {kManifestUrl, 200, {}, kEmptyManifest}};
    EXPECT_EQ(client().fetch_manifest(kName).json, kEmptyManifest);
    EXPECT_EQ(slept, (std::vector<std::int64_t>{500, 1000, 2000}));
}

TEST_F(Pull, ServerErrorThatStaysIsReportedOnce) {
    for (int i = 0; i < 4; ++i)
        script.push_back({kManifestUrl, 503, {}, "overloaded\nsecond line"});
    expect_error(ErrorKind::Network, kManifestUrl + ": HTTP 503: overloaded",
                 [&] { client().fetch_manifest(kName); });
    EXPECT_EQ(slept.size(), 3u);
}

TEST_F(Pull, RegistryThatIsDownGivesOneLine) {
    options.attempts = 2;
    script = {{kManifestUrl, 0}, {kManifestUrl, 0}};
    expect_error(ErrorKind::Network, kManifestUrl + ": Connection refused",
                 [&] { client().fetch_manifest(kName); });
}

TEST_F(Pull, RetryAfterIsHonouredUpToACap) {
    script = {{kManifestUrl, 429, {{"retry-after", "7"}}},
              {kManifestUrl, 429, {{"retry-after", "86400"}}},
              {kManifestUrl, 503, {{"retry-after", "Fri, 31 Dec 1999 23:59:59 GMT"}}},
              {kManifestUrl, 200, {}, kEmptyManifest}};
    client().fetch_manifest(kName);
    EXPECT_EQ(slept, (std::vector<std::int64_t>{7000, 30000, 2000}));
}

TEST_F(Pull, RefusalsAreNotRetried) {
    script = {{kManifestUrl, 400, {}, R"({"errors":[{"code":"NAME_INVALID"}]})"}};
    expect_error(ErrorKind::Network, kManifestUrl + ": HTTP 400: NAME_INVALID",
                 [&] { client().fetch_manifest(kName); });
    EXPECT_TRUE(slept.empty());
}

TEST_F(Pull, RedirectIsFollowedAndItsQueryStaysSecret) {
    const auto blob = descriptor_of("hello");
    script = {{blob_request(blob), 307, {{"location", "https://cdn.example/b?sig=secret"}}},
              {"GET https://cdn.example/b?sig=secret", 403, {}, "expired"}};
    try {
        fetch(blob);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(std::string(error.what()).find("secret"), std::string::npos) << error.what();
    }
}

struct LocationForm {
    std::string location, target;
};

TEST_F(Pull, LocationMayBeRelative) {
    const auto blob = descriptor_of("hello");
    const std::string folder = kHost + "/v2/team/app/blobs/";
    for (const auto& form : {LocationForm{kHost + "/x", kHost + "/x"},
                             {"/x?a=b", kHost + "/x?a=b"},
                             {"x", folder + "x"},
                             {"//cdn.example/x", "http://cdn.example/x"},
                             {"?a=b", blob_request(blob).substr(4) + "?a=b"},
                             {"HTTPS://CDN.example/x#part", "https://cdn.example/x"},
                             {"/x?next=http://other/", kHost + "/x?next=http://other/"}}) {
        script = {{blob_request(blob), 302, {{"location", form.location}}},
                  {"GET " + form.target, 200, {}, "hello"}};
        EXPECT_EQ(fetch(blob), "hello") << form.location;
    }
}

TEST_F(Pull, RedirectsThatLeadAstrayAreRefused) {
    const auto blob = descriptor_of("hello");
    for (const std::string location : {"", "ftp://h/x", "file:///etc/passwd", "http://u:p@h/x",
                                       "http://h/a b", "http://h/a\r\nX: y", "http:///x"}) {
        script = {{blob_request(blob), 302, {{"location", location}}}};
        try {
            fetch(blob);
            FAIL() << location;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::Network) << error.what();
        }
    }
}

TEST_F(Pull, RedirectLoopEnds) {
    const auto blob = descriptor_of("hello");
    for (int i = 0; i < 11; ++i)
        script.push_back({blob_request(blob), 302, {{"location", blob_request(blob).substr(4)}}});
    expect_error(ErrorKind::Network, blob_request(blob).substr(4) + ": too many redirects",
                 [&] { fetch(blob); });
}

TEST_F(Pull, TlsIsNeverLeftBehind) {
    const auto blob = descriptor_of("hello");
    script = {{blob_request(blob, "https://r.example"), 307, {{"location", "http://r.example/x"}}}};
    expect_error(ErrorKind::Network,
                 "refusing to follow " + blob_request(blob, "https://r.example").substr(4) +
                     " to plain http: http://r.example/x",
                 [&] { fetch(blob, oci::Reference::parse("r.example/team/app")); });
}

TEST_F(Pull, StopEndsTheCallBeforeTheNextRequest) {
    std::stop_source source;
    options.stop = source.get_token();
    options.sleep = [&](std::chrono::milliseconds) { source.request_stop(); };
    script = {{kManifestUrl, 503, {}, ""}};
    expect_error(ErrorKind::Cancelled, "cancelled", [&] { client().fetch_manifest(kName); });
    expect_error(ErrorKind::Cancelled, "cancelled", [&] { client().fetch_manifest(kName); });
    EXPECT_EQ(asked.size(), 1u);
}

TEST_F(Pull, BlobIsStreamedOnce) {
    const auto blob = descriptor_of("hello");
    script = {{blob_request(blob), 200, {{"content-length", "5"}}, "hello"}};
    EXPECT_EQ(fetch(blob), "hello");
    EXPECT_EQ(header(0, "Range"), "(none)");
}

TEST_F(Pull, EmptyBlobIsAsked) {
    const auto blob = descriptor_of("");
    script = {{blob_request(blob)}};
    EXPECT_EQ(fetch(blob), "");
}

TEST_F(Pull, BrokenBlobIsResumedWhereItBroke) {
    const auto blob = descriptor_of("hello world");
    script = {{blob_request(blob), 200, {{"content-length", "11"}}, "hel", true},
              {blob_request(blob), 0},
              {blob_request(blob), 206, {{"content-range", "bytes 3-10/11"}}, "lo ", true},
              {blob_request(blob), 206, {{"content-range", "bytes 6-10/11"}}, "world"}};
    EXPECT_EQ(fetch(blob), "hello world");
    EXPECT_EQ(header(1, "Range"), "bytes=3-");
    EXPECT_EQ(header(3, "Range"), "bytes=6-");
    EXPECT_EQ(slept.size(), 3u);
}

TEST_F(Pull, ServerWithoutRangesSendsAllAndOnlyTheRestIsUsed) {
    const auto blob = descriptor_of("hello world");
    script = {{blob_request(blob), 200, {}, "hello", true},
              {blob_request(blob), 200, {{"content-length", "11"}}, "hello world"}};
    EXPECT_EQ(fetch(blob), "hello world");
}

TEST_F(Pull, WrongRangeIsCorrupt) {
    const auto blob = descriptor_of("hello world");
    const std::string url = blob_request(blob).substr(4);
    for (const std::string range :
         {"bytes 0-10/11", "bytes 5-9/11", "bytes 5-10/*", "bytes 5-10/12", "", "bytes 05-10/11"}) {
        script = {{blob_request(blob), 200, {}, "hello", true},
                  {blob_request(blob), 206, {{"content-range", range}}, " world"}};
        expect_error(ErrorKind::Corrupt,
                     url + ": answered with the range \"" + range +
                         "\" instead of \"bytes 5-10/11\"",
                     [&] { fetch(blob); });
    }
}

TEST_F(Pull, RangeThatNobodyAskedForIsCorrupt) {
    const auto blob = descriptor_of("hello");
    script = {{blob_request(blob), 206, {{"content-range", "bytes 0-4/5"}}, "hello"}};
    EXPECT_THROW(fetch(blob), Error);
}

class Range : public Pull {
  protected:
    std::string fetch_range(std::uint64_t offset, std::size_t bytes) {
        std::string out(bytes, '?');
        client().fetch_range(kName, blob, offset, std::as_writable_bytes(std::span(out)));
        return out;
    }
    Step part(const std::string& range, const std::string& body, bool breaks = false) {
        return {blob_request(blob), 206, {{"content-range", range}}, body, breaks};
    }
    const oci::Descriptor blob = descriptor_of("hello world");
};

TEST_F(Range, AsksForExactlyThat) {
    script = {part("bytes 3-7/11", "lo wo")};
    EXPECT_EQ(fetch_range(3, 5), "lo wo");
    EXPECT_EQ(header(0, "Range"), "bytes=3-7");
    EXPECT_EQ(fetch_range(11, 0), "");
    EXPECT_EQ(asked.size(), 1u) << "nothing is asked for nothing";
}

TEST_F(Range, BeginsAgainWhereItBroke) {
    script = {part("bytes 3-7/11", "lo", true), part("bytes 3-7/11", "lo "),
              part("bytes 3-7/11", "lo wo")};
    EXPECT_EQ(fetch_range(3, 5), "lo wo");
}

TEST_F(Range, IsNotBelievedUnlessItIsTheOneAskedFor) {
    for (const std::string range : {"bytes 2-7/11", "bytes 3-7/12", "bytes 3-7/*", ""}) {
        script = {part(range, "lo wo")};
        EXPECT_THROW(fetch_range(3, 5), Error) << range;
    }
    script = {part("bytes 3-7/11", "lo world")};
    EXPECT_THROW(fetch_range(3, 5), Error);
}

TEST_F(Range, OfARegistryThatKnowsNoneIsUnsupported) {
    script = {{blob_request(blob), 200, {{"content-length", "11"}}, "hello world"}};
    expect_error(ErrorKind::Unsupported,
                 blob_request(blob).substr(4) + ": the registry ignores ranges",
                 [&] { fetch_range(3, 5); });
}

TEST_F(Pull, BlobThatDiffersIsCorrupt) {
    const auto blob = descriptor_of("hello");
    script = {{blob_request(blob), 200, {}, "jello"}};
    expect_error(ErrorKind::Corrupt,
                 "digest mismatch for " + blob.digest.str() + ": " + codec::sha256("jello").str() +
                     " (expected: " + blob.digest.str() + ")",
                 [&] { fetch(blob); });
}

TEST_F(Pull, BlobThatStatesAnotherLengthIsRefusedBeforeItsFirstByte) {
    const auto blob = descriptor_of("hello");
    for (const std::string length : {"4", "6", "-5", "5x", "99999999999999999999", "5, 5"}) {
        script = {{blob_request(blob), 200, {{"content-length", length}}, "hello"}};
        std::size_t seen = 0;
        expect_error(
            ErrorKind::Corrupt,
            blob_request(blob).substr(4) + ": has " + length + " bytes instead of 5",
            [&] { client().fetch_blob(kName, blob, [&](Bytes bytes) { seen += bytes.size(); }); });
        EXPECT_EQ(seen, 0u);
    }
}

TEST_F(Pull, BlobThatDoesNotEndIsCutOff) {
    const auto blob = descriptor_of("hello");
    script = {{blob_request(blob), 200, {}, "hello, and much more"}};
    expect_error(ErrorKind::Corrupt, blob_request(blob).substr(4) + ": has more than 5 bytes",
                 [&] { fetch(blob); });
}

TEST_F(Pull, BlobThatEndsEarlyIsCorruptAfterAskingForTheRest) {
    const auto blob = descriptor_of("hello");
    script = {{blob_request(blob), 200, {}, "hel"}, {blob_request(blob), 416}};
    expect_error(ErrorKind::Corrupt,
                 blob_request(blob).substr(4) + ": holds no more than 3 of 5 bytes",
                 [&] { fetch(blob); });
}

TEST_F(Pull, BlobThatKeepsEndingEarlyIsCorrupt) {
    const auto blob = descriptor_of("hello");
    options.attempts = 2;
    script = {{blob_request(blob), 200, {}, "hel"}, {blob_request(blob), 200, {}, "hel"}};
    expect_error(ErrorKind::Corrupt, blob.digest.str() + ": ended after 3 of 5 bytes",
                 [&] { fetch(blob); });
}

TEST_F(Pull, ProgressRenewsTheAttempts) {
    const std::string piece(1 << 20, 'x');
    std::string all;
    for (int i = 0; i < 8; ++i)
        all += piece;
    const auto blob = descriptor_of(all);
    for (int i = 0; i < 8; ++i)
        script.push_back(
            {blob_request(blob),
             i == 0 ? 200 : 206,
             {i == 0
                  ? std::pair<const std::string, std::string>{"x", "y"}
                  : std::pair<const std::string, std::string>{"content-range",
                                                              "bytes " + std::to_string(i << 20) +
                                                                  "-" +
                                                                  std::to_string(all.size() - 1) +
                                                                  "/" +
                                                                  std::to_string(all.size())}},
             piece,
             i < 7});
    EXPECT_EQ(fetch(blob).size(), all.size());
}

TEST_F(Pull, WhatTheSinkThrowsEndsTheDownload) {
    const auto blob = descriptor_of("hello");
    for (const auto kind : {ErrorKind::System, ErrorKind::Cancelled, ErrorKind::Network}) {
        script = {{blob_request(blob), 200, {}, "hello"}};
        expect_error(kind, "no room", [&] {
            client().fetch_blob(kName, blob, [&](Bytes) { fail(kind, "no room"); });
        });
        EXPECT_TRUE(slept.empty()) << "trouble at home is not retried";
    }
}

TEST_F(Pull, MissingBlobNamesItsDigest) {
    const auto blob = descriptor_of("hello");
    script = {{blob_request(blob), 404}};
    expect_error(ErrorKind::NotFound, kName.str() + ": blob " + blob.digest.str() + ": not found",
                 [&] { fetch(blob); });
}

class Mirrors : public Pull {
  protected:
    Mirrors() {
        options.mirrors["docker.io"] = {"http://m1.example", "https://m2.example/cache/"};
        set_log_level(LogLevel::Error);
    }
    ~Mirrors() override { set_log_level(LogLevel::Info); }
    const oci::Reference node = oci::Reference::parse("node:18");
    const std::string tail = "/v2/library/node/manifests/18";
};

TEST_F(Mirrors, AreAskedFirstAndForTheWholePath) {
    script = {{"GET http://m1.example" + tail, 404},
              {"GET https://m2.example/cache" + tail, 200, {}, kEmptyManifest}};
    EXPECT_EQ(client().fetch_manifest(node).json, kEmptyManifest);
}

TEST_F(Mirrors, ThatFailAreNotAskedAgain) {
    script = {{"GET http://m1.example" + tail, 0},
              {"GET https://m2.example/cache" + tail, 403},
              {"GET https://registry-1.docker.io" + tail, 200, {}, kEmptyManifest},
              {"GET https://m2.example/cache" + tail, 200, {}, kEmptyManifest}};
    client().fetch_manifest(node);
    client().fetch_manifest(node);
    EXPECT_TRUE(slept.empty()) << "a mirror is no reason to wait";
}

TEST_F(Mirrors, ServeOnlyTheirDomain) {
    script = {{kManifestUrl, 200, {}, kEmptyManifest}};
    client().fetch_manifest(kName);
}

TEST_F(Mirrors, ErrorTellsWhatEachSaid) {
    script = {{"GET http://m1.example" + tail, 404},
              {"GET https://m2.example/cache" + tail, 404},
              {"GET https://registry-1.docker.io" + tail, 404}};
    expect_error(ErrorKind::NotFound,
                 "docker.io/library/node:18: not found; mirror http://m1.example: "
                 "docker.io/library/node:18: not found; mirror https://m2.example/cache: "
                 "docker.io/library/node:18: not found",
                 [&] { client().fetch_manifest(node); });
}

TEST_F(Mirrors, RegistryGoesOnWhereAMirrorBroke) {
    const auto blob = descriptor_of("hello world");
    const std::string blob_tail = "/v2/library/node/blobs/" + blob.digest.str();
    script = {{"GET http://m1.example" + blob_tail, 200, {}, "hello", true},
              {"GET https://m2.example/cache" + blob_tail, 404},
              {"GET https://registry-1.docker.io" + blob_tail,
               206,
               {{"content-range", "bytes 5-10/11"}},
               " world"}};
    EXPECT_EQ(fetch(blob, node), "hello world");
    EXPECT_EQ(header(2, "Range"), "bytes=5-");
}

TEST_F(Mirrors, TruncatedBlobOnAMirrorIsFetchedElsewhere) {
    const auto blob = descriptor_of("hello");
    const std::string blob_tail = "/v2/library/node/blobs/" + blob.digest.str();
    script = {{"GET http://m1.example" + blob_tail, 200, {{"content-length", "2"}}, "he"},
              {"GET https://m2.example/cache" + blob_tail, 200, {}, "hello"}};
    EXPECT_EQ(fetch(blob, node), "hello");
}

TEST_F(Mirrors, WrongBlobOnAMirrorIsCorruptBecauseTheSinkHasSeenIt) {
    const auto blob = descriptor_of("hello");
    script = {
        {"GET http://m1.example/v2/library/node/blobs/" + blob.digest.str(), 200, {}, "jello"}};
    expect_error(ErrorKind::Corrupt,
                 "digest mismatch for " + blob.digest.str() + ": " + codec::sha256("jello").str() +
                     " (expected: " + blob.digest.str() + ")",
                 [&] { fetch(blob, node); });
}

TEST_F(Mirrors, AreNotPushedTo) {
    const auto blob = descriptor_of("hello");
    script = {
        {"HEAD https://registry-1.docker.io/v2/library/node/blobs/" + blob.digest.str(), 200}};
    EXPECT_TRUE(client().has_blob(node, blob.digest));
}

}  // namespace
}  // namespace shale::registry
