#include "annotations.hpp"

#include <array>
#include <utility>

namespace shale::build {
namespace {

constexpr std::array<std::pair<std::string_view, AnnotationPlace>, 4> kPlaces{{
    {"manifest", AnnotationPlace::Manifest},
    {"manifest-descriptor", AnnotationPlace::ManifestDescriptor},
    {"index", AnnotationPlace::Index},
    {"index-descriptor", AnnotationPlace::IndexDescriptor},
}};

bool is_of_index(AnnotationPlace place) {
    return place == AnnotationPlace::Index || place == AnnotationPlace::IndexDescriptor;
}

// "manifest[linux/arm64]".
Annotation parse_place(std::string_view text) {
    Annotation annotation;
    const auto bracket = text.find('[');
    const auto type = text.substr(0, bracket);
    for (const auto& [name, place] : kPlaces) {
        if (name != type) continue;
        annotation.place = place;
        if (bracket == std::string_view::npos) return annotation;
        if (!text.ends_with(']')) break;
        annotation.platform =
            oci::Platform::parse(text.substr(bracket + 1, text.size() - bracket - 2));
        return annotation;
    }
    std::string known;
    for (const auto& [name, place] : kPlaces)
        known += (known.empty() ? "" : ", ") + std::string(name);
    fail(ErrorKind::Invalid,
         "unknown annotation type \"" + std::string(text) + "\" (known: " + known + ")");
}

void require_key(const std::string& key) {
    if (key.empty()) fail(ErrorKind::Invalid, "an annotation needs a name");
}

}  // namespace

std::vector<Annotation> parse_annotation(std::string_view text) {
    const auto equals = text.find('=');
    if (equals == std::string_view::npos)
        fail(ErrorKind::Invalid,
             "invalid annotation \"" + std::string(text) + "\", expected key=value");
    auto key = text.substr(0, equals);
    const auto colon = key.find(':');
    std::string_view places = colon == std::string_view::npos ? "manifest" : key.substr(0, colon);
    if (colon != std::string_view::npos) key.remove_prefix(colon + 1);
    require_key(std::string(key));
    std::vector<Annotation> annotations;
    for (;;) {
        const auto comma = places.find(',');
        auto annotation = parse_place(places.substr(0, comma));
        annotation.key = key;
        annotation.value = text.substr(equals + 1);
        annotations.push_back(std::move(annotation));
        if (comma == std::string_view::npos) return annotations;
        places.remove_prefix(comma + 1);
    }
}

Annotation parse_annotation_key(std::string_view rest, std::string value) {
    // A platform holds no dot, a key may.
    const auto dot = rest.find('.');
    Annotation annotation;
    if (dot == std::string_view::npos)
        fail(ErrorKind::Invalid, "--output: annotation" + std::string(rest) + " has no name");
    if (rest.starts_with('-'))
        annotation = parse_place(rest.substr(1, dot - 1));
    else if (rest.starts_with('['))
        annotation = parse_place("manifest" + std::string(rest.substr(0, dot)));
    annotation.key = rest.substr(dot + 1);
    require_key(annotation.key);
    annotation.value = std::move(value);
    return annotation;
}

void check_annotations(const Request& request, const Output& output, bool as_index) {
    const bool is_image = output.type == OutputType::Image || output.type == OutputType::Oci ||
                          output.type == OutputType::Docker;
    if (!is_image) return;
    for (const auto* list : {&request.annotations, &output.annotations})
        for (const auto& annotation : *list) {
            if (output.docker_types)
                fail(ErrorKind::Invalid, "cannot export annotations with \"oci-mediatypes=false\"");
            if (is_of_index(annotation.place) && !as_index)
                fail(ErrorKind::Invalid,
                     "index annotations not supported for single platform export");
        }
}

oci::Annotations annotations_on(AnnotationPlace place, const Request& request, const Output& output,
                                const std::optional<oci::Platform>& platform) {
    oci::Annotations found;
    for (const auto* list : {&request.annotations, &output.annotations})
        for (const auto& annotation : *list) {
            if (annotation.place != place) continue;
            if (annotation.platform && platform &&
                annotation.platform->normalized() != platform->normalized())
                continue;
            found[annotation.key] = annotation.value;
        }
    return found;
}

}  // namespace shale::build
