// How processes ask a watcher: one question and one answer per connection, over a socket with a
// name of its own that no file stands for, so that nothing is left behind when the watcher dies.
#pragma once

#include <shale/watch.hpp>

#include <string>

namespace shale::watch {

struct Identity {      // of a directory: its path may mean another one elsewhere
    std::string path;  // without symbolic links
    std::uint64_t dev = 0, ino = 0;
};
Identity identify(const std::string& directory);

// Listens under the name that belongs to the directory. Invalid if somebody does already.
UniqueFd listen_for(const Identity& directory);

struct Question {
    std::uint64_t dev = 0, ino = 0;
    Token since;
};
// Reads a question from a fresh connection; nullopt if the peer is not to be answered.
std::optional<Question> read_question(int connection);
void send_answer(int connection, const Answer& answer);

}  // namespace shale::watch
