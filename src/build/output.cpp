// --output: comma-separated key=value pairs as one CSV record, or a bare path.
//
// What one option means is in a table; what options mean together is checked twice: by itself when
// it is read, and with the rest of the request when that is known (settle_outputs).
#include "annotations.hpp"
#include "option_list.hpp"

#include <shale/build.hpp>

#include <algorithm>
#include <array>

namespace shale::build {
namespace {

constexpr std::string_view kFlag = "--output";

bool parse_bool(const KeyValue& pair) {
    return parse_boolean(kFlag, pair);
}

std::optional<std::int64_t> parse_epoch(const KeyValue& pair) {
    constexpr std::int64_t kLatest = INT64_MAX / kNsPerSecond;
    if (pair.value.empty()) return std::nullopt;
    const auto epoch = parse_whole_number(pair.value);
    if (!epoch || *epoch < 0 || *epoch > kLatest)
        fail(ErrorKind::Invalid, "--output: invalid source-date-epoch: " + pair.value);
    return epoch;
}

void add_names(Output& output, const std::string& list) {
    for (std::string_view rest = list; !rest.empty();) {
        const auto comma = rest.find(',');
        if (comma != 0) output.names.emplace_back(rest.substr(0, comma));
        rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
    }
}

void parse_type(Output& output, const std::string& value) {
    static const std::vector<std::string> kTypes{"image", "registry", "oci",      "docker",
                                                 "local", "tar",      "cacheonly"};
    if (value == "image")
        output.type = OutputType::Image;
    else if (value == "registry")
        output.type = OutputType::Image, output.push = true;
    else if (value == "oci")
        output.type = OutputType::Oci;
    else if (value == "docker")
        output.type = OutputType::Docker;
    else if (value == "local")
        output.type = OutputType::Local;
    else if (value == "tar")
        output.type = OutputType::Tar;
    else if (value == "cacheonly")
        output.type = OutputType::CacheOnly;
    else {
        const auto hint = nearest_match(value, kTypes);
        fail(ErrorKind::Invalid, "--output: unknown type \"" + value + "\"" +
                                     (hint.empty() ? "" : " (did you mean " + hint + "?)"));
    }
}

void parse_mode(Output& output, const KeyValue& pair) {
    if (pair.value != "copy" && pair.value != "delete")
        fail(ErrorKind::Invalid, "--output: mode=" + pair.value + " (copy and delete are)");
    output.delete_stale = pair.value == "delete";
}

// What is only accepted: it changes nothing here, or asks for what is done anyway.
constexpr std::array<std::string_view, 5> kIgnored{"buildinfo", "buildinfo-attrs", "unpack",
                                                   "prefer-nondist-layers", "attestation-inline"};

const OptionTable<Output>& setters() {
    static const OptionTable<Output> kSetters{
        {"type", [](auto& output, auto& pair) { parse_type(output, pair.value); }},
        {"dest", [](auto& output, auto& pair) { output.destination = pair.value; }},
        {"compression",
         [](auto& output, auto& pair) { output.compression = parse_layer_form(kFlag, pair); }},
        {"compression-level",
         [](auto& output, auto& pair) {
             output.compression_level = parse_compression_level(pair);
         }},
        {"compression-memory",
         [](auto& output, auto& pair) {
             const auto bytes = dockerfile::parse_size(pair.value);
             if (!bytes)
                 fail(ErrorKind::Invalid, "compression-memory: invalid size: '" + pair.value + "'");
             output.compression_memory = *bytes;
         }},
        {"force-compression",
         [](auto& output, auto& pair) { output.force_compression = parse_bool(pair); }},
        {"tar", [](auto& output, auto& pair) { output.as_directory = !parse_bool(pair); }},
        {"push", [](auto& output, auto& pair) { output.push = parse_bool(pair); }},
        {"name", [](auto& output, auto& pair) { add_names(output, pair.value); }},
        {"push-by-digest",
         [](auto& output, auto& pair) { output.push_by_digest = parse_bool(pair); }},
        {"name-canonical",
         [](auto& output, auto& pair) { output.name_canonical = parse_bool(pair); }},
        {"dangling-name-prefix",
         [](auto& output, auto& pair) { output.dangling_prefix = pair.value; }},
        {"danging-name-empty-only",  // as the reference spells it
         [](auto& output, auto& pair) { output.dangling_empty_only = parse_bool(pair); }},
        {"dangling-name-empty-only",
         [](auto& output, auto& pair) { output.dangling_empty_only = parse_bool(pair); }},
        {"oci-mediatypes",
         [](auto& output, auto& pair) { output.docker_types = !parse_bool(pair); }},
        {"store", [](auto& output, auto& pair) { output.keep = parse_bool(pair); }},
        {"rewrite-timestamp",
         [](auto& output, auto& pair) { output.rewrite_timestamp = parse_bool(pair); }},
        {"source-date-epoch",
         [](auto& output, auto& pair) { output.source_date_epoch = parse_epoch(pair); }},
        {"platform-split",
         [](auto& output, auto& pair) { output.platform_split = parse_bool(pair); }},
        {"mode", parse_mode},
        {"oci-artifact",
         [](auto& output, auto& pair) { output.attestation_artifact = parse_bool(pair); }},
        {"attestation-prefix",
         [](auto& output, auto& pair) { output.attestation_prefix = pair.value; }},
        {"registry.insecure",
         [](auto&, auto& pair) {
             if (parse_bool(pair))
                 fail(ErrorKind::Unsupported,
                      "--output: registry.insecure=true is not implemented; list the registry "
                      "under insecure-registries in the configuration file");
         }},
    };
    return kSetters;
}

void set_option(Output& output, const KeyValue& pair) {
    if (const auto setter = setters().find(pair.key); setter != setters().end()) {
        setter->second(output, pair);
        return;
    }
    if (pair.key.starts_with("annotation")) {
        output.annotations.push_back(parse_annotation_key(
            std::string_view(pair.key).substr(std::string_view("annotation").size()), pair.value));
        return;
    }
    if (std::find(kIgnored.begin(), kIgnored.end(), pair.key) != kIgnored.end()) return;
    std::vector<std::string> known;
    for (const auto& [name, setter] : setters())
        known.push_back(name);
    refuse_option(kFlag, pair.key, known);
}

void check_level(const Output& output) {
    if (output.compression_level)
        layer::checked_level(output.compression.value_or(layer::Form::Zstd),
                             output.compression_level);
}

void check(const Output& output) {
    const bool archive = output.type == OutputType::Oci || output.type == OutputType::Docker ||
                         output.type == OutputType::Tar;
    if (output.type == OutputType::Local &&
        (output.destination.empty() || output.destination == "-"))
        fail(ErrorKind::Invalid, "--output: type=local needs dest=DIRECTORY");
    if (output.delete_stale && output.type != OutputType::Local)
        fail(ErrorKind::Invalid, "--output: mode=delete needs type=local");
    if (archive && output.destination.empty())
        fail(ErrorKind::Invalid, "--output: dest is required (\"-\" is standard output)");
    if (output.as_directory && output.destination == "-")
        fail(ErrorKind::Invalid, "--output: tar=false needs dest=DIRECTORY");
    if (output.docker_types && output.compression &&
        layer::compression_of(*output.compression) == oci::Compression::Zstd)
        fail(ErrorKind::Invalid,
             "exporter option \"compression=" + std::string(layer::form_name(*output.compression)) +
                 "\" conflicts with \"oci-mediatypes=false\"");
    check_level(output);
}

void settle_names(const Output& output, const Request& request) {
    std::vector<oci::Reference> names = request.tags;
    for (const auto& text : output.names) {
        names.push_back(oci::Reference::parse(text));
        if (names.back().digest)
            fail(ErrorKind::Invalid,
                 "--output: invalid name \"" + text + "\": a tag cannot have a digest");
    }
    if (!output.push) return;
    if (output.type != OutputType::Image)
        fail(ErrorKind::Invalid, "--output: push=true needs type=image");
    if (names.empty())
        fail(ErrorKind::Invalid, "tag is needed when pushing: give --tag, or name= in --output");
    if (!output.push_by_digest) return;
    for (const auto& name : names)
        if (name.tag != "latest")  // which is what no tag reads as
            fail(ErrorKind::Invalid, "can't push tagged ref " + name.str() + " by digest");
}

void settle(Output& output, const Request& request) {
    if (!output.compression && (output.compression_level || output.docker_types))
        output.compression = output.docker_types ? layer::Form::Gzip : layer::Form::Zstd;
    check(output);
    if (request.attestations.any() && output.docker_types && output.type != OutputType::Local &&
        output.type != OutputType::Tar)
        fail(ErrorKind::Invalid, "cannot export attestations with \"oci-mediatypes=false\"");
    if (output.attestation_prefix.find('/') != std::string::npos)
        fail(ErrorKind::Invalid, "--output: attestation-prefix=" + output.attestation_prefix +
                                     " is more than the beginning of a name");
    settle_names(output, request);
}

}  // namespace

void settle_outputs(Request& request) {
    for (auto& output : request.outputs)
        settle(output, request);
}

Output parse_output(std::string_view text) {
    Output output;
    if (text.find('=') == std::string_view::npos) {  // a bare path
        output.type = text == "-" ? OutputType::Tar : OutputType::Local;
        output.destination = text;
        check(output);
        return output;
    }
    const auto pairs = split_options(kFlag, text);
    for (const auto& pair : pairs)
        set_option(output, pair);
    if (std::none_of(pairs.begin(), pairs.end(),
                     [](const KeyValue& pair) { return pair.key == "type"; }))
        fail(ErrorKind::Invalid, "--output: type is required");
    // What docker would load, as buildx does it; here that is the store's business.
    if (output.type == OutputType::Docker && output.destination.empty() && !output.as_directory)
        output.type = OutputType::Image;
    check(output);
    return output;
}

}  // namespace shale::build
