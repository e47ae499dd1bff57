// The blobs, and the threads that fetch what nobody waits for yet: runs behind what is read, and a
// plan of frames in the background. Half of the threads leave the plan alone, so that what somebody
// will read in a moment does not queue behind what nobody may ever read.
//
// Locks: the state's is never held while a layer's is taken by a reader, nor over I/O.
#include "remote_layer.hpp"
#include "remote_table.hpp"

#include <shale/codec.hpp>
#include <shale/layer_form.hpp>
#include <shale/parallel.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <system_error>
#include <thread>
#include <unordered_map>

namespace shale::lazy {

namespace {

constexpr unsigned kWorkers = 4, kPlanWorkers = 2;
constexpr std::size_t kTablesAtOnce = 8;
// Of all layers together: some gigabytes of memory.
constexpr std::size_t kMostEntries = 8'000'000;
// What a maker of an eStargz may have fetched first, unasked.
constexpr std::uint64_t kMostPutFirst = 64 << 20;
// So many in a row, and the plan is given up: the registry is down, or not what it was.
constexpr unsigned kMostFailures = 3;

// Where the landmark lies, or 0.
std::uint64_t end_of_first(const layer::Toc& toc) {
    const auto landmark = std::ranges::find(toc.entries, layer::kPrefetchLandmark,
                                            [](const auto& entry) { return entry.member.path; });
    if (landmark == toc.entries.end() || landmark->member.size == 0) return 0;
    return toc.frames[layer::frame_at(toc, landmark->content_offset)].blob_offset;
}

}  // namespace

struct RemoteBlobs::State {
    State(Fetch fetch, oci::BlobSource& local_blobs, std::string scratch)
        : fetch_bytes(std::move(fetch)), local(local_blobs), directory(std::move(scratch)) {}
    ~State();

    RemoteLayer* find(const Digest& blob) const {
        const auto found = layers.find(blob);
        return found == layers.end() ? nullptr : found->second.get();
    }
    std::shared_ptr<const layer::Toc> add(const oci::Descriptor& layer, RemoteTable table);
    void note_put_first(const RemoteLayer& layer, std::uint64_t end);
    void fetch(const oci::Descriptor& layer, std::uint64_t offset, MutableBytes out);
    void read_frame(RemoteLayer& layer, std::uint64_t offset, MutableBytes out);

    struct Job {
        RemoteLayer* layer = nullptr;
        Run run;
        bool is_claimed = true;  // if not, somebody else may be fetching it
    };
    bool may_go_ahead();
    void go_ahead(RemoteLayer& layer, Run run);
    void fetch_run(const Job& job);
    void fetch_claimed(RemoteLayer& layer, Run run);
    void start_workers();
    void work(bool takes_plan);
    std::optional<Job> next_of_plan();  // under the mutex
    void end_part_of_plan(const std::optional<Job>& job, std::exception_ptr failure);

    const Fetch fetch_bytes;
    oci::BlobSource& local;
    const std::string directory;
    std::map<Digest, std::unique_ptr<RemoteLayer>> layers;
    std::vector<Place> put_first;
    std::uint64_t put_first_bytes = 0;
    std::size_t entries = 0;  // and frames, of all tables

    std::atomic<bool> is_ahead_allowed{true}, is_copy{false};

    mutable std::mutex mutex;  // guards what follows
    std::condition_variable wake;
    Stats stats;
    bool is_over = false;
    std::deque<Job> ahead;
    std::size_t busy = 0;  // workers that fetch
    std::vector<Place> plan;
    std::size_t planned = 0;   // of the plan, what is done or under way
    std::vector<Place> again;  // what failed, or was coming when its turn was
    bool is_second_round = false;
    unsigned under_way = 0, failures = 0;
    std::exception_ptr plan_failure;
    std::function<void(std::exception_ptr)> plan_done;
    std::vector<std::jthread> workers;
};

RemoteBlobs::State::~State() {
    {
        const std::lock_guard lock(mutex);
        is_over = true;
    }
    wake.notify_all();
}

// A layer may be there twice. Two tables for one blob, each vouched for by its own annotation,
// would verify each other's frames.
std::shared_ptr<const layer::Toc> RemoteBlobs::State::add(const oci::Descriptor& layer,
                                                          RemoteTable table) {
    if (const auto* const known = find(layer.digest)) {
        check_repeats(std::array{known->descriptor(), layer});
        return std::make_shared<const layer::Toc>(std::move(table.toc));
    }
    entries += table.toc.entries.size() + table.toc.frames.size();
    if (entries > kMostEntries)
        fail(ErrorKind::Unsupported,
             "the tables of contents have more entries than can be looked at in a registry");
    const auto& added =
        *layers
             .emplace(layer.digest,
                      std::make_unique<RemoteLayer>(layer, table.toc, std::move(table.tail),
                                                    anonymous_file(directory)))
             .first->second;
    note_put_first(added, end_of_first(table.toc));
    return std::make_shared<const layer::Toc>(std::move(table.toc));
}

void RemoteBlobs::State::note_put_first(const RemoteLayer& layer, std::uint64_t end) {
    for (std::size_t frame = 0; frame < layer.size() && layer.offset(frame) < end; ++frame) {
        put_first_bytes += layer.bytes(frame);
        if (put_first_bytes > kMostPutFirst) return;
        put_first.push_back({layer.descriptor().digest, layer.offset(frame)});
    }
}

void RemoteBlobs::State::fetch(const oci::Descriptor& layer, std::uint64_t offset,
                               MutableBytes out) {
    {
        const std::lock_guard lock(mutex);
        ++stats.requests;
        stats.bytes += out.size();
    }
    fetch_bytes(layer, offset, out);
}

void RemoteBlobs::State::fetch_run(const Job& job) {
    auto& layer = *job.layer;
    auto run = job.run;
    if (!job.is_claimed) {
        const auto turn = layer.take(run.first, false);
        if (turn.is_here) return;
        run = turn.claimed;
    }
    auto missing = run;
    if (is_copy) {  // whatever of it is kept cuts the run in two
        missing.count = 0;
        for (std::size_t i = run.first; i < run.first + run.count; ++i) {
            if (!layer.put_kept(i)) {
                ++missing.count;
                continue;
            }
            if (missing.count > 0) try {
                    fetch_claimed(layer, missing);
                } catch (...) {
                    layer.give_up({i + 1, run.first + run.count - i - 1});
                    throw;
                }
            missing = {i + 1, 0};
        }
    }
    if (missing.count > 0) fetch_claimed(layer, missing);
}

// Keeps what is good of it, whatever the rest is.
void RemoteBlobs::State::fetch_claimed(RemoteLayer& layer, Run run) {
    std::vector<std::byte> bytes;
    try {
        bytes.resize(layer.bytes(run));
        fetch(layer.descriptor(), layer.offset(run.first), bytes);
    } catch (...) {
        layer.give_up(run);
        throw;
    }
    std::exception_ptr failure;
    const auto begin = layer.offset(run.first);
    for (std::size_t i = run.first; i < run.first + run.count; ++i)
        try {
            layer.put(i, Bytes(bytes).subspan(layer.offset(i) - begin, layer.bytes(i)));
        } catch (...) {
            layer.give_up({i, 1});
            failure = std::current_exception();
        }
    if (failure) std::rethrow_exception(failure);
}

// Only what somebody begins with at once: who wants a frame that was claimed waits for it.
bool RemoteBlobs::State::may_go_ahead() {
    if (!is_ahead_allowed) return false;
    const std::lock_guard lock(mutex);
    return ahead.size() + busy < kWorkers;
}

// A claim that nobody can be found for is given up: reading ahead is only a matter of speed.
void RemoteBlobs::State::go_ahead(RemoteLayer& layer, Run run) {
    try {
        const std::lock_guard lock(mutex);
        start_workers();
        ahead.push_back({&layer, run});
        wake.notify_all();
    } catch (const std::exception&) {
        layer.give_up(run);
    }
}

void RemoteBlobs::State::read_frame(RemoteLayer& layer, std::uint64_t offset, MutableBytes out) {
    const auto frame = layer.find(offset);
    if (!frame || !layer.is_whole(*frame, out.size()))
        fail(ErrorKind::Corrupt, "no frame of the table of contents begins there");
    const auto turn = layer.take(*frame, may_go_ahead());
    if (turn.ahead) go_ahead(layer, *turn.ahead);
    if (!turn.is_here) try {
            fetch_run({&layer, turn.claimed});
        } catch (...) {  // what is wrong with another is its reader's business
            if (!layer.is_here(*frame)) throw;
        }
    layer.read(*frame, out);
}

// One is enough where there cannot be more.
void RemoteBlobs::State::start_workers() {
    while (workers.size() < kWorkers)
        try {
            workers.emplace_back(
                [this, takes_plan = workers.size() < kPlanWorkers] { work(takes_plan); });
        } catch (const std::system_error&) {
            if (workers.empty()) throw;
            return;
        }
}

void RemoteBlobs::State::work(bool takes_plan) {
    std::unique_lock lock(mutex);
    for (;;) {
        const auto has_plan = [&] { return takes_plan && planned < plan.size(); };
        wake.wait(lock, [&] { return is_over || !ahead.empty() || has_plan(); });
        if (is_over) return;
        const bool is_ahead = !ahead.empty();
        std::optional<Job> job;
        if (is_ahead) {
            job = ahead.front();
            ahead.pop_front();
        } else {
            ++under_way;
            job = next_of_plan();
        }
        ++busy;
        lock.unlock();
        std::exception_ptr failure;
        try {
            if (job) fetch_run(*job);
        } catch (...) {  // who reads it will try again, and learn why not
            failure = std::current_exception();
        }
        if (!is_ahead) end_part_of_plan(job, failure);
        lock.lock();
        --busy;
    }
}

// Neighbours that stand behind each other in the plan, too. In the second round one by one, waiting
// for whoever else is at it.
std::optional<RemoteBlobs::State::Job> RemoteBlobs::State::next_of_plan() {
    using Presence = RemoteLayer::Presence;
    for (; planned < plan.size(); ++planned) {
        auto* const layer = find(plan[planned].blob);
        const auto first = layer ? layer->find(plan[planned].offset) : std::nullopt;
        if (!first) continue;
        if (is_second_round) {
            ++planned;
            return Job{layer, {*first, 1}, false};
        }
        const auto was = layer->claim(*first);
        if (was == Presence::Coming) again.push_back(plan[planned]);
        if (was != Presence::Absent) continue;
        Job job{layer, {*first, 1}};
        for (++planned; planned < plan.size(); ++planned) {
            const auto next = *first + job.run.count;
            if (plan[planned].blob != layer->descriptor().digest || !layer->follows(next) ||
                plan[planned].offset != layer->offset(next) ||
                layer->bytes(Run{*first, job.run.count + 1}) > RemoteLayer::kMostRunBytes ||
                layer->claim(next) != Presence::Absent)
                break;
            ++job.run.count;
        }
        return job;
    }
    return std::nullopt;
}

void RemoteBlobs::State::end_part_of_plan(const std::optional<Job>& job,
                                          std::exception_ptr failure) {
    std::function<void(std::exception_ptr)> tell;
    {
        const std::lock_guard lock(mutex);
        --under_way;
        failures = failure ? failures + 1 : 0;
        if (failure && !is_second_round)
            for (std::size_t i = job->run.first; i < job->run.first + job->run.count; ++i)
                again.push_back({job->layer->descriptor().digest, job->layer->offset(i)});
        if (failure && (is_second_round || failures >= kMostFailures)) plan_failure = failure;
        if (failures >= kMostFailures) planned = plan.size();
        if (planned == plan.size() && under_way == 0) {
            if (!plan_failure && !again.empty()) {
                plan = std::exchange(again, {});
                planned = 0;
                is_second_round = true;
                wake.notify_all();
            } else {
                tell = std::exchange(plan_done, nullptr);
                failure = plan_failure;
            }
        }
    }
    if (tell) tell(failure);
}

RemoteBlobs::RemoteBlobs(Fetch fetch, oci::BlobSource& local, std::string directory)
    : state_(std::make_unique<State>(std::move(fetch), local, std::move(directory))) {}

RemoteBlobs::~RemoteBlobs() = default;

std::shared_ptr<const layer::Toc> RemoteBlobs::add(const oci::Descriptor& layer) {
    return add(std::span(&layer, 1)).front();
}

RemoteBlobs::Tocs RemoteBlobs::add(std::span<const oci::Descriptor> layers) {
    Tocs tocs;
    for (; !layers.empty(); layers = layers.subspan(std::min(layers.size(), kTablesAtOnce))) {
        const auto some = layers.first(std::min(layers.size(), kTablesAtOnce));
        std::vector<std::unique_ptr<TableFetch>> fetches;
        for (const auto& layer : some)
            fetches.push_back(std::make_unique<TableFetch>(
                layer, [state = state_.get(), &layer](std::uint64_t offset, MutableBytes out) {
                    state->fetch(layer, offset, out);
                }));
        for_each_parallel(some.size(), some.size(), [&](std::size_t i) { fetches[i]->begin(); });
        for (std::size_t i = 0; i < some.size(); ++i) {
            auto table = fetches[i]->finish();
            fetches[i].reset();
            tocs.push_back(table ? state_->add(some[i], std::move(*table)) : nullptr);
        }
    }
    return tocs;
}

std::uint64_t RemoteBlobs::blob_size(const Digest& blob) {
    const auto* const layer = state_->find(blob);
    return layer ? layer->descriptor().size : state_->local.blob_size(blob);
}

void RemoteBlobs::read_blob(const Digest& blob, std::uint64_t offset, MutableBytes out) {
    auto* const layer = state_->find(blob);
    if (!layer) return state_->local.read_blob(blob, offset, out);
    const auto tail_offset = layer->tail_offset();
    if (offset < tail_offset) return state_->read_frame(*layer, offset, out);
    const auto size = layer->descriptor().size;
    if (offset > size || out.size() > size - offset)
        fail(ErrorKind::Corrupt, blob.str() + ": ends before what is read of it");
    std::memcpy(out.data(), layer->tail().data() + (offset - tail_offset), out.size());
}

std::vector<RemoteBlobs::Place> RemoteBlobs::frames() const {
    std::vector<Place> all;
    for (const auto& [digest, layer] : state_->layers)
        for (std::size_t frame = 0; frame < layer->size(); ++frame)
            all.push_back({digest, layer->offset(frame)});
    return all;
}

std::vector<RemoteBlobs::Place> RemoteBlobs::frames_put_first() const {
    return state_->put_first;
}

void RemoteBlobs::allow_ahead(bool is_allowed) {
    SHALE_ENSURE(is_allowed || state_->workers.empty());
    state_->is_ahead_allowed = is_allowed;
}

void RemoteBlobs::look_for_kept() {
    state_->is_copy = true;
}

void RemoteBlobs::fetch_in_background(std::vector<Place> frames,
                                      std::function<void(std::exception_ptr)> done) {
    if (frames.empty()) return done(nullptr);
    const std::lock_guard lock(state_->mutex);
    SHALE_ENSURE(state_->plan.empty());
    state_->plan = std::move(frames);
    state_->plan_done = std::move(done);
    state_->start_workers();
    state_->wake.notify_all();
}

RemoteBlobs::Stats RemoteBlobs::stats() const {
    const std::lock_guard lock(state_->mutex);
    return state_->stats;
}

void check_repeats(std::span<const oci::Descriptor> layers) {
    std::map<Digest, const oci::Descriptor*> known;
    for (const auto& layer : layers) {
        const auto& first = *known.emplace(layer.digest, &layer).first->second;
        if (first.size != layer.size || first.annotations != layer.annotations)
            fail(ErrorKind::Corrupt,
                 "layer " + layer.digest.str() + " is listed twice, as different ones");
    }
}

void check_contents(std::span<const std::shared_ptr<const layer::Toc>> tocs) {
    std::unordered_map<Digest, std::uint64_t, DigestHash> sizes{{codec::sha256(""), 0}};
    for (const auto& toc : tocs)
        for (const auto& entry : toc->entries) {
            if (entry.member.type != tar::MemberType::Regular) continue;
            const auto known = sizes.emplace(entry.content, entry.member.size).first->second;
            if (known != entry.member.size)
                fail(ErrorKind::Corrupt, "table of contents: \"" + entry.member.path + "\" has " +
                                             std::to_string(entry.member.size) +
                                             " bytes, and the digest of one of " +
                                             std::to_string(known));
        }
}

std::vector<RemoteBlobs::Place> frames_of(const layer::ContentIndex& index,
                                          std::span<const Digest> contents) {
    std::vector<RemoteBlobs::Place> places;
    std::map<Digest, std::unordered_set<std::uint64_t>> taken;
    for (const auto& content : contents) {
        const auto place = index.find(content);
        if (!place || place->range.size == 0) continue;
        const auto& table = place->layer->frames();
        const auto end = place->range.tar_offset + place->range.size;
        for (auto i = layer::frame_at(table, place->range.tar_offset);
             i < table.frames.size() && table.frames[i].tar_offset < end; ++i) {
            const auto offset = table.frames[i].blob_offset;
            if (taken[place->blob].insert(offset).second) places.push_back({place->blob, offset});
        }
    }
    return places;
}

}  // namespace shale::lazy
