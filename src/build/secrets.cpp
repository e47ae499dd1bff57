#include "secrets.hpp"

namespace shale::build {
namespace {

constexpr std::uint64_t kMaxSecretBytes = 500 << 10;

template <typename Source>
const Source* find_source(const std::vector<Source>& sources, const std::string& id) {
    for (auto i = sources.size(); i-- > 0;)  // the last one given wins
        if (sources[i].id == id) return &sources[i];
    return nullptr;
}

}  // namespace

std::optional<std::string> find_secret(const std::vector<SecretSource>& secrets,
                                       const std::string& id) {
    const auto* source = find_source(secrets, id);
    if (!source) return std::nullopt;
    auto value = source->value
                     ? *source->value
                     : in_context([&] { return "secret " + id; },
                                  [&] { return read_file(source->file, kMaxSecretBytes); });
    if (value.size() > kMaxSecretBytes)
        fail(ErrorKind::Invalid, "secret " + id + " is larger than 500 KiB");
    return value;
}

std::optional<std::string> SshAgents::socket(const std::string& id) {
    const auto* source = find_source(sources_, id);
    if (!source) return std::nullopt;
    if (!source->socket.empty()) return source->socket;
    const std::lock_guard lock(mutex_);
    auto& agent = agents_[id];
    if (!agent) agent = std::make_unique<sandbox::KeyAgent>(source->keys);
    return agent->socket();
}

}  // namespace shale::build
