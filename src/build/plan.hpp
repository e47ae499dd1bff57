// The plan: which stages the target reaches, and what each FROM and --from refers to. Nothing is
// resolved, pulled or expanded for a stage that is not reached.
#pragma once

#include "arguments.hpp"

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
};
using Base = std::variant<ScratchBase, StageBase, ImageBase>;

// The stage to build: `name` case-insensitive, empty for the last one. NotFound: `target stage "x"
// could not be found (did you mean y?)`.
std::uint32_t find_target(const dockerfile::File& file, const std::string& name);

// What FROM of stage `index` means: an earlier stage by exact name, scratch, or an image.
Base resolve_from(const dockerfile::File& file, std::uint32_t index, const Arguments& arguments);

// What `COPY --from=name` in stage `index` means: a stage by name (any case; the last definition)
// or number, scratch, or an image. Later stages and the stage itself are errors.
Base resolve_copy_from(const dockerfile::File& file, std::uint32_t index, const std::string& name);

// What `from=` of a mount in stage `index` means: an earlier stage by name (never by number),
// scratch, or an image.
Base resolve_mount_from(const dockerfile::File& file, std::uint32_t index,
                        const dockerfile::Mount& mount);

// Every stage the target needs, itself included, ascending. Also checks the reached stages for
// instructions and flags that are not implemented: Unsupported, at their lines.
std::vector<std::uint32_t> reached_stages(const dockerfile::File& file, std::uint32_t target,
                                          const Arguments& arguments);

// Throws Unsupported, naming instruction or flag, if this instruction asks for what is not
// implemented. Also applied to ONBUILD triggers.
void check_supported(const dockerfile::Instruction& instruction);
// The part of it that is about operands, for those that were variables before.
void check_sources(const dockerfile::Copy& copy, const std::vector<std::string>& sources);

// "builder", or "stage-2" for an unnamed one.
std::string stage_label(const dockerfile::Stage& stage);

}  // namespace shale::build
