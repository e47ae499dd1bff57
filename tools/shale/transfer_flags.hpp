// Flags that pull and push share, and the display they choose.
#pragma once

#include "flags.hpp"
#include "progress.hpp"

#include <shale/oci.hpp>

#include <memory>
#include <string>

namespace shale::cli {

struct TransferFlags {
    std::string reference, progress;
    bool quiet = false;
};

inline void add_transfer_flags(CLI::App& app, TransferFlags& flags) {
    required(add_argument(app, "REF", flags.reference,
                          "Image name, such as node:18 or host:5000/app:prod"));
    add_value(app, "--progress", flags.progress, kProgressChoices,
              "How to show progress (default auto)");
    add_switch(app, "-q,--quiet", flags.quiet, "Show no progress");
}

// The name with this digest in place of the one that it may have.
inline std::string with_digest(oci::Reference name, const Digest& digest) {
    name.digest = digest;
    return name.str();
}

inline std::unique_ptr<Display> transfer_display(const TransferFlags& flags,
                                                 const std::string& activity) {
    return make_display(flags.quiet ? ProgressMode::Quiet : parse_progress(flags.progress),
                        activity);
}

}  // namespace shale::cli
