// parallel (a door of base): the same for each of several, a few at a time.
#pragma once

#include <cstddef>
#include <functional>

namespace shale {

// Runs body(0..count-1) on at most `threads` threads, the caller's among them. The first error
// stops further work and is rethrown.
void for_each_parallel(std::size_t count, std::size_t threads,
                       const std::function<void(std::size_t)>& body);

}  // namespace shale
