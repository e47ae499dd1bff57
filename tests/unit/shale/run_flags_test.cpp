// --secret, --ssh, --ulimit and --resource as docker buildx reads them.
#include "run_flags.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdlib>
#include <functional>

namespace shale::cli {
namespace {

using testing::HasSubstr;

std::string error_of(const std::function<void()>& body) {
    try {
        body();
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

class RunFlagsTest : public testing::Test {
  protected:
    RunFlagsTest() {
        ::setenv("SHALE_TEST_SECRET", "from variable", 1);
        write_file_atomic(file, as_bytes("key"));
    }
    ~RunFlagsTest() override { ::unsetenv("SHALE_TEST_SECRET"); }
    TempDir directory;
    std::string file = join_path(directory.path(), "file");
};

TEST_F(RunFlagsTest, SecretsComeFromFilesAndVariables) {
    EXPECT_EQ(parse_secret("id=a,src=" + file).file, file);
    EXPECT_EQ(parse_secret("id=a,env=SHALE_TEST_SECRET").value, "from variable");
    EXPECT_EQ(parse_secret("type=env,id=a,src=SHALE_TEST_SECRET").value, "from variable");
    EXPECT_EQ(parse_secret("id=SHALE_TEST_SECRET").value, "from variable");
    EXPECT_EQ(parse_secret("type=env,id=SHALE_TEST_UNSET").value, "");
    EXPECT_EQ(parse_secret("type=file,id=" + file).file, file);
    EXPECT_EQ(parse_secret("\"id=a,b\",env=SHALE_TEST_SECRET").id, "a,b");
}

TEST_F(RunFlagsTest, BadSecretsAreNamed) {
    EXPECT_THAT(error_of([] { parse_secret("src=/x"); }), HasSubstr("secret missing ID"));
    EXPECT_THAT(error_of([] { parse_secret("id"); }), HasSubstr("expected key=value"));
    EXPECT_THAT(error_of([] { parse_secret("id=a,tpye=env"); }),
                HasSubstr("unexpected key 'tpye'"));
    EXPECT_THAT(error_of([] { parse_secret("id=a,type=x"); }),
                HasSubstr("unsupported secret type"));
    EXPECT_THAT(error_of([] { parse_secret("id=a,src=/no/such"); }), HasSubstr("failed to stat"));
}

TEST_F(RunFlagsTest, AgentsAreSocketsOrKeys) {
    const auto socket = join_path(directory.path(), "socket");
    const UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, socket.c_str(), sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);

    EXPECT_EQ(parse_ssh("a=" + socket).socket, socket);
    EXPECT_EQ(parse_ssh("a=" + file + "," + file).keys.size(), 2u);
    EXPECT_THAT(error_of([&] { parse_ssh("a=" + socket + "," + file); }),
                HasSubstr("combination of keys and sockets"));
    EXPECT_THAT(error_of([&] { parse_ssh("a=" + socket + "," + socket); }),
                HasSubstr("only single socket"));
    ::setenv("SSH_AUTH_SOCK", socket.c_str(), 1);
    EXPECT_EQ(parse_ssh("default").socket, socket);
    ::unsetenv("SSH_AUTH_SOCK");
    EXPECT_THAT(error_of([] { parse_ssh("default"); }),
                HasSubstr("make sure SSH_AUTH_SOCK is set"));
}

TEST_F(RunFlagsTest, LimitsOfProcesses) {
    const auto limit = parse_ulimit("nofile=10:20");
    EXPECT_EQ(limit.name, "nofile");
    EXPECT_EQ(limit.soft, 10);
    EXPECT_EQ(limit.hard, 20);
    EXPECT_EQ(parse_ulimit("core=-1").hard, -1);
    for (const char* bad : {"nofile", "=1", "nofile=x", "nofile=1:2:3", "files=1", "nofile=2:1"})
        EXPECT_NE(error_of([&] { parse_ulimit(bad); }), "no error") << bad;
}

TEST_F(RunFlagsTest, ResourcesHaveTwoSpellings) {
    RunFlags flags;
    flags.memory = "64m";
    flags.resources = {"memory-swap=-1", "cpu-quota=5000", "cpuset-cpus=0-1"};
    flags.shm_size = "8m";
    build::Request request;
    apply_run_flags(flags, request);
    EXPECT_EQ(request.resources.memory_bytes, 64 << 20);
    EXPECT_EQ(request.resources.memory_swap_bytes, -1);
    EXPECT_EQ(request.resources.cpu_quota_us, 5000);
    EXPECT_EQ(request.resources.cpus, "0-1");
    EXPECT_EQ(request.shm_bytes, 8u << 20);
    flags.resources = {"memroy=1"};
    EXPECT_THAT(error_of([&] { apply_run_flags(flags, request); }),
                HasSubstr("did you mean memory"));
}

TEST_F(RunFlagsTest, ProcessorsAndProcessesAsDockerRunTakesThem) {
    RunFlags flags;
    flags.processors = "1.5";
    flags.processes = "10";
    flags.memory = "64m";
    flags.memory_budget = "1g";
    build::Request request;
    apply_run_flags(flags, request);
    EXPECT_EQ(request.resources.cpu_period_us, 100'000u);
    EXPECT_EQ(request.resources.cpu_quota_us, 150'000);
    EXPECT_EQ(request.resources.processes, 10);
    EXPECT_EQ(request.memory_budget, 1u << 30);
    for (const char* unlimited : {"-1", "0"}) {
        flags.processes = unlimited;
        build::Request other;
        apply_run_flags(flags, other);
        EXPECT_EQ(other.resources.processes, 0);
    }
}

TEST_F(RunFlagsTest, LimitsThatMeanNothing) {
    const auto refusal = [](RunFlags flags) {
        build::Request request;
        return error_of([&] { apply_run_flags(flags, request); });
    };
    for (const char* bad : {"0", "x", "-1", "1.5x", "nan", "inf", "0.001"}) {
        RunFlags flags;
        flags.processors = bad;
        EXPECT_THAT(refusal(flags), HasSubstr("--cpus")) << bad;
    }
    RunFlags both;
    both.processors = "1";
    both.cpu_quota = "5000";
    EXPECT_THAT(refusal(both), HasSubstr("--cpu-quota"));
    RunFlags processes;
    processes.processes = "-2";
    EXPECT_THAT(refusal(processes), HasSubstr("--pids-limit"));
    RunFlags budget;
    budget.memory_budget = "1g";
    EXPECT_THAT(refusal(budget), HasSubstr("--memory"));
}

}  // namespace
}  // namespace shale::cli
