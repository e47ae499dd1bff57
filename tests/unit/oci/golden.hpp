// Documents written by other tools (*.in) and our encoding of what we read in them (*.out).
#pragma once

#include <shale/base.hpp>

#include <gtest/gtest.h>

#include <cstdlib>

namespace shale::oci {

// Compares `actual` with tests/golden/oci/<name>.out byte for byte. SHALE_ACCEPT=1 rewrites the
// file and marks the test skipped, so that accepting never looks like a pass.
inline void expect_golden(const std::string& name, const std::string& actual) {
    const std::string path = std::string(SHALE_GOLDEN_DIR "/") + name + ".out";
    if (std::getenv("SHALE_ACCEPT") != nullptr) {
        write_file_atomic(path, as_bytes(actual));
        GTEST_SKIP() << "accepted " << path;
    }
    EXPECT_EQ(actual, read_file(path)) << path;
}

inline std::string golden_input(const std::string& name) {
    return read_file(std::string(SHALE_GOLDEN_DIR "/") + name + ".in");
}

}  // namespace shale::oci
