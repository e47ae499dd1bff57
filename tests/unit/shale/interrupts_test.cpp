#include "interrupts.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>

namespace shale::cli {
namespace {

auto handler_of(int number) {
    struct sigaction action {};
    ::sigaction(number, nullptr, &action);
    return action.sa_handler;
}

void some_handler(int) {}

TEST(Interrupts, LeaveIgnoredSignalsIgnored) {
    std::signal(SIGHUP, SIG_IGN);  // as nohup does
    {
        const Interrupts interrupts;
        EXPECT_EQ(handler_of(SIGHUP), SIG_IGN);
        EXPECT_NE(handler_of(SIGTERM), SIG_DFL);
        ::raise(SIGHUP);
        EXPECT_FALSE(interrupts.token().stop_requested());
    }
    EXPECT_EQ(handler_of(SIGHUP), SIG_IGN);
    std::signal(SIGHUP, SIG_DFL);
}

TEST(Interrupts, BringTheEarlierActionsBack) {
    // Whoever runs the tests in the background may have had them ignored.
    std::signal(SIGTERM, SIG_DFL);
    std::signal(SIGQUIT, SIG_DFL);
    std::signal(SIGINT, some_handler);
    for (const bool keyboard : {true, false}) {
        {
            const Interrupts interrupts(keyboard);
            EXPECT_NE(handler_of(SIGINT), &some_handler);
        }
        EXPECT_EQ(handler_of(SIGINT), &some_handler);
        EXPECT_EQ(handler_of(SIGTERM), SIG_DFL);
        EXPECT_EQ(handler_of(SIGQUIT), SIG_DFL);
    }
    std::signal(SIGINT, SIG_DFL);
}

// In a process of its own: what was received stays known for good.
TEST(InterruptsDeathTest, TheSameSignalTwiceAtOnceIsOne) {
    const auto stop = [](int between_ms) {
        const Interrupts interrupts;
        ::raise(SIGTERM);
        ::usleep(static_cast<useconds_t>(between_ms) * 1000);
        ::raise(SIGTERM);
        while (!interrupts.token().stop_requested())
            ::usleep(1000);
        ::_exit(7);
    };
    EXPECT_EXIT(stop(0), testing::ExitedWithCode(7), "");
    EXPECT_EXIT(stop(5), testing::ExitedWithCode(7), "");
    EXPECT_EXIT(stop(500), testing::ExitedWithCode(128 + SIGTERM), "");
}

TEST(InterruptsDeathTest, TheEndIsNotCutShort) {
    const auto end = [] {
        {
            const Interrupts interrupts;
            ::raise(SIGTERM);
        }
        ::raise(SIGTERM);
        ::_exit(7);
    };
    EXPECT_EXIT(end(), testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace shale::cli
