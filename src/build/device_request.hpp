// RUN --device: names of the Container Device Interface, and what the host's specifications make of
// them.
#pragma once

#include <shale/sandbox.hpp>

#include <string>
#include <vector>

namespace shale::build {

// As written: [name=]<vendor/class[=device]>[,required[=bool]].
struct DeviceRequest {
    std::string name;  // "vendor/class=device", "vendor/class=*", "vendor/class", or a class alias
    bool required = false;
};
// The parser has refused what is malformed.
DeviceRequest parse_device(const std::string& text);

// Adds nodes, variables, mounts and hooks of the devices to `spec`, from the JSON specifications in
// `directories`. A device that is not there is left out, or if required NotFound. Denied if it is
// there but neither `granted` nor allowed for everybody by its specification.
void apply_devices(const std::vector<DeviceRequest>& requests,
                   const std::vector<std::string>& granted,
                   const std::vector<std::string>& directories, sandbox::Spec& spec);

// Where specifications lie, later ones first in rank: /etc/cdi, /var/run/cdi.
const std::vector<std::string>& cdi_directories();

}  // namespace shale::build
