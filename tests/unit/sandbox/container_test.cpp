// A run without a runtime: command lines, the bundle at the time of the call, how endings are
// reported, and that nothing stays behind.
#include "container.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <functional>

namespace shale::sandbox {
namespace {

// Stands in for the program; `act` sees the command and may write output.
class ScriptedRunner : public CommandRunner {
  public:
    std::function<Exit(const Command&, const OnOutput&)> act;
    Exit run(const Command& command, const OnOutput& output, std::stop_token) override {
        last = command;
        return act(command, output);
    }
    std::string option(const std::string& name) const {
        const auto at = std::ranges::find(last.argv, name);
        return at == last.argv.end() ? std::string() : *(at + 1);
    }
    Command last;
};

class RunContainer : public testing::Test {
  protected:
    RunContainer() {
        spec.root = state.path();
        spec.argv = {"tool", "--flag"};
        spec.network = Network::Host;  // the others make namespaces, which needs root
        runner.act = [](const Command&, const OnOutput&) { return Exit{}; };
    }
    Result run() {
        return run_container(engine, {state.path(), &networks, &runner}, spec,
                             [this](OutputStream stream, std::string_view text) {
                                 (stream == OutputStream::Stdout ? out : err).append(text);
                             },
                             {});
    }
    // Ends like a runtime that could not start the command: log and stderr say why.
    void fail_to_start(const std::string& message, bool log_first = true) {
        runner.act = [this, message, log_first](const Command&, const OnOutput& output) {
            const auto write_log = [&] {
                const std::string line =
                    nlohmann::json{{"level", "error"}, {"msg", message}}.dump() + "\n";
                const UniqueFd log = open_file(runner.option("--log"), O_WRONLY | O_CREAT);
                write_all(log.get(), as_bytes(line), "log");
            };
            if (log_first) write_log();
            output(OutputStream::Stderr, message + "\n");
            if (!log_first) write_log();
            Exit exit;
            exit.code = 1;
            return exit;
        };
    }

    TempDir state;
    Engine engine{"/usr/bin/crun", "crun", "crun 1.8.1", false, ""};
    NetworkPool networks{""};
    ScriptedRunner runner;
    Spec spec;
    std::string out, err;
};

TEST_F(RunContainer, CommandLineOfCrun) {
    run();
    const auto& argv = runner.last.argv;
    EXPECT_EQ(argv.front(), "/usr/bin/crun");
    EXPECT_NE(std::ranges::find(argv, "--cgroup-manager=cgroupfs"), argv.end());
    EXPECT_EQ(runner.option("--log-format"), "json");
    EXPECT_TRUE(runner.option("--root").starts_with(state.path()));
    EXPECT_TRUE(runner.option("--bundle").starts_with(state.path()));
    EXPECT_TRUE(argv.back().starts_with("shale-"));
    EXPECT_EQ(runner.last.network_fd, -1);
    EXPECT_FALSE(runner.last.only_cgroup2);
}

TEST_F(RunContainer, RuncIsNotGivenCrunsOptions) {
    engine.family = "runc";
    run();
    for (const std::string& word : runner.last.argv)
        EXPECT_FALSE(word.starts_with("--cgroup-manager")) << word;
}

TEST_F(RunContainer, UserNamespaceHasNoControlGroups) {
    engine.no_cgroup = true;
    runner.act = [this](const Command&, const OnOutput&) {
        const std::string path = runner.option("--bundle") + "/config.json";
        const auto config = nlohmann::json::parse(read_file(path));
        EXPECT_FALSE(config["linux"].contains("cgroupsPath"));
        return Exit{};
    };
    run();
    const auto& argv = runner.last.argv;
    EXPECT_NE(std::ranges::find(argv, "--cgroup-manager=disabled"), argv.end());
    EXPECT_TRUE(runner.last.join_cgroups.empty());
    EXPECT_TRUE(runner.last.only_cgroup2);
    EXPECT_TRUE(runner.last.own_cgroup_namespace);
}

TEST_F(RunContainer, UserNamespaceRefusesWhatOnlyRootCanGrant) {
    engine.no_cgroup = true;
    const auto refused = [this](const std::string& words) {
        try {
            run();
            ADD_FAILURE() << "accepted, expected: " << words;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::Unsupported);
            EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
        }
        EXPECT_TRUE(runner.last.argv.empty());
        EXPECT_TRUE(std::filesystem::is_empty(state.path()));
    };
    const Spec plain = spec;
    spec.resources.memory_bytes = 1 << 20;
    refused("a limit of memory, processors or processes is not possible rootless");
    spec = plain;
    spec.cgroup_parent = "builds";
    refused("--cgroup-parent is not possible rootless");
    spec = plain;
    rlimit now{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &now), 0);
    ASSERT_NE(now.rlim_max, RLIM_INFINITY);
    const auto most = static_cast<std::int64_t>(now.rlim_max);
    spec.limits = {{"nofile", 10, most + 1}};
    refused("this user's hard limit is " + std::to_string(most));
    spec = plain;
    spec.devices = {{"/dev/null", false, 1, 5}};  // the numbers of /dev/zero
    refused("device /dev/null is not possible rootless");
    spec.devices = {{"/dev/no-such-node", false, 1, 3}};
    refused("device /dev/no-such-node is not possible rootless");
    spec.devices = {{"/dev/null", false, 1, 3}};
    spec.limits = {{"nofile", 10, most}};
    run();
    EXPECT_FALSE(runner.last.argv.empty());
}

TEST_F(RunContainer, BundleIsCompleteWhenTheRuntimeStarts) {
    runner.act = [this](const Command& command, const OnOutput&) {
        const std::string path = runner.option("--bundle") + "/config.json";
        const auto config = nlohmann::json::parse(read_file(path));
        EXPECT_EQ(config["process"]["args"], nlohmann::json({"tool", "--flag"}));
        EXPECT_EQ(config["linux"]["cgroupsPath"], "/" + command.argv.back());
        return Exit{};
    };
    run();
}

TEST_F(RunContainer, NamesAreUniqueAndNothingStays) {
    run();
    const std::string first = runner.last.argv.back();
    run();
    EXPECT_NE(runner.last.argv.back(), first);
    EXPECT_TRUE(std::filesystem::is_empty(state.path()));
}

TEST_F(RunContainer, NothingStaysAfterAnException) {
    runner.act = [](const Command&, const OnOutput&) -> Exit {
        fail(ErrorKind::System, "no such runtime");
    };
    EXPECT_THROW(run(), Error);
    EXPECT_TRUE(std::filesystem::is_empty(state.path()));
}

TEST_F(RunContainer, OutputAndExitCodeComeThrough) {
    runner.act = [](const Command&, const OnOutput& output) {
        output(OutputStream::Stdout, "one\n");
        output(OutputStream::Stderr, "two\n");
        Exit exit;
        exit.code = 7;
        return exit;
    };
    const Result result = run();
    EXPECT_EQ(result.exit_code, 7);
    EXPECT_EQ(result.start_error, "");
    EXPECT_EQ(out, "one\n");
    EXPECT_EQ(err, "two\n");
}

TEST_F(RunContainer, StartErrorIsAResultNotOutput) {
    for (const bool log_first : {true, false}) {
        fail_to_start("executable file `tool` not found in $PATH: No such file or directory",
                      log_first);
        const Result result = run();
        EXPECT_EQ(result.start_error, "exec: \"tool\": executable file not found in $PATH");
        EXPECT_EQ(result.exit_code, 127);
        EXPECT_EQ(err, "");
    }
}

TEST_F(RunContainer, UnusualStartErrorIsRecognisedByTheLog) {
    fail_to_start("mount `/x` to `/y`: Permission denied");
    const Result result = run();
    EXPECT_EQ(result.start_error, "mount `/x` to `/y`: Permission denied");
    EXPECT_EQ(result.exit_code, 126);
}

TEST_F(RunContainer, WordsOfTheCommandAreNotMistakenForTheRuntimes) {
    runner.act = [](const Command&, const OnOutput& output) {
        output(OutputStream::Stderr, "open executable: this is my own message\n");
        Exit exit;
        exit.code = 1;
        return exit;
    };
    const Result result = run();
    EXPECT_EQ(result.start_error, "");
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(err, "open executable: this is my own message\n");
}

TEST_F(RunContainer, HeldTextKeepsItsPlace) {
    runner.act = [](const Command&, const OnOutput& output) {
        output(OutputStream::Stderr, "runc run failed: just kidding\n");
        output(OutputStream::Stderr, "more\n");
        return Exit{};
    };
    run();
    EXPECT_EQ(err, "runc run failed: just kidding\nmore\n");
}

TEST_F(RunContainer, StopIsReportedAsKilled) {
    runner.act = [](const Command&, const OnOutput&) {
        Exit exit;
        exit.signal = SIGKILL;
        exit.stopped = true;
        return exit;
    };
    EXPECT_EQ(run().exit_code, 137);
}

TEST_F(RunContainer, CrashOfTheRuntimeIsAnError) {
    runner.act = [](const Command&, const OnOutput&) {
        Exit exit;
        exit.signal = SIGSEGV;
        return exit;
    };
    try {
        run();
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::System);
        EXPECT_STREQ(error.what(), "crun 1.8.1 was killed by signal 11");
    }
    EXPECT_TRUE(std::filesystem::is_empty(state.path()));
}

TEST(StartError, IsWordedAlikeForBothRuntimes) {
    const struct {
        const char* message;
        const char* command;
        const char* plain;
    } cases[] = {
        {"runc run failed: unable to start container process: exec: \"x\": executable file not "
         "found in $PATH",
         "x", "exec: \"x\": executable file not found in $PATH"},
        {"executable file `x` not found in $PATH: No such file or directory", "x",
         "exec: \"x\": executable file not found in $PATH"},
        {"executable file `/x` not found in $PATH: No such file or directory", "/x",
         "exec: \"/x\": stat /x: no such file or directory"},
        {"open executable: Permission denied", "/x", "exec: \"/x\": permission denied"},
        {"runc run failed: invalid rootfs", "x", "invalid rootfs"},
    };
    for (const auto& one : cases)
        EXPECT_EQ(plain_start_error(one.message, one.command), one.plain);
}

TEST(RuntimeLog, FirstErrorIsFound) {
    EXPECT_EQ(first_logged_error(""), "");
    EXPECT_EQ(first_logged_error("{\"level\":\"warning\",\"msg\":\"w\"}\nnot json\n"
                                 "{\"level\":7}\n{\"level\":\"error\",\"msg\":\"e\"}\n"),
              "e");
    EXPECT_EQ(first_logged_error("[1,2]\n{\"level\":\"error\",\"msg\":3}"), "");
}

TEST(Sweep, TakesWhatNobodyHasLocked) {
    const TempDir state;
    const auto make_run = [&](const std::string& name, bool old) {
        const std::string path = join_path(state.path(), name);
        make_directories(join_path(path, "state"));
        const timespec times[2] = {{0, UTIME_OMIT}, {1000, 0}};
        if (old) {
            EXPECT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
        }
        return path;
    };
    const std::string dead = make_run("run-1-aaaaaa", true);
    const std::string killed = make_run("run-1-bbbbbb", false);
    const std::string young = make_run("new-1-dddddd", false);
    const std::string unborn = make_run("new-1-eeeeee", true);
    const std::string alive = make_run("run-1-cccccc", true);
    const std::string other = make_run("cache", true);
    const UniqueFd lock = open_file(alive, O_RDONLY | O_DIRECTORY);
    ASSERT_EQ(::flock(lock.get(), LOCK_EX), 0);
    sweep_dead_runs(state.path());
    EXPECT_FALSE(path_exists(dead));
    EXPECT_FALSE(path_exists(killed));
    EXPECT_FALSE(path_exists(unborn));
    EXPECT_TRUE(path_exists(young));
    EXPECT_TRUE(path_exists(alive));
    EXPECT_TRUE(path_exists(other));
}

}  // namespace
}  // namespace shale::sandbox
