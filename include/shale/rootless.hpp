// rootless: how an ordinary user gets to run containers. The second door of sandbox.
//
// In a user namespace a user is root of what the namespace owns: mounts, processes and networks
// that are made in it. His own ID is 0 there; all others are his subordinate IDs, which /etc/subuid
// and /etc/subgid lend him and the set-id programs newuidmap and newgidmap give to a namespace.
#pragma once

namespace shale::sandbox {

// Makes this process root of a new user namespace, and nobody outside of it. Everything it starts
// is in there, too. For a process that has one thread, before it opens anything whose owner
// matters: what it owns afterwards belongs to 0.
//
// Unsupported, having changed nothing, with what is missing and how to get it: the programs, the
// subordinate IDs, or the kernel's permission. Mounts are the caller's to separate
// (enter_private_mounts).
void enter_user_namespace();

}  // namespace shale::sandbox
