#include "workspace.hpp"

#include <shale/base.hpp>

namespace shale::cli {

std::string Workspace::root() const {
    return globals_.root.empty() ? store::Store::default_root() : globals_.root;
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

std::stop_token Workspace::stop_except_keyboard() {
    constexpr bool kKeyboard = false;
    interrupts_.reset();
    interrupts_ = std::make_unique<Interrupts>(kKeyboard);
    return interrupts_->token();
}

}  // namespace shale::cli
