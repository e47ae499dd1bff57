// Waiting for the clock that stamps inodes, so that what was written before counts as settled.
#pragma once

#include <ctime>
#include <utility>

namespace shale::testing {

// Returns once every inode that changed before the call carries a time that has passed on the
// coarse clock. One tick of it is not enough: multigrain file systems stamp with the fine clock,
// and a machine that was held up may catch up to a time before the stamp first.
inline void wait_for_inode_clock() {
    timespec called{}, coarse{};
    ::clock_gettime(CLOCK_REALTIME, &called);
    do
        ::clock_gettime(CLOCK_REALTIME_COARSE, &coarse);
    while (std::pair(coarse.tv_sec, coarse.tv_nsec) <= std::pair(called.tv_sec, called.tv_nsec));
}

}  // namespace shale::testing
