#include "epoch.hpp"

#include "archive.hpp"
#include "arguments.hpp"
#include "located.hpp"
#include "plan.hpp"
#include "remote_add.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace shale::build {
namespace {

constexpr const char* kName = "SOURCE_DATE_EPOCH";

bool equal_ignoring_case(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
        return std::tolower(x) == std::tolower(y);
    });
}

std::optional<std::int64_t> parse_seconds(const std::string& text) {
    std::int64_t seconds = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (error != std::errc() || end != text.data() + text.size() || seconds < 0)
        return std::nullopt;
    return seconds;
}

bool was_given(const Request& request) {
    return std::any_of(request.build_args.begin(), request.build_args.end(),
                       [](const KeyValue& argument) { return argument.key == kName; });
}

// Its own time, else of an archive the newest file's.
std::optional<std::int64_t> time_of(const Source& source, Sources& sources) {
    if (!source.time) return std::nullopt;
    if (const auto time = source.time()) return time;
    const auto& tree = *source.root->load().tree;
    const auto only = tree.first_child(snapshot::kRoot);
    if (tree.size() != 2 || tree.entry(only).type != FileType::Regular) return std::nullopt;
    const auto open = sources.open(source, std::string(tree.name(only)));
    if (!is_archive(open)) return std::nullopt;
    return sources.archive("[internal] read times of " + std::string(tree.name(only)), open).time();
}

// What the one remote ADD of a stage fetches.
Source source_of_stage(const dockerfile::File& file, const dockerfile::Stage& stage,
                       const Arguments& arguments, Sources& sources) {
    if (!std::holds_alternative<ScratchBase>(resolve_from(file, stage.index, arguments)))
        fail(ErrorKind::Invalid, "SOURCE_DATE_EPOCH stage must use FROM scratch");
    Environment environment;
    std::optional<Source> source;
    const dockerfile::Lookup lookup = [&](std::string_view name) { return environment.get(name); };
    const auto expand = [&](const std::string& word) {
        return dockerfile::expand(word, lookup, file.escape);
    };
    for (const auto& instruction : stage.instructions) {
        if (const auto* arg = std::get_if<dockerfile::Arg>(&instruction.value)) {
            for (const auto& declaration : arg->declarations)
                if (const auto value = arguments.for_stage(declaration, lookup, file.escape))
                    environment.set(declaration.name, *value);
            continue;
        }
        const auto* copy = std::get_if<dockerfile::Copy>(&instruction.value);
        if (!copy || !copy->is_add)
            fail(ErrorKind::Invalid, "SOURCE_DATE_EPOCH stage does not meet source-only "
                                     "requirements: it may hold ARG and one ADD only");
        if (source || copy->sources.size() != 1 || !copy->heredocs.empty())
            fail(ErrorKind::Invalid,
                 "SOURCE_DATE_EPOCH stage must contain exactly one remote ADD source");
        const auto operand =
            fetch_operand(sources, *copy, expand(copy->sources.front()), expand(copy->checksum));
        if (!operand)
            fail(ErrorKind::Invalid,
                 "SOURCE_DATE_EPOCH stage source must be a single HTTP(S) or Git ADD");
        source = operand->source;
    }
    if (!source)
        fail(ErrorKind::Invalid, "SOURCE_DATE_EPOCH stage must contain exactly one remote ADD");
    return *source;
}

std::optional<std::int64_t> resolve(const std::string& value, const dockerfile::File& file,
                                    const Arguments& arguments, const NamedContexts& contexts,
                                    Context& context, Sources& sources) {
    if (const auto seconds = parse_seconds(value)) return seconds;
    if (value == "context") return time_of(context.source(), sources);
    if (const auto* named = contexts.find(value))
        return time_of(sources.context({value, *named})->source(), sources);
    for (const auto& stage : file.stages)
        if (equal_ignoring_case(stage.from.stage_name, value))
            return located(file, stage.lines, [&] {
                return time_of(source_of_stage(file, stage, arguments, sources), sources);
            });
    fail(ErrorKind::Invalid, "invalid SOURCE_DATE_EPOCH: " + value);
}

}  // namespace

Request settle_epoch(const Request& request, const dockerfile::File& file, Context& context,
                     Sources& sources, const oci::Platform& platform) {
    Request settled = request;
    const Arguments arguments(request, file, oci::Platform::host(), platform, "");
    if (!request.source_date_epoch) {
        auto value = request.source_date_epoch_of;
        // Given as nothing, it overrides the Dockerfile's.
        if (value.empty() && !was_given(request)) value = arguments.global(kName).value_or("");
        if (value.empty()) return settled;
        settled.source_date_epoch =
            resolve(value, file, arguments, {request.build_contexts, platform}, context, sources);
    }
    std::erase_if(settled.build_args,
                  [](const KeyValue& argument) { return argument.key == kName; });
    if (!settled.source_date_epoch) return settled;
    // Nanoseconds of it must fit; this is the year 2262.
    constexpr std::int64_t kLatest = INT64_MAX / kNsPerSecond;
    if (*settled.source_date_epoch > kLatest)
        fail(ErrorKind::Invalid, "invalid SOURCE_DATE_EPOCH: " +
                                     std::to_string(*settled.source_date_epoch) + " is too late");
    settled.build_args.push_back({kName, std::to_string(*settled.source_date_epoch)});
    return settled;
}

}  // namespace shale::build
