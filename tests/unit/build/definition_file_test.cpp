// Dockerfiles and ignore files that are links: where they may lead.
#include <shale/base.hpp>
#include <shale/definition_file.hpp>

#include <gtest/gtest.h>
#include <unistd.h>

namespace shale::build {
namespace {

class DefinitionFile : public ::testing::Test {
  protected:
    DefinitionFile() {
        write("secret", "secret");
        write("context/Dockerfile.web", "FROM web");
        write("context/docker/other", "FROM other");
        write("elsewhere/Dockerfile", "FROM elsewhere");
    }
    void write(const std::string& path, std::string_view text) const {
        make_directories(at(path).substr(0, at(path).rfind('/')));
        write_file_atomic(at(path), as_bytes(text));
    }
    void link(const std::string& target, const std::string& path) const {
        ASSERT_EQ(::symlink(target.c_str(), at(path).c_str()), 0);
    }
    std::string at(const std::string& path) const { return directory_.path() + "/" + path; }
    std::optional<std::string> read(const std::string& path) const {
        return read_definition(at(path), at("context"), 1000);
    }
    std::string error_of(const std::string& path) const {
        try {
            read(path);
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::NotFound);
            return error.what();
        }
        return "no error";
    }

    const TempDir directory_;
};

TEST_F(DefinitionFile, LinksLeadAnywhereWithinTheContext) {
    link("Dockerfile.web", "context/Dockerfile");
    link("../Dockerfile.web", "context/docker/Dockerfile");
    link("docker", "context/also");
    EXPECT_EQ(read("context/Dockerfile"), "FROM web");
    EXPECT_EQ(read("context/docker/Dockerfile"), "FROM web");
    EXPECT_EQ(read("context/also/other"), "FROM other");
    EXPECT_EQ(read("context/none"), std::nullopt);
}

TEST_F(DefinitionFile, NoLinkLeadsOutOfTheContext) {
    link("../secret", "context/Dockerfile");
    link(at("secret"), "context/.dockerignore");
    for (const char* name : {"context/Dockerfile", "context/.dockerignore"})
        EXPECT_NE(error_of(name).find("which is not followed"), std::string::npos)
            << error_of(name);
}

// Nor one on the way to it.
TEST_F(DefinitionFile, NoDirectoryLeadsOutOfTheContext) {
    link("../elsewhere", "context/away");
    EXPECT_NE(error_of("context/away/Dockerfile"), "no error");
    EXPECT_NE(error_of("context/docker/../away/Dockerfile"), "no error");
}

TEST_F(DefinitionFile, ContextsMayBeReachedThroughLinks) {
    link("context", "way");
    link("Dockerfile.web", "context/Dockerfile");
    EXPECT_EQ(read_definition(at("way/Dockerfile"), at("way"), 100), "FROM web");
    EXPECT_EQ(read_definition(at("way/Dockerfile"), at("context"), 100), "FROM web");
    EXPECT_EQ(read_definition(at("context/Dockerfile"), at("way") + "/", 100), "FROM web");
    EXPECT_EQ(read_definition(at("context/Dockerfile"), at("context") + "/.", 100), "FROM web");
}

TEST_F(DefinitionFile, OneElsewhereIsConfinedToItsDirectory) {
    EXPECT_EQ(read("elsewhere/Dockerfile"), "FROM elsewhere");
    link("Dockerfile", "elsewhere/same");
    link("../secret", "elsewhere/out");
    EXPECT_EQ(read("elsewhere/same"), "FROM elsewhere");
    EXPECT_NE(error_of("elsewhere/out").find("not followed"), std::string::npos);
}

// What a shell gives for <(command).
TEST_F(DefinitionFile, PipesOfTheCallerAreRead) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const UniqueFd reading(ends[0]);
    {
        const UniqueFd writing(ends[1]);
        write_all(writing.get(), as_bytes("FROM pipe"), "pipe");
    }
    const auto text =
        read_definition("/dev/fd/" + std::to_string(reading.get()), at("context"), 1000);
    EXPECT_EQ(text, "FROM pipe");
    // Which does not make a file of what only lies in such a place.
    const TempDir shared("/dev/shm", "shale-test-");
    ASSERT_EQ(::symlink(at("secret").c_str(), (shared.path() + "/Dockerfile").c_str()), 0);
    EXPECT_THROW(read_definition(shared.path() + "/Dockerfile", shared.path(), 100), Error);
}

TEST_F(DefinitionFile, DefaultMayBeInLowerCase) {
    const auto context = at("context");
    EXPECT_EQ(definition_path(context, ""), context + "/Dockerfile");
    EXPECT_EQ(definition_path(context, "x/other"), "x/other");
    write("context/dockerfile", "FROM lower");
    EXPECT_EQ(definition_path(context, ""), context + "/dockerfile");
    EXPECT_EQ(definition_path("elsewhere", context + "/Dockerfile"), context + "/dockerfile");
    EXPECT_EQ(definition_path(context, context + "/docker/MyDockerfile"),
              context + "/docker/MyDockerfile");
    write("context/Dockerfile", "FROM upper");
    EXPECT_EQ(definition_path(context, ""), context + "/Dockerfile");
}

TEST_F(DefinitionFile, IgnoreFileOfTheDockerfileComesFirst) {
    EXPECT_FALSE(read_ignore_file(at("context"), at("context/Dockerfile.web")));
    write("context/.dockerignore", "all");
    EXPECT_EQ(read_ignore_file(at("context"), at("context/Dockerfile.web"))->text, "all");
    EXPECT_EQ(read_ignore_file(at("context"), "")->text, "all");
    write("context/Dockerfile.web.dockerignore", "web");
    const auto file = read_ignore_file(at("context"), at("context/Dockerfile.web"));
    EXPECT_EQ(file->text, "web");
    EXPECT_EQ(file->path, at("context/Dockerfile.web.dockerignore"));
}

}  // namespace
}  // namespace shale::build
