// What the process status of shale means. Manual pages quote these lines; keep both in step.
//
// The codes follow the habits of the programs people already script against: docker buildx (1 for
// every build error, 130 on Ctrl-C), diff(1) (0, 1, 2) and docker run (125, 126, 127).
#pragma once

namespace shale::cli {

inline constexpr int kOk = 0;
inline constexpr int kFailure = 1;  // usage, build or operation error

// shale diff: 0 equal, 1 different, 2 trouble.
inline constexpr int kDifferent = 1;
inline constexpr int kTrouble = 2;

// shale shell: the command's own status (128 + signal if it was killed), or one of these.
inline constexpr int kShellFailed = 125;      // shale could not set the container up
inline constexpr int kCannotStart = 126;      // the command exists and cannot be run
inline constexpr int kCommandNotFound = 127;  // the image holds no such command

inline constexpr int kSignalled = 128;    // and the number of the signal that ended it:
inline constexpr int kInterrupted = 130;  // SIGINT
inline constexpr int kBrokenPipe = 141;   // SIGPIPE: the reader of our output went away
inline constexpr int kTerminated = 143;   // SIGTERM

}  // namespace shale::cli
