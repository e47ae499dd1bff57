// --output: comma-separated key=value pairs, or a bare path.
#include <shale/build.hpp>

#include <charconv>

namespace shale::build {
namespace {

std::vector<KeyValue> split_pairs(std::string_view text) {
    std::vector<KeyValue> pairs;
    while (!text.empty()) {
        const auto comma = text.find(',');
        const auto item = text.substr(0, comma);
        text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
        const auto equals = item.find('=');
        if (equals == std::string_view::npos)
            fail(ErrorKind::Invalid,
                 "--output: invalid value \"" + std::string(item) + "\", expected key=value");
        pairs.push_back(
            {std::string(item.substr(0, equals)), std::string(item.substr(equals + 1))});
    }
    return pairs;
}

bool parse_bool(const KeyValue& pair) {
    if (pair.value == "true" || pair.value == "1") return true;
    if (pair.value == "false" || pair.value == "0") return false;
    fail(ErrorKind::Invalid, "--output: " + pair.key + "=" + pair.value + " is not a boolean");
}

int parse_level(const KeyValue& pair) {
    int level = 0;
    const char* end = pair.value.data() + pair.value.size();
    const auto [stop, error] = std::from_chars(pair.value.data(), end, level);
    if (error != std::errc{} || stop != end)
        fail(ErrorKind::Invalid, "non-integer compression-level: " + pair.value);
    return level;
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

void check(const Output& output) {
    const bool archive = output.type == OutputType::Oci || output.type == OutputType::Docker ||
                         output.type == OutputType::Tar;
    if (output.type == OutputType::Local &&
        (output.destination.empty() || output.destination == "-"))
        fail(ErrorKind::Invalid, "--output: type=local needs dest=DIRECTORY");
    if (archive && output.destination.empty())
        fail(ErrorKind::Invalid, "--output: dest is required (\"-\" is standard output)");
    if (output.as_directory && output.destination == "-")
        fail(ErrorKind::Invalid, "--output: tar=false needs dest=DIRECTORY");
    if (output.compression_level) {
        const int top = output.compression == oci::Compression::Gzip ? 9 : 22;
        if (*output.compression_level < 0 || *output.compression_level > top)
            fail(ErrorKind::Invalid,
                 "unsupported compression-level: " + std::to_string(*output.compression_level) +
                     " (0 to " + std::to_string(top) + " are)");
    }
}

void settle(Output& output, const Request& request) {
    if (output.compression_level && !output.compression)
        output.compression = oci::Compression::Zstd;
    check(output);
    for (const auto& name : output.names)
        if (oci::Reference::parse(name).digest)
            fail(ErrorKind::Invalid,
                 "--output: invalid name \"" + name + "\": a tag cannot have a digest");
    if (output.push && output.type != OutputType::Image)
        fail(ErrorKind::Invalid, "--output: push=true needs type=image");
    if (output.push && request.tags.empty() && output.names.empty())
        fail(ErrorKind::Invalid, "tag is needed when pushing: give --tag, or name= in --output");
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
    bool has_type = false;
    for (const auto& pair : split_pairs(text)) {
        if (pair.key == "type") {
            parse_type(output, pair.value);
            has_type = true;
        } else if (pair.key == "dest")
            output.destination = pair.value;
        else if (pair.key == "compression")
            output.compression = oci::parse_compression(pair.value);
        else if (pair.key == "compression-level")
            output.compression_level = parse_level(pair);
        else if (pair.key == "force-compression")
            output.force_compression = parse_bool(pair);
        else if (pair.key == "tar")
            output.as_directory = !parse_bool(pair);
        else if (pair.key == "push")
            output.push = parse_bool(pair);
        else if (pair.key == "name")
            output.names.push_back(pair.value);
        else
            fail(ErrorKind::Invalid, "--output: option \"" + pair.key + "\" is not known");
    }
    if (!has_type) fail(ErrorKind::Invalid, "--output: type is required");
    check(output);
    return output;
}

}  // namespace shale::build
