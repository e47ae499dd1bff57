#include "recorder.hpp"

#include "context.hpp"
#include "key.hpp"
#include "redact.hpp"

#include <shale/build_history.hpp>
#include <shale/codec.hpp>
#include <shale/dockerfile.hpp>
#include <shale/http.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <climits>
#include <cstdlib>

namespace shale::build {
namespace {

// A step's log keeps this much of its beginning and as much of its end.
constexpr std::size_t kLogPart = 1u << 20;
constexpr std::size_t kMostWork = 2000;

// A directory by its real path, so that `.` and `$PWD` are one; a URL without its password.
std::string shown_context(const std::string& context) {
    char resolved[PATH_MAX];
    if (context != "-" && ::realpath(context.c_str(), resolved)) return resolved;
    return http::without_password(context);
}

std::string names_of(const std::vector<oci::Platform>& platforms) {
    std::string text;
    for (const auto& platform : platforms)
        text += (text.empty() ? "" : ",") + platform.str();
    return text;
}

}  // namespace

void BoundedLog::add(std::string_view text) {
    const auto fits = std::min(text.size(), kLogPart - head_.size());
    head_ += text.substr(0, fits);
    tail_ += text.substr(fits);
    if (tail_.size() < 2 * kLogPart) return;  // cut seldom: every cut moves what stays
    left_out_ += tail_.size() - kLogPart;
    tail_.erase(0, tail_.size() - kLogPart);
}

std::string BoundedLog::str() const {
    std::string_view tail = tail_;
    auto left_out = left_out_;
    if (tail.size() > kLogPart) {
        left_out += tail.size() - kLogPart;
        tail.remove_prefix(tail.size() - kLogPart);
    }
    if (left_out == 0) return head_ + std::string(tail);
    return fmt::format("{}\n[... {} bytes left out ...]\n{}", head_, left_out, tail);
}

BuildRecorder::BuildRecorder(Progress& shown, const Clock& clock) : shown_(shown), clock_(clock) {
    record_.id = random_hex(6);
    record_.started_ns = clock.now_ns();
    record_.roots[Key("scratch").finish()] = {};
}

void BuildRecorder::started(VertexId vertex, const std::string& name) {
    {
        const std::lock_guard lock(mutex_);
        if (work_.size() < kMostWork) work_[vertex] = {name, clock_.now_ns(), 0};
    }
    shown_.started(vertex, name);
}

void BuildRecorder::output(VertexId vertex, sandbox::OutputStream stream, std::string_view text) {
    {
        const std::lock_guard lock(mutex_);
        logs_[vertex].add(text);
    }
    shown_.output(vertex, stream, text);
}

void BuildRecorder::status(VertexId vertex, const std::string& what, std::uint64_t current,
                           std::uint64_t total) {
    shown_.status(vertex, what, current, total);
}

void BuildRecorder::finished(VertexId vertex, Outcome outcome, const std::string& message) {
    {
        const std::lock_guard lock(mutex_);
        const auto now = clock_.now_ns();
        if (const auto work = work_.find(vertex); work != work_.end())
            work->second.finished_ns = now;
        if (const auto step = steps_.find(vertex); step != steps_.end()) {
            using State = RecordedStep::State;
            step->second.finished_ns = now;
            step->second.error = hidden(message);
            step->second.state = outcome == Outcome::Done     ? State::Executed
                                 : outcome == Outcome::Cached ? State::Cached
                                 : outcome == Outcome::Failed ? State::Failed
                                                              : State::Cancelled;
        }
    }
    shown_.finished(vertex, outcome, message);
}

void BuildRecorder::warning(const std::string& text) {
    shown_.warning(text);
}

void BuildRecorder::begin(const Request& request, const std::string& dockerfile) {
    const std::lock_guard lock(mutex_);
    record_.context = shown_context(request.context);
    record_.dockerfile = http::without_password(dockerfile);
    record_.target = request.target;
    record_.platforms = names_of(request.platforms);
    for (const auto& [key, value] : request.build_args) {
        record_.arguments.emplace_back(key, shown_value(key, value));
        if (dockerfile::looks_secret(key)) secrets_.push_back(value);
    }
    for (const auto& tag : request.tags)
        record_.tags.push_back(tag.familiar());
}

void BuildRecorder::begin_again() {
    const std::lock_guard lock(mutex_);
    steps_.clear();
}

void BuildRecorder::note_root(const Digest& key, const RecordedRoot& root) {
    const std::lock_guard lock(mutex_);
    record_.roots.try_emplace(key, root);
}

void BuildRecorder::note_directory(Context& context) {
    const std::lock_guard lock(mutex_);
    directories_[context.name()] = &context;
}

std::string BuildRecorder::hidden(const std::string& text) const {
    Redactor redactor(secrets_);
    auto shown = redactor.add(text);
    return shown + redactor.finish();
}

// Names get stars. Inputs are compared with those of other builds, so they become digests. What a
// command prints of them is in its log.
void BuildRecorder::hide(RecordedStep& step) const {
    if (secrets_.empty()) return;
    for (auto* text : {&step.name, &step.instruction, &step.error})
        *text = hidden(*text);
    for (auto& [name, value] : step.values)
        if (hidden(value) != value) value = codec::sha256(value).str();
    for (auto* inputs : {&step.inputs, &step.contents})
        for (auto& input : *inputs) {
            if (input.is_digest || hidden(input.value) == input.value) continue;
            const auto equals = input.name == "env" ? input.value.find('=') : std::string::npos;
            const auto kept = equals == std::string::npos ? 0 : equals + 1;
            input.value.replace(kept, std::string::npos,
                                codec::sha256(input.value.substr(kept)).str());
            input.is_digest = true;
        }
}

void BuildRecorder::add_step(VertexId vertex, const RecordedStep& step) {
    const std::lock_guard lock(mutex_);
    auto& added = steps_[vertex] = step;
    added.number = vertex;
    hide(added);
    if (const auto work = work_.find(vertex); work != work_.end()) {
        added.started_ns = work->second.started_ns;
        work_.erase(work);
    }
}

void BuildRecorder::update_step(VertexId vertex, const std::function<void(RecordedStep&)>& change) {
    const std::lock_guard lock(mutex_);
    auto& step = steps_[vertex];
    change(step);
    hide(step);
    if (!step.root.is_zero()) {
        RecordedRoot root;
        root.kind = RecordedRoot::Kind::Step;
        root.step = vertex;
        record_.roots.try_emplace(step.root, root);
    }
}

void BuildRecorder::note_layer(const Digest& key, const oci::Descriptor& layer) {
    const std::lock_guard lock(mutex_);
    for (auto& [vertex, step] : steps_)
        if (step.key == key) {
            step.layer = layer.digest;
            step.layer_bytes = layer.size;
        }
}

void BuildRecorder::note_work(const StoredLayer& layer) {
    const std::lock_guard lock(mutex_);
    tar_and_compressed_[layer.descriptor.digest] = {layer.tar_bytes, layer.compressed_bytes};
}

void BuildRecorder::describe_result(const Result& result) {
    record_.tags = result.names;
    if (!result.image_id.is_zero()) record_.image = result.image_id.str();
}

// Stages run side by side; a number must not depend on who was first.
std::map<VertexId, std::uint32_t> BuildRecorder::number_steps(BuildRecord& record) const {
    std::vector<const RecordedStep*> order;
    for (const auto& [vertex, step] : steps_)
        order.push_back(&step);
    std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
        return std::tie(a->platform, a->stage_index) < std::tie(b->platform, b->stage_index);
    });
    std::map<VertexId, std::uint32_t> number_of;
    for (const auto* step : order) {
        const auto number = static_cast<std::uint32_t>(number_of.size() + 1);
        number_of.emplace(step->number, number);
        record.steps.push_back(*step);
        auto& recorded = record.steps.back();
        recorded.number = number;
        recorded.has_log = logs_.contains(step->number);
        if (!step->layer) continue;
        const auto made = tar_and_compressed_.find(*step->layer);
        if (made != tar_and_compressed_.end())
            std::tie(recorded.tar_bytes, recorded.compressed_bytes) = made->second;
    }
    for (auto& [key, root] : record.roots)
        if (root.kind == RecordedRoot::Kind::Step) root.step = number_of[root.step];
    return number_of;
}

std::vector<const snapshot::Tree*> BuildRecorder::describe_directories(BuildRecord& record) {
    std::map<std::string, Context*> directories;
    {
        const std::lock_guard lock(mutex_);
        directories = directories_;
    }
    std::vector<const snapshot::Tree*> trees;
    for (const auto& [name, context] : directories) {
        const auto* tree = context->last_tree();
        if (!tree) continue;
        trees.push_back(tree);
        record.directories[name] = {name, tree->digest(), context->ignore().patterns()};
    }
    return trees;
}

BuildRecorder::SoFar BuildRecorder::so_far(VertexId vertex) {
    SoFar out;
    {
        const std::lock_guard lock(mutex_);
        out.record = record_;
        out.number = number_steps(out.record)[vertex];
    }
    for (const auto* tree : describe_directories(out.record))
        out.trees[tree->digest()] = tree;
    return out;
}

BuildRecorder::Finished BuildRecorder::finish(BuildRecord::Outcome outcome,
                                              const std::string& error, const Result* result) {
    Finished out;
    {
        const std::lock_guard lock(mutex_);
        record_.finished_ns = clock_.now_ns();
        record_.outcome = outcome;
        record_.error = hidden(error);
        if (result) describe_result(*result);
        out.record = record_;
        for (auto& [key, root] : out.record.roots)
            root.reference = hidden(root.reference);
        for (const auto& [vertex, work] : work_) {
            out.record.work.push_back(work);
            out.record.work.back().name = hidden(work.name);
        }
        for (const auto& [vertex, number] : number_steps(out.record))
            if (const auto log = logs_.find(vertex); log != logs_.end())
                out.logs[number] = log->second.str();
    }
    out.trees = describe_directories(out.record);
    return out;
}

void remember(store::Store& store, const BuildRecorder::Finished& finished) {
    try {
        const auto& record = finished.record;
        store::BuildHistory(store).put({record.id, record.started_ns, encode(record)},
                                       finished.logs, finished.trees);
    } catch (const Error& error) {
        log(LogLevel::Warn, std::string("this build is not in the history: ") + error.what());
    }
}

}  // namespace shale::build
