// How errors are made: from an errno, from words, and the end of a broken promise.
#include <shale/base.hpp>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <system_error>

namespace shale {

void fail(ErrorKind kind, const std::string& text) {
    throw Error(kind, text);
}

void throw_errno(std::string_view operation, std::string_view subject) {
    throw_errno(errno, operation, subject);
}

void throw_errno(int error, std::string_view operation, std::string_view subject) {
    ErrorKind kind = ErrorKind::System;
    if (error == ENOENT) kind = ErrorKind::NotFound;
    if (error == EACCES || error == EPERM) kind = ErrorKind::Denied;
    std::string text(operation);
    if (!subject.empty()) text.append(" '").append(subject).append("'");
    text.append(": ").append(std::generic_category().message(error));
    throw Error(kind, text, error);
}

void ensure_failed(const char* condition, const char* file, int line) {
    std::fprintf(stderr, "shale: internal error: %s does not hold at %s:%d\n", condition, file,
                 line);
    std::abort();
}

}  // namespace shale
