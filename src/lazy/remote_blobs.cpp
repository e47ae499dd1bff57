// The blobs, and the threads that fetch what nobody waits for yet: runs behind what is read, and a
// plan of frames in the background. Half of the threads leave the plan alone, so that what somebody
// will read in a moment does not queue behind what nobody may ever read.
//
// Locks: the state's is never held while a layer's is taken by a reader, nor over I/O.
#include "remote_layer.hpp"

#include <shale/codec.hpp>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <thread>

namespace shale::lazy {

namespace {

constexpr unsigned kWorkers = 4, kPlanWorkers = 2;
// So many in a row, and the plan is given up: the registry is down, or not what it was.
constexpr unsigned kMostFailures = 3;

struct Promise {
    Digest digest;
    std::uint64_t bytes = 0;
};

// What the manifest says about the layer's tail; nothing if it says nothing usable.
std::optional<Promise> promised_tail(const oci::Descriptor& layer) {
    const auto digest = layer.annotations.find(std::string(layer::kAnnotationTocDigest));
    const auto bytes = layer.annotations.find(std::string(layer::kAnnotationTocBytes));
    if (digest == layer.annotations.end() || bytes == layer.annotations.end()) return std::nullopt;
    Promise out;
    const auto& text = bytes->second;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out.bytes);
    if (error != std::errc() || end != text.data() + text.size() || out.bytes == 0 ||
        out.bytes > layer.size || out.bytes > layer::kMaxTocBytes)
        return std::nullopt;
    out.digest = Digest::parse(digest->second);
    return out;
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
    void fetch(const oci::Descriptor& layer, std::uint64_t offset, MutableBytes out);
    void read_frame(RemoteLayer& layer, std::uint64_t offset, MutableBytes out);

    struct Job {
        RemoteLayer* layer = nullptr;
        Run run;
    };
    void fetch_run(const Job& job);
    void start_workers();
    void work(bool takes_plan);
    std::optional<Job> next_of_plan();  // under the mutex
    void end_part_of_plan(std::exception_ptr failure);

    const Fetch fetch_bytes;
    oci::BlobSource& local;
    const std::string directory;
    std::map<Digest, std::unique_ptr<RemoteLayer>> layers;

    mutable std::mutex mutex;  // guards what follows
    std::condition_variable wake;
    Stats stats;
    bool is_over = false;
    std::deque<Job> ahead;
    std::vector<Place> plan;
    std::size_t planned = 0;  // of the plan, what is done or under way
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

void RemoteBlobs::State::fetch(const oci::Descriptor& layer, std::uint64_t offset,
                               MutableBytes out) {
    {
        const std::lock_guard lock(mutex);
        ++stats.requests;
        stats.bytes += out.size();
    }
    fetch_bytes(layer, offset, out);
}

// Keeps what is good of it, whatever the rest is.
void RemoteBlobs::State::fetch_run(const Job& job) {
    auto& layer = *job.layer;
    std::vector<std::byte> bytes;
    try {
        bytes.resize(layer.bytes(job.run));
        fetch(layer.descriptor(), layer.offset(job.run.first), bytes);
    } catch (...) {
        layer.give_up(job.run);
        throw;
    }
    std::exception_ptr failure;
    const auto begin = layer.offset(job.run.first);
    for (std::size_t i = job.run.first; i < job.run.first + job.run.count; ++i)
        try {
            layer.put(i, Bytes(bytes).subspan(layer.offset(i) - begin, layer.bytes(i)));
        } catch (...) {
            layer.give_up({i, 1});
            failure = std::current_exception();
        }
    if (failure) std::rethrow_exception(failure);
}

void RemoteBlobs::State::read_frame(RemoteLayer& layer, std::uint64_t offset, MutableBytes out) {
    const auto frame = layer.find(offset);
    if (!frame || layer.bytes(*frame) != out.size())
        fail(ErrorKind::Corrupt, "no frame of the table of contents begins there");
    const auto turn = layer.take(*frame);
    if (turn.ahead) {
        const std::lock_guard lock(mutex);
        ahead.push_back({&layer, *turn.ahead});
        start_workers();
        wake.notify_all();
    }
    if (turn.is_here) return layer.read(*frame, out);
    try {
        fetch(layer.descriptor(), offset, out);
        layer.put(*frame, out);
    } catch (...) {
        layer.give_up({*frame, 1});
        throw;
    }
}

void RemoteBlobs::State::start_workers() {
    while (workers.size() < kWorkers)
        workers.emplace_back(
            [this, takes_plan = workers.size() < kPlanWorkers] { work(takes_plan); });
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
        lock.unlock();
        std::exception_ptr failure;
        try {
            if (job) fetch_run(*job);
        } catch (...) {  // who reads it will try again, and learn why not
            failure = std::current_exception();
        }
        if (!is_ahead) end_part_of_plan(failure);
        lock.lock();
    }
}

// Neighbours that stand behind each other in the plan, too.
std::optional<RemoteBlobs::State::Job> RemoteBlobs::State::next_of_plan() {
    for (; planned < plan.size(); ++planned) {
        auto* const layer = find(plan[planned].blob);
        const auto first = layer ? layer->find(plan[planned].offset) : std::nullopt;
        if (!first || !layer->claim(*first)) continue;
        Job job{layer, {*first, 1}};
        for (++planned; planned < plan.size(); ++planned) {
            const auto next = *first + job.run.count;
            if (plan[planned].blob != layer->descriptor().digest || !layer->follows(next) ||
                plan[planned].offset != layer->offset(next) ||
                layer->bytes({*first, job.run.count + 1}) > RemoteLayer::kMostRunBytes ||
                !layer->claim(next))
                break;
            ++job.run.count;
        }
        return job;
    }
    return std::nullopt;
}

void RemoteBlobs::State::end_part_of_plan(std::exception_ptr failure) {
    std::function<void(std::exception_ptr)> tell;
    {
        const std::lock_guard lock(mutex);
        --under_way;
        failures = failure ? failures + 1 : 0;
        if (failure) plan_failure = failure;
        if (failures >= kMostFailures) planned = plan.size();
        if (planned == plan.size() && under_way == 0) tell = std::exchange(plan_done, nullptr);
        failure = plan_failure;
    }
    if (tell) tell(failure);
}

RemoteBlobs::RemoteBlobs(Fetch fetch, oci::BlobSource& local, std::string directory)
    : state_(std::make_unique<State>(std::move(fetch), local, std::move(directory))) {}

RemoteBlobs::~RemoteBlobs() = default;

std::shared_ptr<const layer::Toc> RemoteBlobs::add(const oci::Descriptor& layer) {
    const auto promise = promised_tail(layer);
    if (!promise) return nullptr;
    std::string tail(promise->bytes, '\0');
    state_->fetch(layer, layer.size - tail.size(), std::as_writable_bytes(std::span(tail)));
    if (codec::sha256(tail) != promise->digest)
        fail(ErrorKind::Corrupt, "layer " + layer.digest.str() +
                                     ": its table of contents is not the one that the manifest "
                                     "states, " +
                                     promise->digest.str());
    const auto at =
        state_->layers
            .insert_or_assign(layer.digest, std::make_unique<RemoteLayer>(layer, std::move(tail)))
            .first;
    auto toc = layer::read_toc(*this, layer.digest);
    const auto is_unnamed = [](const layer::Frame& frame) { return frame.blob_digest.is_zero(); };
    if (!toc || std::any_of(toc->frames.begin(), toc->frames.end(), is_unnamed)) {
        state_->layers.erase(at);
        return nullptr;
    }
    at->second->set_frames(toc->frames, anonymous_file(state_->directory));
    return std::make_shared<const layer::Toc>(std::move(*toc));
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

std::vector<RemoteBlobs::Place> frames_of(const layer::ContentIndex& index,
                                          std::span<const Digest> contents) {
    std::vector<RemoteBlobs::Place> places;
    std::map<Digest, std::unordered_set<std::uint64_t>> taken;
    for (const auto& content : contents) {
        const auto place = index.find(content);
        if (!place || place->range.size == 0) continue;
        const auto& frames = place->layer->frames().frames;
        auto frame = std::upper_bound(
            frames.begin(), frames.end(), place->range.tar_offset,
            [](std::uint64_t at, const layer::Frame& f) { return at < f.tar_offset; });
        const auto end = place->range.tar_offset + place->range.size;
        for (frame -= frame == frames.begin() ? 0 : 1;
             frame != frames.end() && frame->tar_offset < end; ++frame)
            if (taken[place->blob].insert(frame->blob_offset).second)
                places.push_back({place->blob, frame->blob_offset});
    }
    return places;
}

}  // namespace shale::lazy
