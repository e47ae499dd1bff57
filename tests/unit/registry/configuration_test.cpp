// What is read from the user's files: Docker's credentials, its helper programs, our own options.
#include <shale/registry.hpp>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <functional>

namespace shale::registry {
namespace {

// Sets a variable for one test; restores it afterwards.
class Variable {
  public:
    Variable(const char* name, const std::string& value) : name_(name) {
        if (const char* before = std::getenv(name)) before_ = before;
        ::setenv(name, value.c_str(), 1);
    }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;
    ~Variable() {
        if (before_)
            ::setenv(name_, before_->c_str(), 1);
        else
            ::unsetenv(name_);
    }

  private:
    const char* name_;
    std::optional<std::string> before_;
};

std::string error_of(const std::function<void()>& body, ErrorKind kind) {
    try {
        body();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), kind) << error.what();
        return error.what();
    }
    ADD_FAILURE() << "nothing thrown";
    return {};
}

class DockerConfig : public testing::Test {
  protected:
    void write(const std::string& json) { write_file_atomic(path_, as_bytes(json)); }
    // A helper program `docker-credential-<name>` on $PATH.
    void install(const std::string& name, const std::string& script) {
        const std::string path = join_path(dir_.path(), "docker-credential-" + name);
        write_file_atomic(path, as_bytes("#!/bin/sh\n" + script), 0755);
        ASSERT_EQ(::chmod(path.c_str(), 0755), 0);
    }
    std::string user_of(const std::string& domain) {
        const auto credential = known_credential(domain);
        return credential ? credential->username + "|" + credential->password + "|" +
                                credential->identity_token
                          : "none";
    }

    TempDir dir_;
    std::string path_ = join_path(dir_.path(), "config.json");
    Variable folder_{"DOCKER_CONFIG", dir_.path()};
    // Neither the machine's files of podman nor the user's.
    Variable named_{"REGISTRY_AUTH_FILE", ""};
    Variable runtime_{"XDG_RUNTIME_DIR", join_path(dir_.path(), "run")};
    Variable user_{"XDG_CONFIG_HOME", join_path(dir_.path(), "user")};
    Variable search_{"PATH", dir_.path() + ":/usr/bin:/bin"};
};

TEST_F(DockerConfig, MissingFileKnowsNobody) {
    EXPECT_EQ(user_of("docker.io"), "none");
}

TEST_F(DockerConfig, AuthIsUserAndPassword) {
    write(
        R"({"auths":{"r.example":{"auth":"dXNlcjpwYTpzcw=="},"b.example:5000":{"auth":"YTpiAAA="}},)"
        R"("HttpHeaders":{"X":"y"}})");
    EXPECT_EQ(user_of("r.example"), "user|pa:ss|");
    EXPECT_EQ(user_of("b.example:5000"), "a|b|") << "padded with zero bytes";
    EXPECT_EQ(user_of("b.example"), "none");
}

TEST_F(DockerConfig, ServerMayBeSpeltManyWays) {
    for (const std::string server :
         {"https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io"}) {
        write(R"({"auths":{")" + server + R"(":{"username":"u","password":"p"}}})");
        EXPECT_EQ(user_of("docker.io"), "u|p|") << server;
    }
    write(R"({"auths":{"https://r.example/v2/":{"username":"u","password":"p"}}})");
    EXPECT_EQ(user_of("r.example"), "u|p|");
}

TEST_F(DockerConfig, IdentityTokenIsTaken) {
    write(R"({"auths":{"r.example":{"auth":"dTo=","identitytoken":"T"}}})");
    EXPECT_EQ(user_of("r.example"), "u||T");
}

TEST_F(DockerConfig, EmptyEntryIsNobody) {
    write(R"({"auths":{"r.example":{}}})");
    EXPECT_EQ(user_of("r.example"), "none");
}

TEST_F(DockerConfig, DamageNamesFileAndPlace) {
    write(R"({"auths":{"r.example":{"auth":"%%"}}})");
    EXPECT_EQ(error_of([&] { user_of("r.example"); }, ErrorKind::Corrupt),
              path_ + ": auths.r.example.auth: not base64");
    write(R"({"auths":{"r.example":{"auth":"dXNlcg=="}}})");
    EXPECT_EQ(error_of([&] { user_of("r.example"); }, ErrorKind::Corrupt),
              path_ + ": auths.r.example.auth: not base64 of \"user:password\"");
    write("{");
    EXPECT_TRUE(error_of([&] { user_of("x"); }, ErrorKind::Corrupt).starts_with(path_ + ": "));
}

TEST_F(DockerConfig, WhatDockerDoesNotKnowPodmanMay) {
    const auto file = [](const std::string& user) {
        return R"({"auths":{"r.example":{"username":")" + user + R"(","password":"p"}}})";
    };
    const auto put = [&](const std::string& place, const std::string& text) {
        make_directories(join_path(dir_.path(), place));
        write_file_atomic(join_path(dir_.path(), place + "/auth.json"), as_bytes(text));
    };
    write(R"({"auths":{"other.example":{"username":"docker","password":"p"}}})");
    put("user/containers", file("user"));
    EXPECT_EQ(user_of("r.example"), "user|p|");
    put("run/containers", file("run"));
    EXPECT_EQ(user_of("r.example"), "run|p|");
    EXPECT_EQ(user_of("other.example"), "docker|p|");
    write(file("docker"));
    EXPECT_EQ(user_of("r.example"), "docker|p|");
    put("named", file("named"));
    const Variable named("REGISTRY_AUTH_FILE", join_path(dir_.path(), "named/auth.json"));
    EXPECT_EQ(user_of("r.example"), "named|p|");
}

TEST_F(DockerConfig, WhatIsOfAPartOfARegistryIsNotSentToAllOfIt) {
    write(R"({"auths":{"r.example/team":{"username":"team","password":"p"},)"
          R"("r.example":{"username":"all","password":"p"},)"
          R"("s.example/team":{"username":"team","password":"p"}},)"
          R"("credHelpers":{"t.example/team":"none"}})");
    EXPECT_EQ(user_of("r.example"), "all|p|");
    EXPECT_EQ(user_of("s.example"), "none");
    EXPECT_EQ(user_of("t.example"), "none");
}

TEST_F(DockerConfig, AFileThatIsNamedMustBeSoundOthersNeedNot) {
    make_directories(join_path(dir_.path(), "run/containers"));
    write_file_atomic(join_path(dir_.path(), "run/containers/auth.json"), as_bytes("{"));
    EXPECT_EQ(user_of("r.example"), "none");
    const Variable named("REGISTRY_AUTH_FILE", join_path(dir_.path(), "absent.json"));
    error_of([&] { user_of("r.example"); }, ErrorKind::NotFound);
}

TEST_F(DockerConfig, WhatIsKeptIsFoundAgainAndNothingElseIsTouched) {
    write(R"({"HttpHeaders":{"X":"y"},"auths":{"index.docker.io":{"auth":"YTpi"}}})");
    EXPECT_EQ(store_credential("r.example", {"u", "p:q", {}}), path_);
    EXPECT_EQ(user_of("r.example"), "u|p:q|");
    EXPECT_EQ(user_of("docker.io"), "a|b|");
    EXPECT_NE(read_file(path_).find("HttpHeaders"), std::string::npos);
    struct stat status {};
    ASSERT_EQ(::stat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u);
    EXPECT_TRUE(erase_credential("r.example"));
    EXPECT_FALSE(erase_credential("r.example"));
    EXPECT_EQ(user_of("r.example"), "none");
    EXPECT_TRUE(erase_credential("docker.io")) << "however it is spelt";
    EXPECT_EQ(user_of("docker.io"), "none");
}

TEST_F(DockerConfig, WhatPeopleCallARegistry) {
    EXPECT_EQ(domain_of(""), "docker.io");
    EXPECT_EQ(domain_of("index.docker.io"), "docker.io");
    EXPECT_EQ(domain_of("https://ghcr.io/"), "ghcr.io");
    EXPECT_EQ(domain_of("localhost:5000"), "localhost:5000");
}

TEST_F(DockerConfig, HelperIsAskedForTheServer) {
    install("pass", R"(read server; [ "$1" = get ] || exit 9
echo "{\"ServerURL\":\"$server\",\"Username\":\"for:$server\",\"Secret\":\"s\"}")");
    write(R"({"credsStore":"pass","auths":{"r.example":{}}})");
    EXPECT_EQ(user_of("r.example"), "for:r.example|s|");
    EXPECT_EQ(user_of("docker.io"), "for:https://index.docker.io/v1/|s|");
}

TEST_F(DockerConfig, HelperOfOneRegistryBeatsTheStore) {
    install("one", R"(echo '{"Username":"<token>","Secret":"T"}')");
    install("store", "exit 9");
    write(R"({"credsStore":"store","credHelpers":{"r.example":"one"}})");
    EXPECT_EQ(user_of("r.example"), "||T");
}

TEST_F(DockerConfig, HelperThatKnowsNothingLeavesTheFile) {
    install("none", "echo credentials not found in native keychain; exit 1");
    write(R"({"credsStore":"none","auths":{"r.example":{"username":"u","password":"p"}}})");
    EXPECT_EQ(user_of("r.example"), "u|p|");
    EXPECT_EQ(user_of("other.example"), "none");
}

TEST_F(DockerConfig, HelperThatFailsSaysWhy) {
    install("bad", "echo 'key ring is locked'; echo more; exit 3");
    write(R"({"credsStore":"bad"})");
    EXPECT_EQ(error_of([&] { user_of("r.example"); }, ErrorKind::Denied),
              "docker-credential-bad: key ring is locked");
    install("bad", "kill -9 $$");
    EXPECT_EQ(error_of([&] { user_of("r.example"); }, ErrorKind::Denied),
              "docker-credential-bad: failed");
}

TEST_F(DockerConfig, HelperThatNeverReadsOrNeverStopsIsSurvived) {
    install("deaf", R"(exec <&-; echo '{"Username":"u","Secret":"s"}')");
    write(R"({"credsStore":"deaf"})");
    EXPECT_EQ(user_of("r.example"), "u|s|");
    install("deaf",
            "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done");
    EXPECT_EQ(error_of([&] { user_of("r.example"); }, ErrorKind::Denied),
              "docker-credential-deaf: its answer is too long");
}

TEST_F(DockerConfig, HelperThatIsNotInstalledIsPassedOver) {
    set_log_level(LogLevel::Error);
    write(R"({"credsStore":"nowhere","auths":{"r.example":{"username":"u","password":"p"}}})");
    EXPECT_EQ(user_of("r.example"), "u|p|");
    set_log_level(LogLevel::Info);
}

TEST_F(DockerConfig, HelperNameIsAPlainWord) {
    for (const std::string name : {"../evil", "a b", "x;touch y", "-x", "a/b", "$(x)"}) {
        write(R"({"credsStore":")" + name + R"("})");
        EXPECT_EQ(error_of([&] { user_of("r.example"); }, ErrorKind::Invalid),
                  "credential helper \"" + name +
                      "\": only letters, digits and -_. may be in its name");
    }
}

class OptionsFile : public testing::Test {
  protected:
    TempDir dir_;
    std::string path_ = join_path(dir_.path(), "shale.json");
    Variable file_{"SHALE_CONFIG", path_};
    Options load(const std::string& json) {
        write_file_atomic(path_, as_bytes(json));
        return load_options();
    }
};

TEST_F(OptionsFile, AllKeysAreRead) {
    const auto options = load(R"({"mirrors":{"docker.io":["http://127.0.0.1:5000","https://m/x"]},)"
                              R"("insecure-registries":["r.example:5000"]})");
    EXPECT_EQ(options.mirrors.at("docker.io"),
              (std::vector<std::string>{"http://127.0.0.1:5000", "https://m/x"}));
    EXPECT_EQ(options.insecure, std::vector<std::string>{"r.example:5000"});
}

TEST_F(OptionsFile, MistakesNameTheFile) {
    const std::vector<std::pair<std::string, std::string>> cases = {
        {R"({"mirror":{}})", "unknown key \"mirror\"; known are mirrors and insecure-registries"},
        {R"({"mirrors":[]})", "configuration: mirrors: not an object"},
        {R"({"mirrors":{"d":["ftp://x"]}})",
         "mirror \"ftp://x\" of d: neither an http nor an https URL"},
        {R"({"mirrors":{"d":["m.example"]}})", "mirror \"m.example\" of d: not an absolute URL"},
        {R"({"mirrors":{"d":["http://u:p@m"]}})",
         "mirror \"http://***@m\" of d: the URL carries a password"},
        {R"({"insecure-registries":[1]})", "configuration: insecure-registries[0]: not a string"}};
    for (const auto& [json, message] : cases)
        EXPECT_EQ(error_of([&, text = json] { load(text); }, ErrorKind::Invalid),
                  path_ + ": " + message);
}

TEST_F(OptionsFile, FileThatWasNamedMustExist) {
    error_of([] { load_options(); }, ErrorKind::NotFound);
}

TEST_F(OptionsFile, UsersFileIsReadWithoutTheVariable) {
    const Variable unset("SHALE_CONFIG", "");
    const Variable home("XDG_CONFIG_HOME", dir_.path());
    make_directories(join_path(dir_.path(), "shale"));
    write_file_atomic(join_path(dir_.path(), "shale/config.json"),
                      as_bytes(R"({"mirrors":{"user.example":["http://127.0.0.1:1"]}})"));
    EXPECT_TRUE(load_options().mirrors.contains("user.example"));
}

}  // namespace
}  // namespace shale::registry
