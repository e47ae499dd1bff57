// The plan: which stages the target reaches, and what each FROM and --from refers to. Nothing is
// resolved, pulled or expanded for a stage that is not reached.
#pragma once

#include "arguments.hpp"
#include "named_contexts.hpp"

#include <shale/build.hpp>
#include <shale/dockerfile.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace shale::build {

struct ScratchBase {};
struct StageBase {
    std::uint32_t stage = 0;
};
struct ImageBase {
    oci::Reference reference;
    std::string platform;  // expanded --platform, may be empty
    std::string layout;    // of an OCI layout on disk: its directory; else empty
};
// A --build-context that is not an image: files without a config.
struct ContextBase {
    std::string name;
    std::string value;  // a directory, a git reference or a URL
};
using Base = std::variant<ScratchBase, StageBase, ImageBase, ContextBase>;

// The stage to build: `name` case-insensitive, empty for the last one. NotFound: `target stage "x"
// could not be found (did you mean y?)`.
std::uint32_t find_target(const dockerfile::File& file, const std::string& name);

// What FROM of stage `index` means: an earlier stage by exact name, scratch, a named context or an
// image.
Base resolve_from(const dockerfile::File& file, std::uint32_t index, const Arguments& arguments,
                  const NamedContexts& contexts = {});

// What stands in for the whole of stage `index`, its instructions included: a named context of the
// stage's own name.
std::optional<Base> resolve_replacement(const dockerfile::File& file, std::uint32_t index,
                                        const Arguments& arguments, const NamedContexts& contexts);

// What `COPY --from=name` in stage `index` means: a stage by name (any case; the last definition)
// or number, scratch, a named context or an image. Later stages and the stage itself are errors.
Base resolve_copy_from(const dockerfile::File& file, std::uint32_t index, const std::string& name,
                       const NamedContexts& contexts = {});

// What `from=` of a mount in stage `index` means: an earlier stage by name (never by number),
// scratch, or an image.
Base resolve_mount_from(const dockerfile::File& file, std::uint32_t index,
                        const dockerfile::Mount& mount, const NamedContexts& contexts = {});

// Every stage the target needs, itself included, ascending. Also checks the reached stages for
// instructions and flags that are not implemented: Unsupported, at their lines.
std::vector<std::uint32_t> reached_stages(const dockerfile::File& file, std::uint32_t target,
                                          const Arguments& arguments,
                                          const NamedContexts& contexts = {});

// Throws Unsupported, naming instruction or flag, if this instruction asks for what is not
// implemented. Also applied to ONBUILD triggers.
void check_supported(const dockerfile::Instruction& instruction);
// What can be wrong with the operands of a copy, for those that were variables before: remote ones
// of a COPY, git references that are none, a --checksum of something that has no checksum.
void check_sources(const dockerfile::Copy& copy, const std::vector<std::string>& sources);

// "builder", or "stage-2" for an unnamed one.
std::string stage_label(const dockerfile::Stage& stage);

}  // namespace shale::build
