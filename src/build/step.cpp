// The cache holds a record under a step's definition key and under its content key (and some under
// a third, by which nobody takes a result: Executed::likeness_key). A hit by
// content key came from a different parent whose tree was equal except for times; then the layer
// recorded is laid over the parent at hand, so that tree and layers of this build stay consistent.
#include "step.hpp"

#include "file_changes.hpp"
#include "key.hpp"
#include "step_lock.hpp"

#include <shale/diff.hpp>
#include <shale/frame_index.hpp>

#include <algorithm>
#include <chrono>
#include <future>

namespace shale::build {
namespace {

using store::StepRecord;

struct Found {
    StepRecord record;
    bool by_content = false;
    std::optional<ImportedStep> imported{};  // the record is a cache's
};

std::optional<Found> look_up(Session& session, const Step& step, const Digest& definition_key,
                             VertexId vertex, std::optional<Digest>& content_key) {
    auto& store = session.services.store;
    const auto& imports = session.shared.imports;
    if (step.use_cache) {
        if (auto record = store.find_step(definition_key)) return Found{*record, false};
        if (auto known = imports.find(definition_key)) return Found{known->record, false, known};
    }
    if (!step.content_key) return std::nullopt;
    if (!content_key) {
        RecordedInputs contents;
        content_key = step.content_key(&contents);
        session.shared.recorder.update_step(
            vertex, [&](RecordedStep& record) { record.contents = std::move(contents); });
    }
    if (step.use_cache) {
        if (auto record = store.find_step(*content_key)) return Found{*record, true};
        // Without a layer there is nothing to lay over the parent at hand.
        if (auto known = imports.find(*content_key); known && known->layer)
            return Found{known->record, true, known};
    }
    return std::nullopt;
}

// Fetches the layer of a record that was found by content. False if it cannot be had: then the step
// is executed, as nothing else depends on that record yet.
bool fetch_layer(Session& session, Found& found) {
    auto& imports = session.shared.imports;
    try {
        const auto layer = imports.fetch(*found.imported);
        found.record.layer = layer.descriptor;
        found.record.diff_id = layer.diff_id;
        return true;
    } catch (const Error& error) {
        if (error.kind() == ErrorKind::Cancelled) throw;
        imports.give_up(found.imported->cache, error.what());
        return false;
    }
}

// The root after a step that only a cache knows: its layer, fetched now, over the parent. From then
// on the store knows the step.
LoadedRoot load_imported(Session& session, Root& parent, const Digest& definition_key,
                         const ImportedStep& step) {
    auto& store = session.services.store;
    auto& imports = session.shared.imports;
    if (const auto known = store.find_step(definition_key);
        known && known->tree == step.record.tree)
        return {store.tree(known->tree), known->sources};
    if (!step.layer) {
        imports.forget(definition_key);
        parent.load();  // so that all steps that have to be made again are found out at once
        fail(ErrorKind::NotFound, "no layer of " + step.record.name);
    }
    const auto& base = parent.load();
    try {
        auto record = step.record;
        const auto layer = imports.fetch(step);
        auto tree = std::make_shared<snapshot::Tree>(
            layer::merge(*base.tree, *store.toc(layer.descriptor, layer.diff_id)));
        if (tree->digest() != record.tree)
            fail(ErrorKind::Corrupt, "layer " + layer.descriptor.digest.str() +
                                         " does not give the tree " + record.tree.str());
        record.tree = store.put_tree(*tree);
        record.sources = merge_sources(base.sources, {layer.descriptor.digest});
        record.layer = layer.descriptor;
        record.diff_id = layer.diff_id;
        // Under the key that was computed here only. The content key is the cache's word: it is
        // handed on with the cache, and another step that has this key must not get this one's
        // result.
        store.put_step(definition_key, record);
        return {std::move(tree), record.sources};
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::Cancelled) imports.give_up(step.cache, error.what());
        throw;
    }
}

// Lays a recorded layer over this build's parent. nullopt if the record holds no layer: such a step
// is an edit of trees and is simply done again.
std::optional<StepRecord> rebase(Session& session, Root& parent, StepRecord record) {
    if (!record.layer) return std::nullopt;
    auto& store = session.services.store;
    const auto& base = parent.load();
    const auto tree = layer::merge(*base.tree, *store.toc(*record.layer, record.diff_id));
    record.tree = store.put_tree(tree);
    record.sources = merge_sources(base.sources, {record.layer->digest});
    return record;
}

StepRecord record_of(Session& session, const Executed& executed, const std::string& name) {
    StepRecord record;
    record.tree = session.services.store.put_tree(*executed.tree);
    record.sources = executed.sources;
    record.layer = executed.layer;
    record.diff_id = executed.diff_id;
    record.created_ns = session.services.clock.now_ns();
    record.name = name;
    return record;
}

std::shared_ptr<LayerSlot> slot_of(const std::shared_ptr<Root>& parent, const Digest& key,
                                   const StepRecord& record) {
    auto slot = std::make_shared<LayerSlot>();
    slot->blob = record.layer;
    if (record.diff_id) slot->diff_id = *record.diff_id;
    slot->created_ns = record.created_ns;
    slot->before = parent;
    slot->record_key = key;
    slot->record = record;
    return slot;
}

// What was made, not only what should have been: one definition gives another tree when it is run
// again (--no-cache, a lost record, two builds at once), and a child must not find what was made
// from the earlier one.
Digest root_key(const Digest& definition_key, const Digest& tree) {
    return Key("made").add("by", definition_key).add("tree", tree).finish();
}

StepResult imported_result(Session& session, const std::shared_ptr<Root>& parent,
                           const Digest& definition_key, const ImportedStep& step) {
    auto slot = slot_of(parent, definition_key, step.record);
    slot->blob = CacheImports::known_layer(step);
    if (step.layer) slot->diff_id = step.layer->diff_id;
    slot->imported = step;
    slot->after = std::make_shared<Root>(
        root_key(definition_key, step.record.tree),
        [&session, parent, definition_key, step] {
            return load_imported(session, *parent, definition_key, step);
        },
        [] { return false; });
    return {slot->after, slot};
}

// `tree` is set if the step's tree is in memory anyway.
StepResult result_of(Session& session, const std::shared_ptr<Root>& parent,
                     const Digest& definition_key, const StepRecord& record,
                     std::shared_ptr<const snapshot::Tree> tree) {
    auto& store = session.services.store;
    const auto slot = slot_of(parent, definition_key, record);
    const auto key = root_key(definition_key, record.tree);
    if (tree)
        slot->after = std::make_shared<Root>(key, LoadedRoot{std::move(tree), record.sources});
    else
        slot->after = std::make_shared<Root>(key, [&store, record] {
            return LoadedRoot{store.tree(record.tree), record.sources};
        });
    return {slot->after, slot};
}

struct Made {
    StepResult result;
    bool from_cache = false;
};

// What came of a step, for the record of the build.
void note_result(Session& session, VertexId vertex, const StepResult& result, bool by_content) {
    session.shared.recorder.update_step(vertex, [&](RecordedStep& record) {
        const auto& made = result.layer->record;
        record.by_content = by_content;
        record.root = result.root->key();
        record.tree = made.tree;
        record.cost_ms = made.cost_ms;
        if (!made.layer) return;
        record.layer = made.layer->digest;
        record.layer_bytes = made.layer->size;
    });
}

// One step on its way from its definition key to a result.
class StepMaker {
  public:
    StepMaker(Session& session, const std::shared_ptr<Root>& parent, const Step& step,
              const Digest& definition_key, VertexId vertex)
        : session_(session), parent_(parent), step_(step), definition_key_(definition_key),
          vertex_(vertex) {}

    Made make() {
        if (auto made = from_cache()) return std::move(*made);
        std::optional<StepLock> alone;
        if (step_.use_cache) {
            alone.emplace(
                session_.services.store, definition_key_, [this] { tell_of_waiting(); },
                session_.stop);
            if (auto made = from_cache()) return std::move(*made);  // of another build
        }
        return execute();
    }

  private:
    std::optional<Made> from_cache() {
        found_ = look_up(session_, step_, definition_key_, vertex_, content_key_);
        if (found_ && found_->imported && !found_->by_content) {
            auto made = imported_result(session_, parent_, definition_key_, *found_->imported);
            note_result(session_, vertex_, made, false);
            return Made{std::move(made), true};
        }
        if (found_ && found_->imported && !fetch_layer(session_, *found_)) found_.reset();
        if (!found_) return std::nullopt;
        auto record =
            found_->by_content ? rebase(session_, *parent_, found_->record) : found_->record;
        if (!record) return std::nullopt;
        if (found_->by_content) {
            record->content_key = content_key_;
            session_.services.store.put_step(definition_key_, *record);
        }
        if (is_to_be_verified()) verify(*record);
        auto result = result_of(session_, parent_, definition_key_, *record, nullptr);
        note_result(session_, vertex_, result, found_->by_content);
        return Made{std::move(result), true};
    }

    Made execute() {
        if (session_.request.explain && !found_) say(session_.shared.misses.line(vertex_));
        const auto job = begin();
        const auto began = std::chrono::steady_clock::now();
        const auto executed = step_.execute(vertex_);
        if (parent_->is_at_hand())
            session_.shared.live_roots.note_edit(parent_->load().tree, *executed.tree);
        auto record = record_of(session_, executed, step_.name);
        record.cost_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                             std::chrono::steady_clock::now() - began)
                             .count();
        if (found_) {  // an edit of trees done again: the same step, so the same moment
            record.created_ns = found_->record.created_ns;
            record.cost_ms = std::max(record.cost_ms, found_->record.cost_ms);
        }
        auto& store = session_.services.store;
        record.content_key = content_key_;
        store.put_step(definition_key_, record);
        if (content_key_) store.put_step(*content_key_, record);
        if (executed.likeness_key) store.put_step(*executed.likeness_key, record);
        auto result = result_of(session_, parent_, definition_key_, record, executed.tree);
        note_result(session_, vertex_, result, false);
        return {std::move(result), found_.has_value()};
    }

    // What has to be waited for comes before the job, so that others can use that meanwhile.
    Job begin() {
        if (step_.prepare) step_.prepare(vertex_);
        auto job = session_.shared.jobs.take(step_.memory, session_.stop);
        session_.check_stop();
        return job;
    }

    // Another sample in every build.
    bool is_to_be_verified() const {
        const auto percent = session_.request.verify_percent;
        if (!percent) return false;
        const auto sample =
            Key("verify")
                .add("key", definition_key_)
                .add("at", static_cast<std::uint64_t>(session_.services.clock.now_ns()))
                .finish();
        return (sample.bytes[0] << 8 | sample.bytes[1]) % 100 < static_cast<int>(*percent);
    }

    // Executes what is cached; what comes of it is compared and thrown away.
    void verify(const StepRecord& record) {
        const auto job = begin();
        const auto cached = session_.services.store.tree(record.tree);
        const auto executed = step_.execute(vertex_);
        ++session_.shared.verified;
        if (executed.tree->key_digest(snapshot::kRoot) == cached->key_digest(snapshot::kRoot))
            return;
        ++session_.shared.differing;
        constexpr std::size_t kMostShown = 20;
        std::size_t shown = 0;
        const auto changes = file_changes(*cached, *executed.tree, {});
        for (const auto& change : changes)
            if (++shown <= kMostShown)
                say("differs from the cache: /" + change.path + ": " + change.detail);
        if (shown > kMostShown)
            say("differs from the cache: " + std::to_string(shown - kMostShown) + " more files");
        session_.tracker.progress().warning(
            step_.name + ": executed again, " + std::to_string(changes.size()) +
            (changes.size() == 1 ? " file differs" : " files differ") + " from what is cached");
    }

    void tell_of_waiting() { say("another build is at this step; waiting for it"); }
    void say(const std::string& line) {
        session_.tracker.progress().output(vertex_, sandbox::OutputStream::Stderr, line + "\n");
    }

    Session& session_;
    const std::shared_ptr<Root>& parent_;
    const Step& step_;
    const Digest definition_key_;
    const VertexId vertex_;
    std::optional<Digest> content_key_;
    std::optional<Found> found_;
};

}  // namespace

std::vector<Digest> merge_sources(std::vector<Digest> sources, const std::vector<Digest>& more) {
    for (const auto& digest : more)
        if (std::find(sources.begin(), sources.end(), digest) == sources.end())
            sources.push_back(digest);
    return sources;
}

StepResult run_step(Session& session, const std::shared_ptr<Root>& parent, const Step& step) {
    session.check_stop();
    auto& shared = session.shared;
    RecordedStep recorded;
    std::exception_ptr no_key;
    try {
        recorded.key = step.definition_key(&recorded.inputs);
    } catch (...) {  // shown as the failure of the step
        no_key = std::current_exception();
    }
    const Digest definition_key = recorded.key;
    recorded.name = step.name;
    recorded.may_use_cache = step.use_cache;
    if (step.describe) step.describe(recorded);
    const auto work = definition_key.hex() + (step.use_cache ? "" : " anew");
    const auto show = [&] {
        ++shared.steps;
        StepResult result;
        // A base that has to be there for the step is shown before it.
        const bool is_known =
            step.use_cache && (session.services.store.find_step(definition_key).has_value() ||
                               session.shared.imports.find(definition_key).has_value());
        if (!no_key && !is_known) parent->load();
        session.tracker.run(step.name, [&](VertexId vertex) {
            shared.recorder.add_step(vertex, recorded);
            if (no_key) std::rethrow_exception(no_key);
            bool from_cache = true;
            const auto make = [&] {
                auto made = StepMaker(session, parent, step, definition_key, vertex).make();
                from_cache = made.from_cache;
                return made.result;
            };
            const auto made = shared.results.get(work, make);
            result = made.first;
            if (!made.second) note_result(session, vertex, result, false);
            shared.cached_steps += from_cache ? 1 : 0;
            return from_cache ? Outcome::Cached : Outcome::Done;
        });
        return result;
    };
    if (no_key) return show();
    auto result = shared.shown.get(work + " " + step.name, show).first;
    session.steps.add(result.layer);
    return result;
}

StoredLayer store_layer(Session& session, const snapshot::Tree& before, const snapshot::Tree& after,
                        const std::vector<Digest>& sources, const layer::OpenContent& content) {
    auto& store = session.services.store;
    // The step's record will want it, and the next step the digests that its content key is made
    // of, which stay with the tree. Of a million entries both take a while.
    auto tree = std::async(std::launch::async, [&] {
        store.put_tree(after);
        after.key_digest(snapshot::kRoot);
    });
    auto stored = store_layer(store, before, after, sources, content, session.stop);
    tree.get();
    session.shared.recorder.note_work(stored);
    return stored;
}

StoredLayer store_layer(store::Store& store, const snapshot::Tree& before,
                        const snapshot::Tree& after, const std::vector<Digest>& sources,
                        const layer::OpenContent& content, const std::stop_token& stop) {
    layer::ContentReader reader(store.content_index(sources), store.framed());
    const layer::OpenContent open = [&](std::string_view path, const snapshot::Entry& entry) {
        if (!content || reader.index().find(entry.content)) return reader.open(entry.content);
        return content(path, entry);
    };
    const auto changes = diff::compare(before, after, {.whole_subtrees = true});
    store::FrameIndex frames(store);
    layer::WriteOptions options;
    options.keep_entries = false;
    std::optional<store::BlobWriter> writer;
    const auto write = [&](layer::FrameStore* reusable) {
        writer.emplace(store.new_blob(store::Store::Hashing::ByCaller));
        return layer::rewrite_layer(changes, after, open, options, reusable, [&](Bytes bytes) {
            check_stop(stop);
            writer->write(bytes);
        });
    };
    layer::Rewritten rewritten;
    try {
        rewritten = write(&frames);
    } catch (const layer::DamagedFrame& error) {
        log(LogLevel::Warn, std::string(error.what()) + "; the layer is made without old frames");
        rewritten = write(nullptr);
    }
    const layer::Written& written = rewritten.written;
    auto contents = std::async(std::launch::async,
                               [&] { store.put_contents(written.blob, rewritten.contents); });
    writer->commit(written.blob);
    constexpr std::int64_t kNsPerDay = 86'400'000'000'000;
    frames.put(rewritten.frames, rewritten.sections, system_clock().now_ns() / kNsPerDay);
    contents.get();
    oci::Descriptor descriptor;
    descriptor.media_type = oci::layer_media_type(oci::Compression::Zstd);
    descriptor.digest = written.blob;
    descriptor.size = written.blob_bytes;
    return {descriptor, written.diff_id, written.toc.tar_bytes, rewritten.stats.bytes_compressed};
}

namespace {

// The root is loaded with it, so that the store knows the step from now on.
void take_imported(Session& session, LayerSlot& slot) {
    slot.record.sources = slot.after->load().sources;
    const auto layer = session.shared.imports.fetch(*slot.imported);
    slot.blob = slot.record.layer = layer.descriptor;
    slot.record.diff_id = layer.diff_id;
    slot.imported.reset();
}

}  // namespace

void ensure_layer(Session& session, LayerSlot& slot) {
    const std::lock_guard lock(slot.making);
    if (slot.imported) return take_imported(session, slot);
    if (slot.blob) return;
    const auto& before = slot.before->load();
    const auto& after = slot.after->load();
    const auto stored = store_layer(session, *before.tree, *after.tree, after.sources, nullptr);
    slot.blob = stored.descriptor;
    slot.diff_id = stored.diff_id;
    slot.record.layer = stored.descriptor;
    slot.record.diff_id = stored.diff_id;
    // From now on the step stands on its own layer instead of the layers it copied from.
    slot.record.sources = merge_sources(before.sources, {stored.descriptor.digest});
    session.services.store.put_step(slot.record_key, slot.record);
    session.shared.recorder.note_layer(slot.record_key, stored.descriptor);
}

}  // namespace shale::build
