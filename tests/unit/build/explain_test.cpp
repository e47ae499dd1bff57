// Records of builds and what they explain: one thing changes between two builds, and it is named.
#include "build_fixture.hpp"
#include "record_lookup.hpp"

#include <shale/build_history.hpp>
#include <shale/explain.hpp>

#include <sys/stat.h>

namespace shale::build {
namespace {

class ExplainTest : public ::testing::Test {
  protected:
    ExplainTest() : builder(registry) {
        builder.file("src/a.txt", "a");
        builder.file("src/deep/b.txt", "b");
        builder.file("other.txt", "o");
    }
    // Builds and returns the record.
    BuildRecord built(const std::string& dockerfile,
                      const std::function<void(Request&)>& change = nullptr) {
        auto request = builder.request(dockerfile);
        request.tags = {oci::Reference::parse("app")};
        if (change) change(request);
        builder.clock.now += 1'000'000'000;
        builder.build(request);
        return newest();
    }
    BuildRecord newest() {
        store::BuildHistory history(builder.store);
        return decode_build_record(history.list().front().document);
    }
    std::vector<BuildRecord> all() {
        store::BuildHistory history(builder.store);
        std::vector<BuildRecord> builds;
        for (const auto& row : history.list())
            builds.push_back(decode_build_record(row.document));
        return builds;
    }
    FindTree trees() {
        return [this](const Digest& digest) -> std::shared_ptr<const snapshot::Tree> {
            if (auto tree = store::BuildHistory(builder.store).tree(digest)) return tree;
            return builder.store.has_tree(digest) ? builder.store.tree(digest) : nullptr;
        };
    }
    // "1: kind subject text | ...": every missed step of the last build.
    std::string why() {
        const auto builds = all();
        std::string out;
        for (const auto& step : builds.front().steps) {
            if (!step.was_missed()) continue;
            const auto found = explain(builds.front(), step, builds, trees());
            out += (out.empty() ? "" : "\n") + std::to_string(step.number) + ":";
            for (const auto& cause : found.causes)
                out += " [" + std::string(word(cause.kind)) + "] " + cause.text;
        }
        return out;
    }

    MemoryRegistry registry;
    Builder builder;
};

constexpr const char* kTwoCopies = "FROM scratch\nCOPY src /src/\nCOPY other.txt /other\n";

TEST_F(ExplainTest, RecordSurvivesItsTextForm) {
    const auto record = built(kTwoCopies, [](Request& request) {
        request.build_args = {{"A", "1"},
                              {"API_TOKEN", "hunter2"},
                              {"REPOSITORY", "https://bob:hunter2@git.test/app"}};
    });
    EXPECT_EQ(encode(decode_build_record(encode(record))), encode(record));
    EXPECT_EQ(record.steps.size(), 2u);
    EXPECT_EQ(record.steps[1].line, 3u);
    EXPECT_EQ(record.cached_steps(), 0u);
    EXPECT_EQ(encode(record).find("hunter2"), std::string::npos);
}

TEST(BuildRecord, HidesPasswordsInUrls) {
    const auto input = recorded_input("env", "HTTPS_PROXY=http://u:hunter2@proxy.test:3128");
    EXPECT_TRUE(input.is_digest);
    EXPECT_EQ(input.value.find("hunter2"), std::string::npos);
    EXPECT_EQ(recorded_input("env", "SITE=http://proxy.test").value, "SITE=http://proxy.test");
}

// Each of them twice in the next would be 2^64 calls.
TEST(BuildRecord, RootsOfAStrangerAreLookedAtOnce) {
    BuildRecord record;
    const auto key = [](int number) { return codec::sha256(std::to_string(number)); };
    RecordedRoot root;
    root.kind = RecordedRoot::Kind::LaidOver;
    for (int number = 0; number < 64; ++number) {
        root.lower = root.upper = key((number + 1) % 64);
        record.roots[key(number)] = root;
    }
    EXPECT_EQ(last_step_in(record, record.roots.at(key(0))), nullptr);
    RecordedRoot made;
    made.kind = RecordedRoot::Kind::Step;
    made.step = 1;
    record.steps.resize(1);
    record.roots[key(63)] = made;
    EXPECT_EQ(last_step_in(record, record.roots.at(key(0))), &record.steps[0]);
}

TEST_F(ExplainTest, FirstBuildHasNothingToCompareWith) {
    built(kTwoCopies);
    EXPECT_EQ(why(), "1: [no-record] no earlier build of this Dockerfile is on record\n"
                     "2: [no-record] no earlier build of this Dockerfile is on record");
    built(kTwoCopies);
    EXPECT_EQ(why(), "");
}

TEST_F(ExplainTest, ChangedFileIsNamedAndTheNextStepFollows) {
    built(kTwoCopies);
    builder.file("src/deep/b.txt", "changed");
    built(kTwoCopies);
    EXPECT_EQ(why(), "1: [file] src/deep/b.txt: content changed\n"
                     "2: [parent] follows step 1, which came out different");
}

TEST_F(ExplainTest, ModesCountUnlessChmodSetsThem) {
    const std::string with_chmod = "FROM scratch\nCOPY --chmod=644 other.txt /other\n";
    built(kTwoCopies);
    built(with_chmod);
    ASSERT_EQ(::chmod((builder.context() + "/other.txt").c_str(), 0755), 0);
    built(kTwoCopies);
    EXPECT_EQ(why(), "2: [file] other.txt: mode 0644 -> 0755");
    built(with_chmod);
    EXPECT_EQ(why(), "");
}

TEST_F(ExplainTest, NewAndRemovedFilesAreNamed) {
    built(kTwoCopies);
    builder.file("src/new", "");
    ASSERT_EQ(::unlink((builder.context() + "/src/a.txt").c_str()), 0);
    built(kTwoCopies);
    EXPECT_EQ(why().substr(0, why().find('\n')),
              "1: [file] src/a.txt: removed [file] src/new: added");
}

TEST_F(ExplainTest, IgnoreRulesAreTold) {
    built(kTwoCopies);
    builder.file(".dockerignore", "**/b.txt\n");
    built(kTwoCopies);
    EXPECT_EQ(why().substr(0, why().find('\n')),
              "1: [file] src/deep/b.txt: excluded by .dockerignore now");
    builder.file(".dockerignore", "");
    builder.file("other.txt", "x");
    built(kTwoCopies);
    // The first step is that of the first build, found in the cache: why it is another one than in
    // the last build is a cause of what follows it.
    EXPECT_EQ(why(), "2: [file] other.txt: content changed "
                     "[file] src/deep/b.txt: no longer excluded by .dockerignore");
}

TEST_F(ExplainTest, ArgumentAndVariableInAnInstruction) {
    const std::string text = "FROM scratch\nARG WHERE=x\nENV E=1\nCOPY other.txt /$WHERE/$E\n";
    built(text);
    built(text, [](Request& request) { request.build_args = {{"WHERE", "y"}}; });
    EXPECT_EQ(why(), "1: [argument] argument WHERE changed: \"y\" was \"x\"");
    built(text);
    built("FROM scratch\nARG WHERE=x\nENV E=2\nCOPY other.txt /$WHERE/$E\n");
    EXPECT_EQ(why(), "1: [variable] variable E changed: \"2\" was \"1\"");
}

TEST_F(ExplainTest, SecretsAreNotShown) {
    const std::string text = "FROM scratch\nARG API_TOKEN\nCOPY other.txt /$API_TOKEN\n";
    built(text, [](Request& request) { request.build_args = {{"API_TOKEN", "hunter2"}}; });
    built(text, [](Request& request) { request.build_args = {{"API_TOKEN", "hunter3"}}; });
    EXPECT_EQ(why(), "1: [argument] argument API_TOKEN changed (its value is not shown)");
}

TEST_F(ExplainTest, ChangedInstructionIsComparedWithWhatItWas) {
    built(kTwoCopies);
    built("FROM scratch\nCOPY src /src/\nCOPY other.txt /elsewhere\n");
    EXPECT_EQ(why(), "2: [instruction] instruction changed: \"COPY other.txt /elsewhere\" was "
                     "\"COPY other.txt /other\"");
}

TEST_F(ExplainTest, LongTextsAreShownFromWhereTheyDiffer) {
    const std::string name(100, 'n');
    built("FROM scratch\nCOPY other.txt /" + name + "/a\n");
    built("FROM scratch\nCOPY other.txt /" + name + "/b\n");
    const std::string cut = "..." + std::string(19, 'n');
    EXPECT_EQ(why(),
              "1: [instruction] instruction changed: \"" + cut + "/b\" was \"" + cut + "/a\"");
}

TEST_F(ExplainTest, InsertedInstructionIsNewAndWhatIsBehindItFollows) {
    built(kTwoCopies);
    built("FROM scratch\nCOPY src /src/\nWORKDIR /w\nCOPY other.txt /other\n");
    EXPECT_EQ(why(), "2: [no-record] the instruction is new\n"
                     "3: [parent] follows another step now: 2, [2/3] WORKDIR /w");
}

TEST_F(ExplainTest, RelativeDestinationFollowsWorkdir) {
    built("FROM scratch\nWORKDIR /a\nCOPY other.txt file\n");
    built("FROM scratch\nWORKDIR /b\nCOPY other.txt file\n");
    EXPECT_EQ(why(), "1: [instruction] instruction changed: \"WORKDIR /b\" was \"WORKDIR /a\"\n"
                     "2: [setting] WORKDIR changed: \"/b/file\" was \"/a/file\" "
                     "[parent] follows step 1, which came out different");
}

TEST_F(ExplainTest, FilesOfAnotherStageAreNamed) {
    const std::string text = "FROM scratch AS one\nCOPY src /src/\nFROM scratch\n"
                             "COPY --from=one /src/deep /deep\n";
    built(text);
    builder.file("src/deep/b.txt", "changed");
    built(text);
    EXPECT_EQ(why(), "1: [file] src/deep/b.txt: content changed\n"
                     "2: [file] src/deep/b.txt: content changed");
    EXPECT_EQ(explain(newest(), newest().steps[1], all(), trees()).causes.front().step, 1u);
}

TEST_F(ExplainTest, WhatIsNotReadDoesNotMatter) {
    const std::string text = "FROM scratch AS one\nCOPY src /src/\nFROM scratch\n"
                             "COPY --from=one /src/deep /deep\n";
    built(text);
    builder.file("src/a.txt", "changed");
    built(text);
    EXPECT_EQ(why(), "1: [file] src/a.txt: content changed");
}

TEST_F(ExplainTest, NoCacheIsACauseByItself) {
    built(kTwoCopies);
    built(kTwoCopies, [](Request& request) { request.no_cache = true; });
    EXPECT_EQ(why(), "1: [no-cache] the cache was not to be used (--no-cache)\n"
                     "2: [no-cache] the cache was not to be used (--no-cache)");
}

TEST_F(ExplainTest, PrunedResultIsToldFromAChange) {
    built(kTwoCopies, [](Request& request) { request.outputs = {output("type=cacheonly")}; });
    store::CollectOptions options;
    options.may_remove = [](const store::CacheRecord&) { return true; };
    builder.store.collect(options, std::chrono::seconds(1));
    built(kTwoCopies);
    EXPECT_EQ(why().substr(0, why().find('\n')),
              "1: [removed] nothing changed: the earlier result is gone (prune, --max-disk)");
}

TEST_F(ExplainTest, ExportedRecordExplainsElsewhere) {
    const auto record = built(kTwoCopies);
    const auto exported = decode_export(encode_for_export(record, trees()));
    Builder other(registry);
    other.file("src/a.txt", "a");
    other.file("src/deep/b.txt", "not b");
    other.file("other.txt", "o");
    other.build(other.request(kTwoCopies));
    store::BuildHistory history(other.store);
    const auto here = decode_build_record(history.list().front().document);
    const FindTree find = [&](const Digest& digest) {
        const auto found = exported.trees.find(digest);
        return found != exported.trees.end() ? found->second : history.tree(digest);
    };
    const auto found = explain(here, here.steps[0], {exported.record}, find, true);
    ASSERT_EQ(found.causes.size(), 1u);
    EXPECT_EQ(found.causes[0].text, "src/deep/b.txt: content changed");
}

TEST_F(ExplainTest, DamagedExportsAreRefused) {
    auto text = encode_for_export(built(kTwoCopies), trees());
    EXPECT_THROW(decode_export(text.substr(0, text.size() / 2)), Error);
    const auto digits = text.rfind("0000");
    ASSERT_NE(digits, std::string::npos);
    text[digits] = 'x';
    EXPECT_THROW(decode_export(text), Error);
    EXPECT_THROW(decode_build_record("{\"shaleBuildRecord\":2}"), Error);
    EXPECT_THROW(decode_build_record("{}"), Error);
}

}  // namespace
}  // namespace shale::build
