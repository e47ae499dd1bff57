#include <shale/shared_library.hpp>

#include <gtest/gtest.h>

namespace shale {
namespace {

std::string message_of(const std::function<void()>& call) {
    try {
        call();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::Unsupported);
        return error.what();
    }
    return {};
}

TEST(SharedLibrary, FunctionsAreFoundAndCalled) {
    const SharedLibrary mathematics("libm.so.6");
    double (*const root)(double) = mathematics.get("sqrt");
    EXPECT_EQ(root(9.0), 3.0);
}

TEST(SharedLibrary, WhatIsMissingIsNamed) {
    EXPECT_NE(message_of([] { const SharedLibrary none("libnone.so.9"); }).find("libnone.so.9"),
              std::string::npos);
    const SharedLibrary mathematics("libm.so.6");
    EXPECT_EQ(message_of([&] { mathematics.get("no_such_thing"); }),
              "libm.so.6 has no function no_such_thing");
}

}  // namespace
}  // namespace shale
