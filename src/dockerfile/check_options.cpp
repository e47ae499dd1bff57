// The option text of the check directive.
#include "characters.hpp"
#include "mount_options.hpp"

#include <shale/base.hpp>
#include <shale/dockerfile.hpp>

#include <algorithm>

namespace shale::dockerfile {
namespace {

constexpr int kMaxParts = 3;

[[noreturn]] void reject_option(std::string_view part) {
    fail(ErrorKind::Invalid, "invalid check option " + quoted(part));
}

// "all", or rule names between commas.
void read_rules(std::string_view value, bool& all, std::vector<std::string>& rules) {
    all = value == "all";
    rules.clear();
    while (!all) {
        const std::size_t comma = std::min(value.find(','), value.size());
        rules.emplace_back(trim(value.substr(0, comma)));
        if (comma == value.size()) return;
        value.remove_prefix(comma + 1);
    }
}

void read_part(std::string_view part, CheckOptions& options) {
    const auto equals = part.find('=');
    if (equals == std::string_view::npos) reject_option(part);
    const std::string_view name = trim(part.substr(0, equals));
    const std::string_view value = trim(part.substr(equals + 1));
    if (name == "skip") return read_rules(value, options.skip_all, options.skip);
    if (name == "experimental")
        return read_rules(value, options.experimental_all, options.experimental);
    if (name != "error") reject_option(name);
    const auto truth = read_truth(value);
    if (!truth) fail(ErrorKind::Invalid, "failed to parse check option " + quoted(part));
    options.error = *truth;
}

}  // namespace

CheckOptions parse_check_options(std::string_view text) {
    CheckOptions options;
    text = trim(text);
    for (int part = 1; !text.empty(); ++part) {
        const std::size_t semicolon = part < kMaxParts ? text.find(';') : std::string_view::npos;
        read_part(text.substr(0, semicolon), options);
        if (semicolon == std::string_view::npos) break;
        text.remove_prefix(semicolon + 1);
        if (text.empty()) reject_option(text);
    }
    return options;
}

}  // namespace shale::dockerfile
