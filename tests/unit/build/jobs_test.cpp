// Jobs: never more than allowed, in order, and nobody waits for ever.
#include "jobs.hpp"

#include <shale/base.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace shale::build {
namespace {

// Until `condition` holds; false after a time in which it should have long done so.
bool comes_true(const std::function<bool()>& condition) {
    for (int i = 0; i < 5000; ++i) {
        if (condition()) return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
}

// The most threads that had a job at one time, of `threads` that take one ten times each.
std::size_t most_at_once(Jobs& jobs, unsigned threads, std::uint64_t memory) {
    std::atomic<std::size_t> now{0}, most{0};
    std::vector<std::jthread> all;
    for (unsigned i = 0; i < threads; ++i)
        all.emplace_back([&] {
            for (int turn = 0; turn < 10; ++turn) {
                const auto job = jobs.take(memory, {});
                const auto mine = ++now;
                for (auto seen = most.load();
                     seen < mine && !most.compare_exchange_weak(seen, mine);) {
                }
                std::this_thread::sleep_for(std::chrono::microseconds(200));
                --now;
            }
        });
    all.clear();
    return most;
}

TEST(Jobs, NeverMoreThanAllowed) {
    Jobs jobs(3, 0);
    EXPECT_EQ(most_at_once(jobs, 8, 0), 3u);
    EXPECT_EQ(jobs.running(), 0u);
    EXPECT_EQ(jobs.waiting(), 0u);
}

TEST(Jobs, NeverMoreMemoryThanThereIs) {
    Jobs jobs(0, 1000);
    EXPECT_EQ(most_at_once(jobs, 8, 400), 2u);
}

TEST(Jobs, WithoutALimitNobodyWaits) {
    Jobs jobs(0, 0);
    std::vector<Job> held;
    for (int i = 0; i < 300; ++i)
        held.push_back(jobs.take(1ull << 40, {}));
    EXPECT_EQ(jobs.running(), 300u);
}

TEST(Jobs, WhatIsLargerThanTheBudgetRunsAlone) {
    Jobs jobs(0, 1000);
    std::optional<Job> large(jobs.take(UINT64_MAX, {}));
    std::jthread other([&] { jobs.take(1, {}); });
    ASSERT_TRUE(comes_true([&] { return jobs.waiting() == 1; }));
    { const auto without_memory = jobs.take(0, {}); }  // is no reason to wait
    EXPECT_EQ(jobs.waiting(), 1u);
    large.reset();
    other.join();
    EXPECT_EQ(jobs.running(), 0u);
}

TEST(Jobs, TheFirstComesFirst) {
    Jobs jobs(1, 0);
    std::optional<Job> held(jobs.take(0, {}));
    std::string order;
    std::vector<std::jthread> all;
    for (const char name : {'a', 'b', 'c', 'd'}) {
        const auto before = jobs.waiting();
        all.emplace_back([&jobs, &order, name] {
            const auto job = jobs.take(0, {});
            order += name;  // one at a time
        });
        ASSERT_TRUE(comes_true([&] { return jobs.waiting() == before + 1; }));
    }
    held.reset();
    all.clear();
    EXPECT_EQ(order, "abcd");
}

TEST(Jobs, ASmallOnePassesALargeOneThatDoesNotFit) {
    Jobs jobs(0, 1000);
    std::optional<Job> held(jobs.take(600, {}));
    std::atomic<bool> large_runs{false};
    std::jthread large([&] {
        const auto job = jobs.take(500, {});
        large_runs = true;
    });
    ASSERT_TRUE(comes_true([&] { return jobs.waiting() == 1; }));
    { const auto small = jobs.take(400, {}); }
    EXPECT_FALSE(large_runs);
    held.reset();
    large.join();
    EXPECT_TRUE(large_runs);
}

TEST(Jobs, AStopEndsTheWaiting) {
    Jobs jobs(1, 0);
    const auto held = jobs.take(0, {});
    std::stop_source stop;
    std::optional<ErrorKind> kind;
    std::jthread waiter([&] {
        try {
            jobs.take(0, stop.get_token());
        } catch (const Error& error) {
            kind = error.kind();
        }
    });
    ASSERT_TRUE(comes_true([&] { return jobs.waiting() == 1; }));
    stop.request_stop();
    waiter.join();
    EXPECT_EQ(kind, ErrorKind::Cancelled);
    EXPECT_EQ(jobs.waiting(), 0u);
    EXPECT_EQ(jobs.running(), 1u);
}

}  // namespace
}  // namespace shale::build
