#include "workspace.hpp"

#include <shale/base.hpp>
#include <shale/rootless.hpp>

#include <unistd.h>

namespace shale::cli {

std::string Workspace::root() const {
    return globals_.root.empty() ? store::Store::default_root() : globals_.root;
}

void Workspace::enter_namespaces() {
    if (::geteuid() != 0) {
        globals_.root = root();  // inside, the default is another
        try {
            sandbox::enter_user_namespace();
        } catch (const Error& error) {  // told when a command is to be run
            if (error.kind() != ErrorKind::Unsupported) throw;
            why_not_root_ = error.what();
            return;
        }
    }
    sandbox::enter_private_mounts();
}

store::Store& Workspace::store() {
    if (!store_) store_ = std::make_unique<store::Store>(root());
    return *store_;
}

registry::Client& Workspace::registry() {
    if (!registry_) {
        auto options = registry::load_options();
        options.stop = stop();
        registry_ = std::make_unique<registry::Client>(std::move(options));
    }
    return *registry_;
}

build::Images& Workspace::images() {
    if (!images_) images_ = std::make_unique<build::Images>(store(), registry());
    return *images_;
}

sandbox::Runtime& Workspace::runtime() {
    std::lock_guard lock(runtime_mutex_);
    if (!why_not_root_.empty())
        fail(ErrorKind::Unsupported,
             "running commands in containers needs root or a user namespace: " + why_not_root_);
    if (!runtime_) {
        runtime_ = std::make_unique<sandbox::Runtime>(
            sandbox::Runtime::probe(join_path(root(), "runtime")));
        log(LogLevel::Debug, "runtime " + runtime_->name() + ": " + runtime_->explanation());
    }
    return *runtime_;
}

std::stop_token Workspace::stop() {
    if (!interrupts_) interrupts_ = std::make_unique<Interrupts>();
    return interrupts_->token();
}

void Workspace::pause_interrupts() {
    if (interrupts_) interrupts_->pause();
}

void Workspace::resume_interrupts() {
    if (interrupts_) interrupts_->resume();
}

std::stop_token Workspace::stop_except_keyboard() {
    constexpr bool kKeyboard = false;
    interrupts_.reset();
    interrupts_ = std::make_unique<Interrupts>(kKeyboard);
    return interrupts_->token();
}

}  // namespace shale::cli
