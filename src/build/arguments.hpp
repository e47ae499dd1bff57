// Build arguments: what ARG, --build-arg and the automatic platform arguments give to whom.
#pragma once

#include "environment.hpp"

#include <shale/build.hpp>
#include <shale/dockerfile.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shale::build {

// The file-level scope: `ARG` lines before the first FROM, and TARGETPLATFORM and its like.
//
// Precedence in a stage: --build-arg, then the default in the stage's own ARG, then the global or
// automatic value of that name, then unset.
class Arguments {
  public:
    // Expands the global ARG defaults in order; a failing default is an error at its line.
    Arguments(const Request& request, const dockerfile::File& file, const oci::Platform& build,
              const oci::Platform& target, const std::string& target_stage);

    // For FROM lines and defaults of other global arguments.
    std::optional<std::string> global(std::string_view name) const;
    std::optional<std::string> given(std::string_view name) const;  // --build-arg
    // As global(), were there no --build-arg; for lint.
    std::optional<std::string> global_default(std::string_view name) const;
    // Declared at file level or automatic, with a value or without.
    bool is_global(std::string_view name) const;
    std::vector<std::string> global_names() const;
    // The value a stage's `ARG name[=default]` gets; nullopt leaves it unset. The default is
    // expanded only if it is used.
    std::optional<std::string> for_stage(const dockerfile::ArgDeclaration& declaration,
                                         const dockerfile::Lookup& lookup, char escape) const;
    // HTTP_PROXY and its like, given on the command line: usable without ARG, in RUN only, and
    // never part of a cache key. Both spellings of each.
    std::vector<KeyValue> proxies() const;

  private:
    void set_default(const dockerfile::ArgDeclaration& declaration,
                     const dockerfile::Lookup& lookup, char escape);

    Environment given_, automatic_, global_, global_defaults_;
    std::vector<std::string> declared_;  // at file level
};

}  // namespace shale::build
