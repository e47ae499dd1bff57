// The output of one step on its way to a display: two streams cut into printable lines, and a limit
// so that a step which prints without end fills neither a log file nor our memory.
#pragma once

#include "terminal_text.hpp"

#include <shale/sandbox.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace shale::cli {

inline constexpr std::uint64_t kStepLogBytes = 2 << 20;
inline constexpr std::string_view kClippedNotice = "[output clipped, log limit 2MiB reached]";

class StepLog {
  public:
    explicit StepLog(LineAssembler::OnLine on_line)
        : on_line_(std::move(on_line)), out_(on_line_), err_(on_line_) {}

    void feed(sandbox::OutputStream stream, std::string_view text) {
        if (taken_ >= kStepLogBytes) return;
        const auto piece = text.substr(0, kStepLogBytes - taken_);
        taken_ += piece.size();
        (stream == sandbox::OutputStream::Stdout ? out_ : err_).feed(piece);
        if (taken_ < kStepLogBytes) return;
        finish();
        on_line_(std::string(kClippedNotice));
    }
    // The line that the command is at, if it has begun one.
    std::string unfinished() const {
        auto text = out_.unfinished();
        return text.empty() ? err_.unfinished() : text;
    }
    void finish() {
        out_.finish();
        err_.finish();
    }

  private:
    LineAssembler::OnLine on_line_;
    LineAssembler out_, err_;
    std::uint64_t taken_ = 0;
};

}  // namespace shale::cli
