// Authorisation: challenges, tokens and their cache, Basic, identity tokens, and above all to whom
// a secret is never shown.
#include "scripted_transport.hpp"

namespace shale::registry {
namespace {

const oci::Reference kName = oci::Reference::parse("r.example/team/app:1");
const std::string kBase = "https://r.example/v2/team/app/";
const std::string kManifestUrl = "GET " + kBase + "manifests/1";
const std::map<std::string, std::string> kBearer = {
    {"www-authenticate", R"(Bearer realm="https://auth.example/token",service="r.example",)"
                         R"(scope="repository:team/app:pull")"}};
const std::string kTokenUrl =
    "GET https://auth.example/token?service=r.example&scope=repository%3ateam%2fapp%3apull";
const std::string kDenied = "pull access denied for r.example/team/app, repository does not exist "
                            "or may require authorization";

class Authorization : public ScriptedTest {
  protected:
    void pull() { client().fetch_manifest(kName); }
};

TEST_F(Authorization, TokenIsFetchedAnonymouslyAndUsed) {
    script = {{kManifestUrl, 401, kBearer},
              {kTokenUrl, 200, {}, R"({"token":"T1","expires_in":300})"},
              {kManifestUrl, 200, {}, kEmptyManifest}};
    pull();
    EXPECT_EQ(header(0, "Authorization"), "(none)");
    EXPECT_EQ(header(1, "Authorization"), "(none)");
    EXPECT_EQ(header(2, "Authorization"), "Bearer T1");
}

TEST_F(Authorization, AccessIsCheckedByAskingForNothing) {
    const std::map<std::string, std::string> basic = {{"www-authenticate", "Basic realm=x"}};
    credentials["r.example"] = {"user", "secret", ""};
    script = {{"GET https://r.example/v2/", 401, basic},
              {"GET https://r.example/v2/", 200},
              {"GET https://r.example/v2/", 401, basic}};
    client().check_access("r.example");
    EXPECT_EQ(header(1, "Authorization"), "Basic dXNlcjpzZWNyZXQ=");
    try {
        client().check_access("r.example");
        ADD_FAILURE() << "what was refused was taken";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::Denied);
    }
}

TEST_F(Authorization, TokenIsReusedForTheSameScope) {
    script = {{kManifestUrl, 401, kBearer},
              {kTokenUrl, 200, {}, R"({"access_token":"T1","expires_in":300})"},
              {kManifestUrl, 200, {}, kEmptyManifest},
              {kManifestUrl, 200, {}, kEmptyManifest}};
    pull();
    pull();
    EXPECT_EQ(header(3, "Authorization"), "Bearer T1");
    EXPECT_EQ(credential_lookups.size(), 1u);
}

TEST_F(Authorization, ExpiredTokenIsNotUsedAgain) {
    script = {{kManifestUrl, 401, kBearer},
              {kTokenUrl, 200, {}, R"({"token":"T1","expires_in":-7})"},
              {kManifestUrl, 200, {}, kEmptyManifest},
              {kManifestUrl, 401, kBearer},
              {kTokenUrl, 200, {}, R"({"token":"T2"})"},
              {kManifestUrl, 200, {}, kEmptyManifest}};
    pull();
    pull();
    EXPECT_EQ(header(3, "Authorization"), "(none)");
    EXPECT_EQ(header(5, "Authorization"), "Bearer T2");
}

TEST_F(Authorization, TokenRevokedEarlyIsReplaced) {
    script = {{kManifestUrl, 401, kBearer},
              {kTokenUrl, 200, {}, R"({"token":"T1","expires_in":300})"},
              {kManifestUrl, 200, {}, kEmptyManifest},
              {kManifestUrl, 401, kBearer},
              {kTokenUrl, 200, {}, R"({"token":"T2","expires_in":300})"},
              {kManifestUrl, 200, {}, kEmptyManifest}};
    pull();
    pull();
    EXPECT_EQ(header(3, "Authorization"), "Bearer T1");
    EXPECT_EQ(header(5, "Authorization"), "Bearer T2");
}

TEST_F(Authorization, PushAsksForBothActionsAtOnce) {
    const auto blob = descriptor_of("x");
    script = {{"HEAD " + kBase + "blobs/" + blob.digest.str(), 401, kBearer},
              {kTokenUrl + "%2cpush", 200, {}, R"({"token":"T"})"},
              {"HEAD " + kBase + "blobs/" + blob.digest.str(), 200}};
    EXPECT_FALSE(client().push_blob(kName, blob, nullptr));
}

TEST_F(Authorization, MountAsksForItsSourceToo) {
    const auto blob = descriptor_of("x");
    const std::string mount = "POST " + kBase + "blobs/uploads/?mount=sha256%3a" +
                              blob.digest.hex() + "&from=team%2fbase";
    script = {
        {"HEAD " + kBase + "blobs/" + blob.digest.str(), 404},
        {mount, 401, kBearer},
        {kTokenUrl + "%2cpush&scope=repository%3ateam%2fbase%3apull", 200, {}, R"({"token":"T"})"},
        {mount, 201}};
    EXPECT_FALSE(client().push_blob(kName, blob, nullptr, "team/base"));
}

TEST_F(Authorization, CredentialGoesToTheTokenServer) {
    credentials["r.example"] = {"user", "pa:ss", ""};
    script = {{kManifestUrl, 401, kBearer},
              {kTokenUrl, 200, {}, R"({"token":"T1"})"},
              {kManifestUrl, 200, {}, kEmptyManifest}};
    pull();
    EXPECT_EQ(header(1, "Authorization"), "Basic dXNlcjpwYTpzcw==");
}

TEST_F(Authorization, IdentityTokenIsExchangedInAForm) {
    credentials["r.example"] = {"", "", "id&token"};
    script = {{kManifestUrl, 401, kBearer},
              {"POST https://auth.example/token", 200, {}, R"({"access_token":"T1"})"},
              {kManifestUrl, 200, {}, kEmptyManifest}};
    pull();
    EXPECT_EQ(asked.at(1).body,
              "service=r.example&scope=repository%3ateam%2fapp%3apull&grant_type=refresh_token"
              "&client_id=shale&refresh_token=id%26token");
    EXPECT_EQ(header(1, "Authorization"), "(none)");
}

TEST_F(Authorization, DockerHubCredentialIsLookedUpUnderItsName) {
    const std::string url = "GET https://registry-1.docker.io/v2/library/node/manifests/18";
    script = {{url, 401, {{"www-authenticate", "Basic realm=\"hub\""}}}};
    EXPECT_THROW(client().fetch_manifest(oci::Reference::parse("node:18")), Error);
    EXPECT_EQ(credential_lookups, std::vector<std::string>{"docker.io"});
}

TEST_F(Authorization, BasicIsAnsweredOnce) {
    credentials["r.example"] = {"user", "wrong", ""};
    const std::map<std::string, std::string> basic = {{"www-authenticate", R"(Basic realm="x")"}};
    script = {{kManifestUrl, 401, basic}, {kManifestUrl, 401, basic}};
    expect_error(ErrorKind::Denied, kDenied, [&] { pull(); });
    EXPECT_EQ(header(1, "Authorization"), "Basic dXNlcjp3cm9uZw==");
}

TEST_F(Authorization, ChallengeThatCannotBeMetIsADenial) {
    for (const std::string challenge : {"", "Basic realm=\"x\"", "Negotiate", "\"", "=,=,\"a"}) {
        script = {{kManifestUrl, 401, {{"www-authenticate", challenge}}}};
        expect_error(ErrorKind::Denied, kDenied, [&] { pull(); });
    }
}

TEST_F(Authorization, TokensThatNeverSufficeEndInADenial) {
    script = {{kManifestUrl, 401, kBearer},
              {kTokenUrl, 200, {}, R"({"token":"T1"})"},
              {kManifestUrl, 401, kBearer},
              {kTokenUrl, 200, {}, R"({"token":"T2"})"},
              {kManifestUrl, 401, kBearer,
               R"({"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]})"}};
    expect_error(ErrorKind::Denied, kDenied + ": server message: authentication required",
                 [&] { pull(); });
}

TEST_F(Authorization, TokenServersRefusalIsQuoted) {
    credentials["r.example"] = {"user", "wrong", ""};
    script = {{kManifestUrl, 401, kBearer},
              {kTokenUrl, 401, {}, R"({"details":"incorrect username or password"})"}};
    expect_error(ErrorKind::Denied,
                 kDenied + ": server message: GET https://auth.example/token: HTTP 401: incorrect "
                           "username or password",
                 [&] { pull(); });
}

TEST_F(Authorization, TokenServerThatIsBusyIsAskedAgain) {
    script = {{kManifestUrl, 401, kBearer},
              {kTokenUrl, 503},
              {kManifestUrl, 401, kBearer},
              {kTokenUrl, 200, {}, R"({"token":"T"})"},
              {kManifestUrl, 200, {}, kEmptyManifest}};
    pull();
    EXPECT_EQ(slept.size(), 1u);
}

TEST_F(Authorization, TokenDocumentFromAStrangerIsChecked) {
    const std::string realm = "https://auth.example/token";
    const std::map<std::string, ErrorKind> documents = {
        {"", ErrorKind::Corrupt},
        {"[]", ErrorKind::Corrupt},
        {R"({"token":5})", ErrorKind::Corrupt},
        {R"({"token":""})", ErrorKind::Network},
        {R"({})", ErrorKind::Network},
        {R"({"token":"a\r\nX-Evil: 1"})", ErrorKind::Network},
        {R"({"token":")" + std::string(70 << 10, 'x') + R"("})", ErrorKind::Network},
        {std::string((1 << 20) + 1, ' '), ErrorKind::Corrupt}};
    for (const auto& [document, kind] : documents) {
        script = {{kManifestUrl, 401, kBearer}, {kTokenUrl, 200, {}, document}};
        try {
            pull();
            FAIL() << document.substr(0, 50);
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), kind) << error.what();
            EXPECT_TRUE(std::string(error.what()).starts_with(realm)) << error.what();
        }
    }
}

TEST_F(Authorization, RealmMustBeAnHttpUrl) {
    for (const std::string realm : {"file:///etc/passwd", "auth.example", "", "https://a\nb/"}) {
        script = {{kManifestUrl, 401, {{"www-authenticate", "Bearer realm=\"" + realm + "\""}}}};
        try {
            pull();
            FAIL() << realm;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::Network) << error.what();
        }
    }
}

TEST_F(Authorization, PasswordIsNotSentOverPlainHttp) {
    credentials["r.example"] = {"user", "pass", ""};
    script = {
        {kManifestUrl, 401, {{"www-authenticate", "Bearer realm=\"http://auth.example/t\""}}}};
    expect_error(ErrorKind::Network,
                 "refusing to follow https://r.example to plain http: http://auth.example/t",
                 [&] { pull(); });
}

TEST_F(Authorization, IsDroppedWhenARedirectLeavesTheRegistry) {
    credentials["r.example"] = {"user", "pass", ""};
    const auto blob = descriptor_of("hello");
    const std::string url = "GET " + kBase + "blobs/" + blob.digest.str();
    script = {{url, 401, {{"www-authenticate", "Basic realm=x"}}},
              {url, 307, {{"location", "https://r.example/other"}}},
              {"GET https://r.example/other", 307, {{"location", "https://r.example:444/x"}}},
              {"GET https://r.example:444/x", 307, {{"location", "https://r.example/back"}}},
              {"GET https://r.example/back", 200, {}, "hello"}};
    client().fetch_blob(kName, blob, [](Bytes) {});
    EXPECT_EQ(header(1, "Authorization"), "Basic dXNlcjpwYXNz");
    EXPECT_EQ(header(2, "Authorization"), "Basic dXNlcjpwYXNz") << "the same origin keeps it";
    EXPECT_EQ(header(3, "Authorization"), "(none)") << "another port is another origin";
    EXPECT_EQ(header(4, "Authorization"), "(none)") << "and the way back does not restore it";
}

TEST_F(Authorization, IsNotAskedForByStrangers) {
    credentials["r.example"] = {"user", "pass", ""};
    const auto blob = descriptor_of("hello");
    script = {{"GET " + kBase + "blobs/" + blob.digest.str(),
               307,
               {{"location", "https://evil.example/x"}}},
              {"GET https://evil.example/x", 401, {{"www-authenticate", "Basic realm=x"}}}};
    expect_error(ErrorKind::Denied, kDenied,
                 [&] { client().fetch_blob(kName, blob, [](Bytes) {}); });
    EXPECT_TRUE(credential_lookups.empty());
}

TEST_F(Authorization, IsNotSentToTheUploadServerOfAnotherHost) {
    credentials["r.example"] = {"user", "pass", ""};
    const auto blob = descriptor_of("x");
    script = {{"HEAD " + kBase + "blobs/" + blob.digest.str(),
               401,
               {{"www-authenticate", "Basic realm=x"}}},
              {"HEAD " + kBase + "blobs/" + blob.digest.str(), 404},
              {"POST " + kBase + "blobs/uploads/", 202, {{"location", "https://s.example/u"}}},
              {"PUT https://s.example/u?digest=sha256%3a" + blob.digest.hex(), 201}};
    EXPECT_TRUE(client().push_blob(kName, blob, [] {
        return [left = std::string("x")](MutableBytes out) mutable {
            const std::size_t count = left.size();
            std::memcpy(out.data(), left.data(), count);
            left.clear();
            return count;
        };
    }));
    EXPECT_NE(header(2, "Authorization"), "(none)");
    EXPECT_EQ(header(3, "Authorization"), "(none)");
}

TEST_F(Authorization, MirrorGetsItsOwnCredentialOnly) {
    options.mirrors["r.example"] = {"https://m.example:8443"};
    credentials["r.example"] = {"user", "pass", ""};
    credentials["m.example:8443"] = {"mirror", "pass", ""};
    const std::string url = "GET https://m.example:8443/v2/team/app/manifests/1";
    script = {{url, 401, {{"www-authenticate", "Basic realm=x"}}}, {url, 200, {}, kEmptyManifest}};
    pull();
    EXPECT_EQ(header(1, "Authorization"), "Basic bWlycm9yOnBhc3M=");
    EXPECT_EQ(credential_lookups, std::vector<std::string>{"m.example:8443"});
}

}  // namespace
}  // namespace shale::registry
