// Records of the build cache as `du` and `prune` select and show them.
#pragma once

#include <shale/store.hpp>

#include <nlohmann/json.hpp>

#include <functional>
#include <string>
#include <vector>

namespace shale::cli {

// What --filter says, all of it together: "until=24h" (not used for that long), "id=PREFIX",
// "description=TEXT", "description~=REGEX", "description!=TEXT", "type=KIND" in BuildKit's words,
// "shared", "private". Invalid, naming it, for anything else.
std::function<bool(const store::CacheRecord&)>
parse_record_filters(const std::vector<std::string>& filters);

// A row of cells for each: ID, reclaimable, size, cost, last use, description.
std::string render_records(const std::vector<store::CacheRecord>& records);
nlohmann::ordered_json records_json(const std::vector<store::CacheRecord>& records);

// "10GB", "512MiB", "0"; Invalid naming the flag otherwise. Units are powers of 1024, as docker
// reads them.
std::uint64_t parse_size_flag(const std::string& flag, const std::string& text);

}  // namespace shale::cli
