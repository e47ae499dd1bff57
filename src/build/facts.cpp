#include "facts.hpp"

#include "key.hpp"

namespace shale::build {

void Facts::add(const Material& material, const std::optional<Digest>& root) {
    const std::lock_guard lock(mutex_);
    auto& known = materials_[material];
    if (!known) known = root;
}

void Facts::add_local(const std::string& name) {
    const std::lock_guard lock(mutex_);
    locals_.insert(name);
}

Digest Facts::local_key(const std::string& name) {
    return Key("local").add("name", name).finish();
}

void Facts::add(std::uint32_t stage, StepFact step) {
    const std::lock_guard lock(mutex_);
    steps_[stage].push_back(std::move(step));
}

void Facts::add_secret(const GrantFact& secret) {
    const std::lock_guard lock(mutex_);
    secrets_.insert(secret);
}

void Facts::add_ssh(const GrantFact& ssh) {
    const std::lock_guard lock(mutex_);
    ssh_.insert(ssh);
}

void Facts::note_network() {
    const std::lock_guard lock(mutex_);
    used_network_ = true;
}

AllFacts Facts::all() const {
    const std::lock_guard lock(mutex_);
    AllFacts out;
    out.materials.assign(materials_.begin(), materials_.end());
    for (const auto& name : locals_)
        out.locals.emplace_back(name, local_key(name));
    std::map<Digest, std::size_t> places;
    for (const auto& [stage, steps] : steps_)
        for (const auto& step : steps) {
            const auto [place, is_new] = places.try_emplace(step.result, out.steps.size());
            if (is_new) {
                out.steps.push_back(step);
                continue;
            }
            auto& lines = out.steps[place->second].lines;  // the same step, written twice
            lines.insert(lines.end(), step.lines.begin(), step.lines.end());
        }
    out.secrets = secrets_;
    out.ssh = ssh_;
    out.used_network = used_network_;
    return out;
}

}  // namespace shale::build
