// Two processes for one mount: one serves it, the other waits, and has another serve it when that
// is killed.
#pragma once

#include "serving.hpp"

#include <functional>
#include <string>

namespace shale::cli {

// `serving` is prepared, and this process has no threads but those that pausing it and the
// workspace's interrupts ends. Forks: in the process that serves, `on_ready` is called when it does
// so for the first time, and this returns when the mount is gone. The process that holds does not
// return; it has all that serving needs in memory, as it was before the first request, and the
// descriptor through which requests come. When the server is killed by a signal, it forks another,
// which answers what that one left unanswered. Its death disturbs nobody. When servers die again
// and again, or the kernel does not repeat requests (before Linux 6.9), it ends: the mount is dead
// then, as it would be without.
//
// Throws, in one of the two, if the first server is not ready before it ends.
void hold_mount(Serving& serving, Workspace& workspace, const std::string& name,
                const std::function<void()>& on_ready);

}  // namespace shale::cli
