// Which kind of Error something throws.
#pragma once

#include <shale/base.hpp>

#include <gtest/gtest.h>

#include <functional>

namespace shale {

inline ErrorKind kind_of(const std::function<void()>& body) {
    try {
        body();
    } catch (const Error& error) {
        return error.kind();
    }
    ADD_FAILURE() << "no error";
    return ErrorKind::System;
}

}  // namespace shale
