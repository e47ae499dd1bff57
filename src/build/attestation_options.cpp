// --attest, --provenance and --sbom.
#include "option_list.hpp"

#include <algorithm>
#include <cctype>

namespace shale::build {
namespace {

constexpr std::string_view kFlag = "--attest";

void set_mode(ProvenanceOptions& options, const KeyValue& pair) {
    if (pair.value != "min" && pair.value != "max" && pair.value != "full")
        fail(ErrorKind::Invalid,
             std::string(kFlag) + ": invalid mode \"" + pair.value + "\" (min and max are)");
    options.full = pair.value != "min";
}

void set_version(ProvenanceOptions& options, const KeyValue& pair) {
    if (pair.value != "v1" && pair.value != "v0.2")
        fail(ErrorKind::Invalid, std::string(kFlag) + ": invalid provenance SLSA version: " +
                                     pair.value + " (v1 and v0.2 are)");
    options.version_1 = pair.value == "v1";
}

void set_filename(ProvenanceOptions& options, const KeyValue& pair) {
    if (pair.value.empty() || pair.value.find('/') != std::string::npos || pair.value == "." ||
        pair.value == "..")
        fail(ErrorKind::Invalid,
             std::string(kFlag) + ": filename=" + pair.value + " is no name of a file");
    options.filename = pair.value;
}

const OptionTable<ProvenanceOptions>& provenance_options() {
    static const OptionTable<ProvenanceOptions> kTable{
        {"mode", set_mode},
        {"version", set_version},
        {"filename", set_filename},
        {"builder-id", [](auto& options, auto& pair) { options.builder_id = pair.value; }},
        {"reproducible",
         [](auto& options, auto& pair) { options.reproducible = parse_boolean(kFlag, pair); }},
        {"inline-only",
         [](auto& options, auto& pair) { options.inline_only = parse_boolean(kFlag, pair); }},
    };
    return kTable;
}

SbomOptions sbom_options(const std::vector<KeyValue>& pairs) {
    SbomOptions options;
    for (const auto& pair : pairs) {
        if (pair.key == "generator") {
            oci::Reference::parse(pair.value);
            options.generator = pair.value;
            continue;
        }
        const bool is_variable =
            !pair.key.empty() && std::all_of(pair.key.begin(), pair.key.end(), [](unsigned char c) {
                return std::isalnum(c) != 0 || c == '_';
            });
        if (!is_variable)
            fail(ErrorKind::Invalid, std::string(kFlag) + ": \"" + pair.key +
                                         "\" is no name that a generator can be told");
        options.parameters.push_back(pair);
    }
    if (options.generator.empty() && !options.parameters.empty())
        fail(ErrorKind::Invalid, std::string(kFlag) + ": " + options.parameters.front().key +
                                     " is for a generator, and none is given");
    return options;
}

bool is_boolean(std::string_view text) {
    for (const char* word :
         {"true", "1", "t", "T", "TRUE", "True", "false", "0", "f", "F", "FALSE", "False"})
        if (text == word) return true;
    return false;
}

}  // namespace

void add_attestation(Attestations& attestations, std::string_view text) {
    auto pairs = split_options(kFlag, text);
    std::string type;
    bool is_disabled = false;
    std::erase_if(pairs, [&](const KeyValue& pair) {
        if (pair.key == "type") type = pair.value;
        if (pair.key == "disabled") is_disabled = parse_boolean(kFlag, pair);
        return pair.key == "type" || pair.key == "disabled";
    });
    if (type == "provenance") {
        ProvenanceOptions options;
        set_options(kFlag, provenance_options(), options, pairs);
        attestations.provenance = is_disabled ? std::nullopt : std::optional(options);
    } else if (type == "sbom") {
        const auto options = sbom_options(pairs);
        attestations.sbom = is_disabled ? std::nullopt : std::optional(options);
    } else if (type.empty()) {
        fail(ErrorKind::Invalid, std::string(kFlag) + ": attestation type not specified");
    } else {
        const std::vector<std::string> known{"provenance", "sbom"};
        const auto hint = nearest_match(type, known);
        fail(ErrorKind::Invalid, std::string(kFlag) + ": unknown type \"" + type + "\"" +
                                     (hint.empty() ? "" : " (did you mean " + hint + "?)"));
    }
}

void add_attestation_of(Attestations& attestations, std::string_view type, std::string_view text) {
    const std::string start = "type=" + std::string(type);
    if (!is_boolean(text)) {
        if (text.find('=') == std::string_view::npos)
            fail(ErrorKind::Invalid, "--" + std::string(type) + ": \"" + std::string(text) +
                                         "\" is neither true nor false, nor options of --attest "
                                         "(KEY=VALUE,...)");
        add_attestation(attestations, start + "," + std::string(text));
        return;
    }
    const bool is_wanted = parse_boolean(kFlag, {std::string(type), std::string(text)});
    add_attestation(attestations, start + (is_wanted ? "" : ",disabled=true"));
}

}  // namespace shale::build
