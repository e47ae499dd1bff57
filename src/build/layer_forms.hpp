// A layer of the store in another form (layer_form.hpp), or with times that are not later than
// an epoch. What was made once is found again through the step cache.
#pragma once

#include <shale/build.hpp>
#include <shale/codec.hpp>
#include <shale/layer_form.hpp>
#include <shale/oci.hpp>
#include <shale/store.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace shale::build {

struct LayerForm {
    layer::Form form = layer::Form::Zstd;
    std::optional<int> level;
    std::optional<std::int64_t> latest_mtime_ns;
    // With it: members that are not written, in order. See members_of_time_alone().
    std::vector<std::string> left_out{};
    std::uint64_t memory_bytes = layer::kWriterMemory;  // changes nothing about the result
};

// A layer and the name of its tar, which changes only if times do, or if a form adds members.
struct FormedLayer {
    oci::Descriptor blob;
    Digest diff_id;
};
FormedLayer form_layer(Services& services, const FormedLayer& layer, const LayerForm& form,
                       const std::stop_token& stop);

// Members whose time is all that the layer changes, and which end up with the time `latest_ns` like
// what they were before: directories that a step wrote into and emptied again, mostly. Whether a
// layer has them depends on whether two steps fell into one second, so a layer that is to be the
// same every time has none, but for directories above something else that it has. `base` is the
// tree below all new layers: what is as it was there is no member of time alone, and is not left
// out unless the layer only repeats it.
std::vector<std::string> members_of_time_alone(store::Store& store, const FormedLayer& layer,
                                               const snapshot::Tree& base,
                                               const snapshot::Tree& before,
                                               const snapshot::Tree& after, std::int64_t latest_ns);

// The plain tar of a layer, and its size.
codec::Source layer_tar(store::Store& store, const FormedLayer& layer);
std::uint64_t layer_tar_bytes(store::Store& store, const FormedLayer& layer);

// Everything `source` gives, to `sink`.
void pump(const codec::Source& source, const codec::Sink& sink);

// Writes into the descriptor what vouches for the layer's table of contents, so that it can be
// believed without the layer; takes out what is not so. One that is not in the store keeps what is
// said about it.
void vouch_for_toc(store::Store& store, oci::Descriptor& layer);

}  // namespace shale::build
