// Two builds that come to the same step at one time: one executes it, the other waits and finds the
// result in the cache.
#pragma once

#include <shale/base.hpp>
#include <shale/store.hpp>

#include <functional>
#include <stop_token>

namespace shale::build {

// Held while a step is executed, against other processes that share the store. It is the kernel's:
// a process that dies lets go. Nobody may wait for it who holds what its holder could want, a job
// for instance.
class StepLock {
  public:
    // Waits for whoever has it, after telling so through `waiting`, until `stop` (Cancelled).
    StepLock(store::Store& store, const Digest& definition_key,
             const std::function<void()>& waiting, const std::stop_token& stop);

  private:
    UniqueFd file_;
};

}  // namespace shale::build
