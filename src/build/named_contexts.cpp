#include "named_contexts.hpp"

namespace shale::build {
namespace {

// Names that mean something in every Dockerfile.
bool is_reserved(const std::string& name) {
    return name == "scratch" || name == "context";
}

// A key of the command line in the form that is looked up.
std::optional<std::string> normalise_key(const std::string& key) {
    const auto colons = key.find("::");
    auto name = normalise_context_name(key.substr(0, colons));
    if (!name || colons == std::string::npos) return name;
    return *name + "::" + oci::Platform::parse(key.substr(colons + 2)).str();
}

}  // namespace

std::optional<std::string> normalise_context_name(const std::string& text) {
    constexpr std::string_view kLatest = ":latest";
    try {
        auto name = oci::Reference::parse(text).familiar();
        if (name.ends_with(kLatest)) name.resize(name.size() - kLatest.size());
        return name;
    } catch (const Error&) {  // an answer: no image has such a name
        return std::nullopt;
    }
}

const std::string* NamedContexts::find(const std::string& name, const std::string& platform) const {
    if (!given_ || given_->empty()) return nullptr;
    const auto wanted = normalise_context_name(name);
    if (!wanted || is_reserved(*wanted)) return nullptr;
    const auto for_platform =
        *wanted +
        "::" + (platform.empty() ? platform_.normalized() : oci::Platform::parse(platform)).str();
    const std::string* general = nullptr;
    const std::string* exact = nullptr;
    for (const auto& [key, value] : *given_) {
        const auto normal = normalise_key(key);
        if (normal == wanted) general = &value;
        if (normal == for_platform) exact = &value;
    }
    return exact ? exact : general;
}

void check_named_contexts(const std::vector<KeyValue>& given) {
    for (const auto& [key, value] : given)
        if (!normalise_key(key) || value.empty())
            fail(ErrorKind::Invalid, "invalid build context \"" + key + "=" + value +
                                         "\": it must be NAME=VALUE, NAME being an image name");
}

}  // namespace shale::build
