// Finding builds that are remembered, and what their records refer to.
#pragma once

#include "workspace.hpp"

#include <shale/build_history.hpp>
#include <shale/build_record.hpp>
#include <shale/explain.hpp>

#include <string>
#include <vector>

namespace shale::cli {

// Newest first; records of other versions are left out.
std::vector<build::BuildRecord> remembered_builds(store::BuildHistory& history);

// "last", "^N" (N builds before the last, as docker buildx writes it), or the beginning of an ID.
// NotFound, or Invalid if the beginning is not enough.
const build::BuildRecord& find_build(const std::vector<build::BuildRecord>& builds,
                                     const std::string& text);

// A number, or a part of the step's name that no other step has.
const build::RecordedStep& find_build_step(const build::BuildRecord& build,
                                           const std::string& text);

// Trees of the history, else of the store.
build::FindTree tree_finder(store::BuildHistory& history, store::Store& store);

// "app/Dockerfile (prod)": what was built, as people would call it.
std::string build_name(const build::BuildRecord& build);
std::string_view word(build::BuildRecord::Outcome outcome);
std::string_view word(build::RecordedStep::State state);
std::string format_seconds(std::int64_t ns);  // "1.5s", "2m03s"

}  // namespace shale::cli
