// What a command works with: the store, the registry client, the runtime. Each is opened when it is
// first asked for, so that `shale diff A B` needs none of them and touches no store.
#pragma once

#include "flags.hpp"
#include "interrupts.hpp"

#include <shale/build.hpp>
#include <shale/registry.hpp>
#include <shale/sandbox.hpp>
#include <shale/store.hpp>

#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

namespace shale::cli {

class Workspace {
  public:
    explicit Workspace(Globals globals) : globals_(std::move(globals)) {}
    Workspace(const Workspace&) = delete;

    const Globals& globals() const { return globals_; }
    std::string root() const;  // where the store is or would be
    // Moves the process where mounts are its own and die with it: root into a mount namespace, an
    // ordinary user into a user namespace, whose root he is. For commands that run containers,
    // before they open the store or start a thread. Where that is not possible, whatever needs it
    // says so when it is needed.
    void enter_namespaces();
    store::Store& store();
    registry::Client& registry();
    build::Images& images();
    // Safe from any thread, the steps of a build ask for it at one time.
    sandbox::Runtime& runtime();

    // From the first call on, Ctrl-C requests a stop instead of killing the program.
    std::stop_token stop();
    // For fork(2): as Interrupts'.
    void pause_interrupts();
    void resume_interrupts();
    // For a command that owns the terminal: the keyboard's signals are the command's.
    std::stop_token stop_except_keyboard();

  private:
    Globals globals_;
    std::unique_ptr<Interrupts> interrupts_;  // outlives what a signal must not cut short
    std::string why_not_root_;
    std::unique_ptr<store::Store> store_;
    std::unique_ptr<registry::Client> registry_;
    std::unique_ptr<build::Images> images_;
    std::mutex runtime_mutex_;
    std::unique_ptr<sandbox::Runtime> runtime_;
};

}  // namespace shale::cli
