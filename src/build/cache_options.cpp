// --cache-from and --cache-to. Kinds of caches that are services of their own are refused by name,
// so that nobody takes a build without a cache for one with a cold one.
#include "option_list.hpp"

#include <algorithm>

namespace shale::build {
namespace {

constexpr std::string_view kFrom = "--cache-from";
constexpr std::string_view kTo = "--cache-to";

[[noreturn]] void refuse_type(std::string_view flag, const std::string& type) {
    const std::string start = std::string(flag) + ": type=" + type;
    for (const char* service : {"gha", "s3", "azblob"})
        if (type == service)
            fail(ErrorKind::Unsupported,
                 start + " is not implemented: it is a service with a protocol of its own; "
                         "type=registry and type=local need none");
    const std::vector<std::string> known{"inline", "registry", "local"};
    const auto hint = nearest_match(type, known);
    fail(ErrorKind::Invalid,
         start + " is not known" + (hint.empty() ? "" : " (did you mean " + hint + "?)"));
}

void refuse_insecure(std::string_view flag, const KeyValue& pair) {
    if (!parse_boolean(flag, pair)) return;
    fail(ErrorKind::Unsupported, std::string(flag) +
                                     ": registry.insecure=true is not implemented; list the "
                                     "registry under insecure-registries in the configuration "
                                     "file");
}

// The type, which decides what else is known, taken out of `pairs`.
std::string take_type(std::string_view flag, std::vector<KeyValue>& pairs) {
    std::string type;
    std::erase_if(pairs, [&](const KeyValue& pair) {
        if (pair.key == "type") type = pair.value;
        return pair.key == "type";
    });
    if (type.empty()) fail(ErrorKind::Invalid, std::string(flag) + ": type is required");
    return type;
}

void require(std::string_view flag, const std::string& type, const char* key, bool is_given) {
    if (!is_given)
        fail(ErrorKind::Invalid, std::string(flag) + ": type=" + type + " needs " + key + "=");
}

void set_name(oci::Reference& name, const KeyValue& pair) {
    name = oci::Reference::parse(pair.value);
}

const OptionTable<CacheSource>& registry_source_options() {
    static const OptionTable<CacheSource> kTable{
        {"ref", [](auto& source, auto& pair) { set_name(source.name, pair); }},
        {"registry.insecure", [](auto&, auto& pair) { refuse_insecure(kFrom, pair); }}};
    return kTable;
}

const OptionTable<CacheSource>& local_source_options() {
    static const OptionTable<CacheSource> kTable{
        {"src", [](auto& source, auto& pair) { source.directory = pair.value; }},
        {"tag", [](auto& source, auto& pair) { source.name.tag = pair.value; }},
        {"digest",
         [](auto& source, auto& pair) { source.name.digest = Digest::parse(pair.value); }}};
    return kTable;
}

// What a cache is carried in is always an OCI image: an index whose entries are layers, as was once
// usual, is nothing that a registry knows how to keep or replicate.
void require_true(const char* reason, const KeyValue& pair) {
    if (!parse_boolean(kTo, pair))
        fail(ErrorKind::Unsupported, std::string(kTo) + ": " + pair.key + "=false: " + reason);
}

OptionTable<CacheTarget> with_layer_options(OptionTable<CacheTarget> table) {
    table["mode"] = [](CacheTarget& target, const KeyValue& pair) {
        if (pair.value != "min" && pair.value != "max")
            fail(ErrorKind::Invalid,
                 std::string(kTo) + ": mode=" + pair.value + " is not known (min and max are)");
        target.all_steps = pair.value == "max";
    };
    table["compression"] = [](CacheTarget& target, const KeyValue& pair) {
        target.compression = parse_layer_form(kTo, pair);
        if (target.compression == layer::Form::EStargz)
            fail(ErrorKind::Unsupported, std::string(kTo) +
                                             ": compression=estargz adds to a layer what is not "
                                             "the step's; zstd layers are seekable as they are");
    };
    table["compression-level"] = [](CacheTarget& target, const KeyValue& pair) {
        target.compression_level = parse_compression_level(pair);
    };
    // Layers are compressed as they are asked for in any case.
    table["force-compression"] = [](CacheTarget&, const KeyValue& pair) {
        parse_boolean(kTo, pair);
    };
    table["oci-mediatypes"] = [](CacheTarget&, const KeyValue& pair) {
        require_true("a cache is an OCI image", pair);
    };
    table["image-manifest"] = [](CacheTarget&, const KeyValue& pair) {
        require_true("a cache is an image; an index of layers is not one", pair);
    };
    table["ignore-error"] = [](CacheTarget& target, const KeyValue& pair) {
        target.ignore_error = parse_boolean(kTo, pair);
    };
    return table;
}

const OptionTable<CacheTarget>& registry_target_options() {
    static const auto kTable = with_layer_options(
        {{"ref", [](auto& target, auto& pair) { set_name(target.name, pair); }},
         {"registry.insecure", [](auto&, auto& pair) { refuse_insecure(kTo, pair); }}});
    return kTable;
}

const OptionTable<CacheTarget>& local_target_options() {
    static const auto kTable = with_layer_options(
        {{"dest", [](auto& target, auto& pair) { target.directory = pair.value; }},
         {"tag", [](auto& target, auto& pair) { target.name.tag = pair.value; }},
         {"reset", [](auto& target, auto& pair) { target.reset = parse_boolean(kTo, pair); }}});
    return kTable;
}

// The layers are the image's own, in its own compression.
const OptionTable<CacheTarget>& inline_target_options() {
    static const OptionTable<CacheTarget> kTable{
        {"mode",
         [](auto&, auto& pair) {
             if (pair.value != "min")
                 fail(ErrorKind::Invalid, std::string(kTo) + ": type=inline has mode=min only");
         }},
        {"ignore-error",
         [](auto& target, auto& pair) { target.ignore_error = parse_boolean(kTo, pair); }}};
    return kTable;
}

}  // namespace

std::string CacheSource::str() const {
    if (directory.empty()) return name.str();
    return directory + (name.digest ? "@" + name.digest->str() : ":" + name.tag);
}

std::string CacheTarget::str() const {
    if (kind == Kind::Inline) return "the image";
    return kind == Kind::Local ? directory + ":" + name.tag : name.str();
}

CacheSource parse_cache_source(std::string_view text) {
    CacheSource source;
    if (text.find('=') == std::string_view::npos) {
        source.name = oci::Reference::parse(text);
        return source;
    }
    auto pairs = split_options(kFrom, text);
    const auto type = take_type(kFrom, pairs);
    if (type == "registry") {
        set_options(kFrom, registry_source_options(), source, pairs);
        require(kFrom, type, "ref", !source.name.repository.empty());
    } else if (type == "local") {
        source.name.tag = "latest";
        set_options(kFrom, local_source_options(), source, pairs);
        require(kFrom, type, "src", !source.directory.empty());
    } else if (type == "inline") {
        fail(ErrorKind::Invalid, std::string(kFrom) + ": type=inline says how a cache is written; "
                                                      "to read it, name the image: "
                                                      "type=registry,ref=IMAGE");
    } else {
        refuse_type(kFrom, type);
    }
    return source;
}

CacheTarget parse_cache_target(std::string_view text) {
    CacheTarget target;
    const bool is_name = text.find('=') == std::string_view::npos;
    auto pairs =
        is_name ? std::vector<KeyValue>{{"type", std::string(text)}} : split_options(kTo, text);
    if (is_name && text != "inline") pairs = {{"type", "registry"}, {"ref", std::string(text)}};
    const auto type = take_type(kTo, pairs);
    if (type == "registry") {
        set_options(kTo, registry_target_options(), target, pairs);
        require(kTo, type, "ref", !target.name.repository.empty());
        if (target.name.digest)
            fail(ErrorKind::Invalid, std::string(kTo) + ": \"" + target.name.str() +
                                         "\" has a digest, which is for the result to decide");
    } else if (type == "local") {
        target.kind = CacheTarget::Kind::Local;
        target.name.tag = "latest";
        set_options(kTo, local_target_options(), target, pairs);
        require(kTo, type, "dest", !target.directory.empty());
    } else if (type == "inline") {
        target.kind = CacheTarget::Kind::Inline;
        set_options(kTo, inline_target_options(), target, pairs);
    } else {
        refuse_type(kTo, type);
    }
    if (target.compression_level && !target.compression) target.compression = layer::Form::Zstd;
    if (target.compression_level)
        layer::checked_level(*target.compression, target.compression_level);
    return target;
}

}  // namespace shale::build
