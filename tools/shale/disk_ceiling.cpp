#include "disk_ceiling.hpp"

#include "cache_records.hpp"
#include "console.hpp"

#include <cstdlib>
#include <optional>

namespace shale::cli {

namespace {

constexpr std::chrono::milliseconds kPatience{200};

std::optional<std::uint64_t> ceiling_bytes(std::string ceiling) {
    std::string where = "--max-disk";
    if (ceiling.empty()) {
        const char* variable = std::getenv("SHALE_MAX_DISK");
        if (variable) ceiling = variable;
        where = "$SHALE_MAX_DISK";
    }
    if (ceiling.empty()) return std::nullopt;
    return parse_size_flag(where, ceiling);
}

}  // namespace

void check_ceiling(const std::string& ceiling) {
    ceiling_bytes(ceiling);
}

void keep_below_ceiling(store::Store& store, const std::string& ceiling) {
    const auto bytes = ceiling_bytes(ceiling);
    if (!bytes) return;
    // What is beside cannot be collected; counted, it could empty the cache after every build.
    const auto usage = store.usage();
    if (usage.total() - usage.other <= *bytes) return;
    store::CollectOptions options;
    options.max_used = *bytes + usage.other;
    options.may_remove = [](const store::CacheRecord&) { return true; };
    try {
        const auto collected = store.collect(options, kPatience);
        print_note("the store was above " + format_size(*bytes) + ": freed " +
                   format_size(collected.bytes) + ", " + format_size(collected.left) + " are left");
        if (collected.left > *options.max_used)
            print_note("warning: images alone take more than that; `shale rm` takes names away");
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::Failed) throw;
        print_note("the store is above " + format_size(*bytes) + ", but " + error.what());
    }
}

}  // namespace shale::cli
