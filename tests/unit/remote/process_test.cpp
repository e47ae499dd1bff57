#include "process.hpp"

#include <shale/base.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <thread>

namespace shale::remote {
namespace {

Command shell(const std::string& script) {
    Command command;
    command.argv = {"/bin/sh", "-c", script};
    command.environment = {"PATH=/usr/bin:/bin", "ONLY=this"};
    return command;
}

TEST(Process, StatusOutputAndComplaintAreKept) {
    const auto finished = run(shell("echo out; echo $ONLY$HOME; echo err >&2; read x; exit 7"));
    EXPECT_EQ(finished.status, 7);
    EXPECT_EQ(finished.output, "out\nthis\n");
    EXPECT_EQ(finished.complaint, "err\n");
    EXPECT_EQ(run(shell("kill -9 $$")).status, 128 + SIGKILL);
}

TEST(Process, MissingProgramIsNotFound) {
    Command command;
    command.argv = {"no-such-program-of-this-name"};
    try {
        run(command);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::NotFound);
    }
}

TEST(Process, OutputIsBoundedAndComplaintsAreCut) {
    auto command = shell("while :; do echo x; done");
    command.max_output = 1000;
    try {
        run(command);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::Network);
    }
    const auto finished =
        run(shell("i=0; while [ $i -lt 9000 ]; do echo line $i >&2; i=$((i+1)); done"));
    EXPECT_LE(finished.complaint.size(), 17u << 10);
    EXPECT_TRUE(finished.complaint.ends_with("line 8999\n"));
}

TEST(Process, AStopKillsHelpersToo) {
    std::stop_source source;
    auto command = shell("sleep 100 & sleep 100");
    command.stop = source.get_token();
    std::thread stopper([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        source.request_stop();
    });
    try {
        run(command);
        ADD_FAILURE() << "ran to its end";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::Cancelled);
    }
    stopper.join();
}

}  // namespace
}  // namespace shale::remote
