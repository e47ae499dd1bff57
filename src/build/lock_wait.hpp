// Waiting for a lock: the kernel lets one wait, but not together with a stop request, so it is a
// loop of attempts.
#pragma once

#include <shale/base.hpp>

#include <algorithm>
#include <chrono>
#include <functional>
#include <stop_token>
#include <thread>

namespace shale::build {

// Calls `attempt` until it returns true; after the first failure tells `waiting` once. Cancelled if
// `stop` is requested first.
template <typename Attempt>
void wait_for_lock(const Attempt& attempt, const std::function<void()>& waiting,
                   const std::stop_token& stop) {
    if (attempt()) return;
    if (waiting) waiting();
    constexpr std::chrono::milliseconds kLongest{100};
    for (std::chrono::milliseconds pause{5}; !attempt(); pause = std::min(pause * 2, kLongest)) {
        if (stop.stop_requested()) fail(ErrorKind::Cancelled, "cancelled");
        std::this_thread::sleep_for(pause);
    }
}

}  // namespace shale::build
