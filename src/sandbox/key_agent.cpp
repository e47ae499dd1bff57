// ssh-agent and ssh-add of OpenSSH do what concerns keys: formats, algorithms and their pitfalls
// are theirs. The agent runs contained, so that it ends with us, however we end; a thread of our
// own waits for it, because a contained program ends with the thread that started it.
#include "command_runner.hpp"
#include "probe.hpp"

#include <shale/sandbox.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace shale::sandbox {

namespace {

std::string openssh_program(const std::string& name) {
    auto program = find_program(name);
    if (program.empty())
        fail(ErrorKind::Unsupported, "SSH key files need " + name +
                                         " (package openssh-client); or give --ssh the socket of "
                                         "an agent");
    return program;
}

std::string one_line(std::string text) {
    while (!text.empty() && text.back() == '\n')
        text.pop_back();
    for (char& c : text)
        if (c == '\n' || c == '\r') c = ' ';
    return text;
}

}  // namespace

struct KeyAgent::State {
    // In /tmp, as the address of a socket must be short.
    TempDir directory;
    std::string socket = join_path(directory.path(), "agent");
    std::string words;  // of the agent; read after it has ended
    std::atomic<bool> ended = false;
    std::jthread thread;  // ends first

    void serve(const std::string& program, std::stop_token stop) {
        Command command;
        command.argv = {program, "-D", "-a", socket};
        try {
            system_command_runner().run(
                command, [this](OutputStream, std::string_view text) { words.append(text); }, stop);
        } catch (const Error& error) {  // thread root
            words = error.what();
        }
        ended = true;
    }

    void wait_for_socket() {
        using namespace std::chrono_literals;
        while (!path_exists(socket)) {
            if (ended) fail(ErrorKind::System, "ssh-agent did not start: " + one_line(words));
            std::this_thread::sleep_for(2ms);
        }
    }

    void add(const std::string& program, const std::string& key) {
        Command command;
        command.argv = {program, "-q", key};
        command.env = {"SSH_AUTH_SOCK=" + socket};
        std::string text;
        const Exit exit = system_command_runner().run(
            command, [&text](OutputStream, std::string_view part) { text.append(part); }, {});
        if (exit.code != 0 || exit.signal != 0)
            fail(ErrorKind::Invalid, "cannot use SSH key " + key + ": " + one_line(text));
    }
};

KeyAgent::KeyAgent(const std::vector<std::string>& keys) : state_(std::make_unique<State>()) {
    const auto agent = openssh_program("ssh-agent"), adder = openssh_program("ssh-add");
    state_->thread = std::jthread([state = state_.get(), agent](std::stop_token stop) {
        state->serve(agent, std::move(stop));
    });
    state_->wait_for_socket();
    for (const auto& key : keys)
        state_->add(adder, key);
}
KeyAgent::~KeyAgent() = default;

const std::string& KeyAgent::socket() const {
    return state_->socket;
}

}  // namespace shale::sandbox
