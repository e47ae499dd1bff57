// Finding out what works on this machine.
#pragma once

#include "container.hpp"

#include <optional>
#include <string>

namespace shale::sandbox {

// Absolute path of an executable, or empty. System directories are searched even if $PATH does not
// have them: a plain user's often lacks sbin.
std::string find_program(const std::string& name);

struct Findings {
    Engine engine;
    std::string explanation;
    std::string slirp_program;  // empty: not usable, see network_note
    std::string network_note;
};

// Tries what there is; Unsupported with all reasons if nothing works.
Findings probe_host(const std::string& state_directory, CommandRunner& commands);

// The network alone. Leaves slirp_program empty, and a note, if private networks cannot reach out.
void probe_network(Findings& findings);

// What the findings depend on; findings are reused while this text is the same.
std::string host_fingerprint();

// The on-disk form; nullopt if the text is damaged or was made for another fingerprint.
std::string encode_findings(const Findings& findings, const std::string& fingerprint);
std::optional<Findings> decode_findings(std::string_view text, const std::string& fingerprint);

}  // namespace shale::sandbox
