#include "arguments.hpp"

#include "located.hpp"
#include "lower_case.hpp"

#include <algorithm>
#include <array>
#include <cctype>

namespace shale::build {
namespace {

constexpr std::array<std::string_view, 5> kProxyNames{"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY",
                                                      "NO_PROXY", "ALL_PROXY"};

void set_platform(Environment& environment, const std::string& prefix,
                  const oci::Platform& platform) {
    environment.set(prefix + "PLATFORM", platform.str());
    environment.set(prefix + "OS", platform.os);
    environment.set(prefix + "OSVERSION", "");
    environment.set(prefix + "ARCH", platform.architecture);
    environment.set(prefix + "VARIANT", platform.variant);
}

}  // namespace

Arguments::Arguments(const Request& request, const dockerfile::File& file,
                     const oci::Platform& build, const oci::Platform& target,
                     const std::string& target_stage) {
    for (const auto* pairs : {&request.proxies, &request.build_args})
        for (const auto& pair : *pairs)
            given_.set(pair.key, pair.value);
    set_platform(automatic_, "BUILD", build);
    set_platform(automatic_, "TARGET", target);
    automatic_.set("TARGETSTAGE", target_stage.empty() ? "default" : target_stage);
    for (const auto& pair : automatic_.pairs())
        if (const auto value = given_.get(pair.key)) automatic_.set(pair.key, *value);

    const dockerfile::Lookup lookup = [this](std::string_view name) { return global(name); };
    const dockerfile::Lookup defaults = [this](std::string_view name) {
        return global_default(name);
    };
    for (const auto& instruction : file.global_args)
        located(file, instruction.lines, [&] {
            for (const auto& declaration :
                 std::get<dockerfile::Arg>(instruction.value).declarations) {
                declared_.push_back(declaration.name);
                set_default(declaration, defaults, file.escape);
                if (const auto value = given_.get(declaration.name))
                    global_.set(declaration.name, *value);
                else if (declaration.default_value)
                    global_.set(declaration.name, dockerfile::expand(*declaration.default_value,
                                                                     lookup, file.escape));
            }
        });
}

std::optional<std::string> Arguments::global(std::string_view name) const {
    if (auto value = global_.get(name)) return value;
    return automatic_.get(name);
}

// Only lint looks at it, so a default that cannot be expanded counts as none here.
void Arguments::set_default(const dockerfile::ArgDeclaration& declaration,
                            const dockerfile::Lookup& lookup, char escape) {
    if (!declaration.default_value) return;
    try {
        global_defaults_.set(declaration.name,
                             dockerfile::expand(*declaration.default_value, lookup, escape));
    } catch (const Error&) {
    }
}

std::optional<std::string> Arguments::global_default(std::string_view name) const {
    if (auto value = global_defaults_.get(name)) return value;
    return automatic_.get(name);
}

bool Arguments::is_global(std::string_view name) const {
    return std::find(declared_.begin(), declared_.end(), name) != declared_.end() ||
           automatic_.get(name);
}

std::vector<std::string> Arguments::global_names() const {
    auto names = declared_;
    for (const auto& pair : automatic_.pairs())
        names.push_back(pair.key);
    return names;
}

std::optional<std::string> Arguments::given(std::string_view name) const {
    return given_.get(name);
}

std::optional<std::string> Arguments::for_stage(const dockerfile::ArgDeclaration& declaration,
                                                const dockerfile::Lookup& lookup,
                                                char escape) const {
    if (auto value = given_.get(declaration.name)) return value;
    if (declaration.default_value)
        return dockerfile::expand(*declaration.default_value, lookup, escape);
    return global(declaration.name);
}

std::vector<KeyValue> Arguments::proxies() const {
    std::vector<KeyValue> found;
    for (const auto name : kProxyNames) {
        const auto upper_value = given_.get(name),
                   lower_value = given_.get(lower(std::string(name)));
        if (!upper_value && !lower_value) continue;
        // A spelling that was not given gets the value of the one that was.
        found.push_back({std::string(name), upper_value ? *upper_value : *lower_value});
        found.push_back({lower(std::string(name)), lower_value ? *lower_value : *upper_value});
    }
    return found;
}

}  // namespace shale::build
