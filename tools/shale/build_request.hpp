// From the words of the command line to a build::Request.
#pragma once

#include "build_call.hpp"
#include "flags.hpp"
#include "run_flags.hpp"

#include <shale/build.hpp>

#include <optional>
#include <string>
#include <vector>

namespace shale::cli {

struct BuildFlags {
    std::string context, file, target, network, progress, iidfile, metadata_file, compression;
    std::string max_disk, provenance, sbom;
    std::vector<std::string> tags, build_args, build_contexts, labels, outputs, no_cache_filter,
        allow, add_hosts, platforms, annotations, cache_from, cache_to, attestations;
    RunFlags run;
    std::optional<int> compression_level, jobs;
    CallFlags call;
    bool no_cache = false, pull = false, push = false, load = false, quiet = false;
    bool explain = false, no_summary = false;
    int verify_percent = 0;  // 0: no verification
    std::string trace, on_error;
    std::string builder;  // accepted for docker buildx, ignored
    // Accepted from old docker and ignored with a warning; what each stands for changed nothing in
    // the result.
    bool rm = false, force_rm = false, compress = false;
};

void declare_build_flags(CLI::App& app, BuildFlags& flags);
// Invalid, naming the flag, for what contradicts itself.
build::Request build_request(const BuildFlags& flags);

}  // namespace shale::cli
