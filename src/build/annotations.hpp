// --annotation and annotation.* of --output: what is put on manifests, indexes and the descriptors
// that refer to them.
#pragma once

#include <shale/build.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace shale::build {

// The part of an output's key behind "annotation", such as ".K" or "-index[linux/arm64].K".
Annotation parse_annotation_key(std::string_view rest, std::string value);

// Throws Invalid for an annotation that has no place in what the request makes.
void check_annotations(const Request& request, const Output& output, bool as_index);

// The output's own win over the request's. `platform` of the manifest in question.
oci::Annotations annotations_on(AnnotationPlace place, const Request& request, const Output& output,
                                const std::optional<oci::Platform>& platform);

}  // namespace shale::build
