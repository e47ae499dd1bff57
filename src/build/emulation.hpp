// Which platforms' commands this machine can run: its own, those its processor understands as well,
// and those for which the kernel's binfmt_misc has an emulator registered.
#pragma once

#include <shale/oci.hpp>

#include <optional>
#include <string>

namespace shale::build {

inline constexpr const char* kBinfmtDirectory = "/proc/sys/fs/binfmt_misc";

struct Emulator {
    std::string name;         // of the registration, "qemu-aarch64"
    std::string interpreter;  // path on this machine
    // Opened when it was registered (flag F), so that it is there in a root without it.
    bool is_preloaded = false;
};

// The enabled handler that takes the platform's programs, judged by magic and mask as the kernel
// does. nullopt if there is none, or if the platform's programs are not known to us.
std::optional<Emulator> find_emulator(const oci::Platform& platform,
                                      const std::string& directory = kBinfmtDirectory);

bool is_native(const oci::Platform& platform);
bool runs_here(const oci::Platform& platform);

// For people whose RUN could not be started: what is missing here and what to install.
std::string how_to_run(const oci::Platform& platform,
                       const std::string& directory = kBinfmtDirectory);

}  // namespace shale::build
