#include "context.hpp"

#include "key.hpp"
#include "sources.hpp"

#include <shale/definition_file.hpp>
#include <shale/watch.hpp>

#include <fmt/format.h>

#include <unordered_map>

namespace shale::build {
namespace {

// Turns .dockerignore rules and the needed paths into the walk's decisions. States of directories
// are kept by path, because several are read at once. Safe from any thread.
class ContextFilter {
  public:
    ContextFilter(const dockerfile::IgnoreMatcher& ignore, const NeededPaths& needed)
        : ignore_(ignore), needed_(needed) {}

    walk::Decision decide(std::string_view path, bool is_directory) {
        if (path.empty()) return walk::Decision::Include;
        if (!needed_.admits(path)) return walk::Decision::Prune;
        if (ignore_.empty()) return walk::Decision::Include;
        const auto slash = path.rfind('/');
        const std::string parent(slash == std::string_view::npos ? "" : path.substr(0, slash));
        dockerfile::IgnoreMatcher::State child;
        const auto verdict =
            ignore_.decide(path, state_of(parent), is_directory ? &child : nullptr);
        if (is_directory && !verdict.may_prune) state_of(std::string(path)) = std::move(child);
        if (!verdict.excluded) return walk::Decision::Include;
        return verdict.may_prune || !is_directory ? walk::Decision::Prune : walk::Decision::Skip;
    }

    // Whether it ever says anything but Include.
    bool has_a_say() const { return !ignore_.empty() || !needed_.covers(""); }

  private:
    // Written once, before anything in the directory is asked about. References stay good.
    dockerfile::IgnoreMatcher::State& state_of(const std::string& directory) {
        const std::lock_guard lock(mutex_);
        return states_[directory];
    }

    const dockerfile::IgnoreMatcher& ignore_;
    const NeededPaths& needed_;
    std::mutex mutex_;
    std::unordered_map<std::string, dockerfile::IgnoreMatcher::State> states_;
};

// Attributes that belong to this host or to overlayfs, not to the file: they would make one context
// build differently on two machines, or speak to the kernel that mounts the result. ACLs (system.*)
// count among them because a cache key must not cover them (BuildKit's does not).
bool belongs_to_file(std::string_view name) {
    if (name == "security.capability") return true;
    for (const std::string_view prefix :
         {"security.", "system.", "trusted.", "user.overlay.", "com.apple."})
        if (name.starts_with(prefix)) return false;
    return true;
}

}  // namespace

Context::Context(std::string directory, IgnoreRules ignore, store::Store& store, Tracker& tracker,
                 std::string title)
    : directory_(std::move(directory)), name_(directory_), ignore_(std::move(ignore)),
      store_(store), tracker_(tracker), title_(std::move(title)) {}

Context::Context(std::string name, Source source, store::Store& store, Tracker& tracker)
    : name_(std::move(name)), source_(std::move(source)), store_(store), tracker_(tracker) {}

Source Context::as_source(Sources& sources) {
    if (source_.root) return source_;
    need({{"", false}});
    return sources.directory(tree(), directory_);
}

void Context::need(const std::vector<Need>& paths) {
    if (source_.root) return;
    const std::lock_guard lock(mutex_);
    for (const auto& path : paths)
        is_current_ &= !needed_.add(path);
}

const snapshot::Tree& Context::tree() {
    if (source_.root) return *source_.root->load().tree;
    const std::lock_guard lock(mutex_);
    if (!is_current_) {
        tracker_.run(title_, [&](VertexId vertex) {
            // Each round adds paths of the context, so this ends.
            do
                trees_.push_back(std::make_unique<const snapshot::Tree>(scan(vertex)));
            while (needed_.follow_links(*trees_.back()));
            is_current_ = true;
            return Outcome::Done;
        });
    }
    return *trees_.back();
}

snapshot::Tree Context::scan(VertexId vertex) {
    ContextFilter filter(ignore_.matcher, needed_);
    snapshot::StatCache cache(store_.stat_cache_path());
    snapshot::ScanOptions options;
    options.zero_owner = true;
    options.keep_sockets = true;  // a copy makes empty files of them
    options.stat_cache = &cache;
    options.walk.keep_xattr = belongs_to_file;
    options.walk.filter_is_concurrent = true;
    if (filter.has_a_say())
        options.walk.filter = [&](std::string_view path, bool is_directory) {
            return filter.decide(path, is_directory);
        };
    // All that the functions above decide by. To be counted up when what they do changes.
    const auto rules =
        Key("context-rules-1").add("ignore", ignore_.text).add("needed", needed_.text()).finish();
    auto scanned = watch::scan(directory_, store_.watched_path(), options, nullptr, rules.hex());
    cache.save();
    if (scanned.incremental)
        tracker_.progress().output(vertex, sandbox::OutputStream::Stdout,
                                   fmt::format("watched: {} paths looked at\n", scanned.looked_at));
    return std::move(scanned.tree);
}

IgnoreRules Context::load_ignore(const std::string& directory, const std::string& dockerfile_path) {
    const auto file = read_ignore_file(directory, dockerfile_path);
    if (!file) return {};
    return in_context([&] { return "failed parsing " + file->path; },
                      [&] {
                          auto matcher = dockerfile::IgnoreMatcher::parse(file->text);
                          return IgnoreRules{std::move(matcher), file->text};
                      });
}

}  // namespace shale::build
