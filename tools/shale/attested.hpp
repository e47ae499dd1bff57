// What is attested about an image of the store.
#pragma once

#include <shale/oci.hpp>
#include <shale/store.hpp>

#include <string>
#include <vector>

namespace shale::cli {

// One statement. Its text is a JSON object, and whoever made the image chose it.
struct Attested {
    oci::Platform platform;  // of the image that it is about
    Digest image, statement;
    std::string predicate_type;
    std::string json;
};

// All that lie in the index and can be read; nothing if `descriptor` is no index. What is not whole
// is left out with a warning.
std::vector<Attested> attested_of(store::Store& store, const oci::Descriptor& descriptor);

bool says_making(const Attested& attested);    // provenance
bool says_contents(const Attested& attested);  // SBOM

}  // namespace shale::cli
