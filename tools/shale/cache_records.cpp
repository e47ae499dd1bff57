#include "cache_records.hpp"

#include "table.hpp"

#include <shale/dockerfile.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <regex>

namespace shale::cli {

namespace {

using store::CacheRecord;
using Test = std::function<bool(const CacheRecord&)>;

[[noreturn]] void refuse(const std::string& filter, const std::string& why) {
    fail(ErrorKind::Invalid, "invalid --filter \"" + filter + "\": " + why);
}

Test until(const std::string& filter, const std::string& value) {
    const auto age = dockerfile::parse_duration(value);
    if (!age || *age < 0) refuse(filter, "\"" + value + "\" is no duration; write 24h or 90m");
    const std::int64_t before = system_clock().now_ns() - *age;
    return [before](const CacheRecord& record) { return record.used_ns <= before; };
}

Test description(const std::string& filter, const std::string& operation,
                 const std::string& value) {
    if (operation == "=")
        return [value](const CacheRecord& record) { return record.name == value; };
    if (operation == "!=")
        return [value](const CacheRecord& record) { return record.name != value; };
    try {
        return [pattern = std::regex(value)](const CacheRecord& record) {
            return std::regex_search(record.name, pattern);
        };
    } catch (const std::regex_error& error) {  // the library's own type; ours from here on
        refuse(filter, error.what());
    }
}

// BuildKit's words for kinds of records; it has none for the last.
const char* type_name(store::RecordKind kind) {
    switch (kind) {
    case store::RecordKind::CacheMount:
        return "exec.cachemount";
    case store::RecordKind::GitMirror:
        return "source.git.checkout";
    case store::RecordKind::UnpackedStep:
        return "exec.unpacked";
    default:
        return "regular";
    }
}

Test type(const std::string& filter, const std::string& value) {
    using store::RecordKind;
    for (const auto kind : {RecordKind::Step, RecordKind::CacheMount, RecordKind::GitMirror,
                            RecordKind::UnpackedStep})
        if (value == type_name(kind))
            return [kind](const CacheRecord& record) { return record.kind == kind; };
    refuse(filter,
           "known types are regular, exec.cachemount, source.git.checkout and exec.unpacked");
}

Test parse_filter(const std::string& filter) {
    if (filter == "shared") return [](const CacheRecord& record) { return record.shared; };
    if (filter == "private") return [](const CacheRecord& record) { return !record.shared; };
    const auto end = filter.find_first_of("=!~");
    const auto key = filter.substr(0, end);
    if (end == std::string::npos) refuse(filter, "expected key=value, shared or private");
    const bool two = filter[end] != '=' || filter.compare(end, 2, "==") == 0;
    const auto value = filter.substr(std::min(end + (two ? 2 : 1), filter.size()));
    const auto operation = filter[end] == '=' ? "=" : filter.substr(end, 2);
    if (operation != "=" && operation != "!=" && operation != "~=")
        refuse(filter, "operators are =, != and ~=");
    if (key == "description") return description(filter, operation, value);
    if (operation != "=") refuse(filter, "only description can be compared with " + operation);
    if (key == "until") return until(filter, value);
    if (key == "type") return type(filter, value);
    if (key == "id")
        return [value](const CacheRecord& record) { return record.id.hex().starts_with(value); };
    refuse(filter,
           "unknown key \"" + key + "\"; known are until, id, description, type, shared, private");
}

std::string cost_text(const CacheRecord& record) {
    if (record.kind != store::RecordKind::Step) return "-";
    return fmt::format("{:.1f}s", static_cast<double>(record.cost_ms) / 1000);
}

}  // namespace

Test parse_record_filters(const std::vector<std::string>& filters) {
    std::vector<Test> tests;
    for (const auto& filter : filters)
        tests.push_back(parse_filter(filter));
    return [tests](const CacheRecord& record) {
        return std::all_of(tests.begin(), tests.end(),
                           [&](const Test& test) { return test(record); });
    };
}

std::string render_records(const std::vector<CacheRecord>& records) {
    Table table({"ID", "RECLAIMABLE", "SIZE", "TOOK", "LAST USED", "DESCRIPTION"});
    const auto now = system_clock().now_ns();
    for (const auto& record : records)
        table.add({record.id.short_hex(), record.held ? "false" : "true", format_size(record.bytes),
                   cost_text(record), format_age(now, record.used_ns), record.name});
    return table.str();
}

nlohmann::ordered_json records_json(const std::vector<CacheRecord>& records) {
    auto list = nlohmann::ordered_json::array();
    for (const auto& record : records)
        list.push_back({{"id", record.id.hex()},
                        {"type", type_name(record.kind)},
                        {"description", record.name},
                        {"bytes", record.bytes},
                        {"milliseconds", record.cost_ms},
                        {"created", format_rfc3339(record.created_ns)},
                        {"lastUsed", format_rfc3339(record.used_ns)},
                        {"shared", record.shared},
                        {"needed", record.needed},
                        {"reclaimable", !record.held}});
    return list;
}

std::uint64_t parse_size_flag(const std::string& flag, const std::string& text) {
    if (const auto bytes = dockerfile::parse_size(text)) return *bytes;
    fail(ErrorKind::Invalid, flag + ": \"" + text + "\" is no size; write 10GB or 512MB");
}

}  // namespace shale::cli
