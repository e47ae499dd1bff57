// COPY and ADD. The plan of a copy is made first (what is selected from where, and how it is put);
// from it follow both cache keys, and, only on a miss, the edit itself.
#include "archive.hpp"
#include "dispatch.hpp"
#include "missing_operand.hpp"
#include "remote_add.hpp"
#include "run_title.hpp"
#include "sources.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <unordered_map>

namespace shale::build {
namespace {

using snapshot::NodeId;

// A tree and where its contents are: a directory on disk (the build context, or here-documents
// written out), or layers of the store (another stage, or something that was fetched).
struct DirectorySource {
    const snapshot::Tree* tree = nullptr;
    std::string directory;  // empty if they are in layers
    std::vector<Digest> layers;
};

// Opens contents of one or several directory sources by digest, as store_layer asks for them. Safe
// from one thread.
class DirectoryContents {
  public:
    void add(const DirectorySource& source, const std::vector<Selected>& selection) {
        auto& open = openers_[source.directory];
        if (!open) open = layer::content_from_directory(source.directory);
        for (const auto& selected : selection) {
            const Place place{&open, source.tree, selected.node};
            if (source.tree->entry(selected.node).type == FileType::Directory)
                directories_.push_back(place);
            else
                add_file(place);
        }
    }
    layer::OpenContent opener() {
        return [this](std::string_view path, const snapshot::Entry& entry) -> codec::Source {
            // Nothing to read; a socket, too, is copied as an empty file.
            if (entry.size == 0) return [](MutableBytes) { return std::size_t{0}; };
            const auto place = find(path, entry.content);
            return in_context([&] { return "/" + std::string(path); },
                              [&] { return (*place.open)(place.tree->path(place.node), entry); });
        };
    }

  private:
    // A file, or all files of a directory.
    struct Place {
        const layer::OpenContent* open;
        const snapshot::Tree* tree;
        NodeId node;
    };
    // Copies mostly keep the names below the directory that was copied. A layer that is made again
    // asks for few files of many; a table of all of them would cost more than all the rest.
    static constexpr std::size_t kTriedByName = 8;  // directories

    Place find(std::string_view path, const Digest& content) {
        if (const auto known = places_.find(content); known != places_.end()) return known->second;
        if (!is_filled_ && directories_.size() <= kTriedByName)
            if (const auto place = find_by_name(path, content)) return *place;
        fill();
        const auto place = places_.find(content);
        SHALE_ENSURE(place != places_.end());
        return place->second;
    }
    std::optional<Place> find_by_name(std::string_view path, const Digest& content) const {
        for (const Place& directory : directories_) {
            const std::string top = directory.tree->path(directory.node);
            for (std::string_view rest = path; !rest.empty();) {
                const NodeId node = directory.tree->find(join_path(top, rest));
                if (node != snapshot::kNoNode && directory.tree->entry(node).content == content)
                    return Place{directory.open, directory.tree, node};
                const auto slash = rest.find('/');
                rest.remove_prefix(slash == std::string_view::npos ? rest.size() : slash + 1);
            }
        }
        return std::nullopt;
    }
    void fill() {
        if (std::exchange(is_filled_, true)) return;
        for (const Place& directory : directories_)
            for (NodeId node = directory.node; node < directory.tree->end(directory.node); ++node)
                add_file({directory.open, directory.tree, node});
    }
    void add_file(const Place& place) {
        const auto entry = place.tree->entry(place.node);
        if (entry.type == FileType::Regular) places_.try_emplace(entry.content, place);
    }

    std::map<std::string, layer::OpenContent> openers_;  // each keeps a directory open
    std::vector<Place> directories_;
    bool is_filled_ = false;  // places_ has all files of the directories
    std::unordered_map<Digest, Place, DigestHash> places_;
};

// One instruction, expanded.
struct CopyPlan {
    const dockerfile::Copy* instruction = nullptr;
    std::vector<std::string> sources;
    std::map<std::size_t, RemoteOperand> remotes;  // by index in `sources`
    std::string destination;                       // as written, expanded
    std::string chown, chmod;
    bool is_independent = false;  // a layer of its own, made in an empty root and laid over
    CopyOptions options;          // owner filled in once the parent is loaded
    // Here-documents, written to a directory of their own.
    std::unique_ptr<TempDir> heredoc_directory;
    std::unique_ptr<snapshot::Tree> heredoc_tree;

    bool needs_main() const { return remotes.size() < sources.size(); }
};

std::string history_text(const CopyPlan& plan) {
    std::string text = plan.instruction->is_add ? "ADD " : "COPY ";
    if (plan.instruction->parents) text += "--parents ";
    if (!plan.chown.empty()) text += "--chown=" + plan.chown + " ";
    if (!plan.chmod.empty()) text += "--chmod=" + plan.chmod + " ";
    for (const auto& source : plan.sources)
        text += source + " ";
    for (const auto& heredoc : plan.instruction->heredocs)
        text += "<<" + heredoc.name + " ";
    return text + plan.destination + " # buildkit";
}

// Everything the copy does apart from where it starts and what it reads.
void add_definition(Key& key, const CopyPlan& plan) {
    key.add("add", static_cast<std::uint64_t>(plan.instruction->is_add));
    key.add("unpack", static_cast<std::uint64_t>(plan.instruction->unpack.value_or(true)));
    key.add("destination", plan.options.destination);
    key.add("chown", plan.chown).add("chmod", plan.chmod);
    key.add_all("excludes", plan.instruction->excludes);
    key.add("parents", static_cast<std::uint64_t>(plan.instruction->parents));
    key.add("independent", static_cast<std::uint64_t>(plan.is_independent));
}

void write_heredocs(CopyPlan& plan, const dockerfile::Lookup& lookup, store::Store& store) {
    if (plan.instruction->heredocs.empty()) return;
    plan.heredoc_directory = std::make_unique<TempDir>(store.scratch("heredoc-"));
    for (const auto& heredoc : plan.instruction->heredocs) {
        const auto body =
            heredoc.expand ? dockerfile::expand_heredoc(heredoc.body, lookup) : heredoc.body;
        if (heredoc.name.empty() || heredoc.name.find('/') != std::string::npos)
            fail(ErrorKind::Invalid, "invalid here-document name \"" + heredoc.name + "\"");
        write_file_atomic(join_path(plan.heredoc_directory->path(), heredoc.name), as_bytes(body));
    }
    snapshot::ScanOptions options;
    options.zero_owner = true;
    plan.heredoc_tree =
        std::make_unique<snapshot::Tree>(snapshot::scan(plan.heredoc_directory->path(), options));
}

// Sources of one tree: operands and what each matched.
struct Selection {
    DirectorySource directory;
    std::vector<std::vector<Selected>> operands;
    bool unpack = false;  // archives of an ADD
};

Selection select_remote(const RemoteOperand& remote) {
    const auto& loaded = remote.source.root->load();
    Selection selection{{loaded.tree.get(), {}, loaded.sources}, {}, remote.unpack};
    if (remote.path.empty()) {
        selection.operands.push_back(select(*loaded.tree, "/"));
    } else {  // as it is: a URL may end in characters that would be a pattern
        Selected file;
        file.node = loaded.tree->find(remote.path);
        file.name = file.path = remote.path;
        selection.operands.push_back({std::move(file)});
    }
    return selection;
}

std::vector<Selected> select_from(const DirectorySource& source, const std::string& operand,
                                  bool parents) {
    try {
        return parents ? select_with_parents(*source.tree, operand) : select(*source.tree, operand);
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::NotFound) throw;
        fail(ErrorKind::NotFound,
             error.what() + hint_for_missing(operand, *source.tree, source.directory));
    }
}

// In the order of the instruction, here-documents last. `main` is asked for only if something is to
// be selected from it.
std::vector<Selection> select_all(const CopyPlan& plan,
                                  const std::function<DirectorySource()>& main) {
    const bool unpack = plan.instruction->is_add && plan.instruction->unpack.value_or(true);
    std::vector<Selection> selections;
    bool last_is_main = false;
    for (std::size_t i = 0; i < plan.sources.size(); ++i) {
        if (const auto remote = plan.remotes.find(i); remote != plan.remotes.end()) {
            selections.push_back(select_remote(remote->second));
            last_is_main = false;
            continue;
        }
        if (!last_is_main) selections.push_back({main(), {}, unpack});
        last_is_main = true;
        auto operand =
            select_from(selections.back().directory, plan.sources[i], plan.instruction->parents);
        std::erase_if(operand, [&](const Selected& selected) {
            return is_excluded_operand(selected, plan.options);
        });
        selections.back().operands.push_back(std::move(operand));
    }
    if (plan.heredoc_tree) {
        Selection documents{{plan.heredoc_tree.get(), plan.heredoc_directory->path(), {}}, {}};
        for (const auto& heredoc : plan.instruction->heredocs)
            documents.operands.push_back(select(*plan.heredoc_tree, "/" + heredoc.name));
        selections.push_back(std::move(documents));
    }
    return selections;
}

OpenBytes bytes_of(const DirectorySource& source, NodeId node, store::Store& store) {
    if (source.directory.empty())
        return bytes_of_content(store, source.layers, source.tree->entry(node).content);
    return bytes_of_file(join_path(source.directory, source.tree->path(node)));
}

// The edit. Archives of ADD become sources of their own, noted in `archives`. `past` is what the
// same instruction gave before; null if it is not known.
snapshot::Tree edit(const CopyPlan& plan, const snapshot::Tree& parent,
                    const std::vector<Selection>& selections, store::Store& store,
                    const snapshot::Tree* past, std::vector<Digest>& archives) {
    snapshot::TreeBuilder builder(parent);
    builder.use_whole_seconds();
    if (past) builder.expect_like(*past);
    std::uint64_t group_base = 1u << 20;  // beyond every group of the parent after << 32
    for (const auto& selection : selections)
        for (const auto& operand : selection.operands) {
            std::vector<Selected> plain;
            for (const auto& selected : operand) {
                const auto entry = selection.directory.tree->entry(selected.node);
                const auto open = bytes_of(selection.directory, selected.node, store);
                if (!selection.unpack || entry.type != FileType::Regular || !is_archive(open)) {
                    plain.push_back(selected);
                    continue;
                }
                const auto archive = index_archive(store, open, selected.path, entry.content);
                archives.push_back(archive.blob);
                expand_archive(builder, *archive.toc, plan.options, ++group_base);
            }
            copy_into(builder, *selection.directory.tree, plain, plan.options, ++group_base);
        }
    if (plan.is_independent) builder.put("", {});  // the root itself is the lower layers' business
    return builder.finish();
}

// A directory is read where it lies, everything else through its root.
CopySource source_of(Session& session, Context& context, const std::string& name = "context") {
    auto root = context.remote_root();
    if (!root) return {nullptr, &context, name};
    note_source(session, *root, context.name());
    return {std::move(root), nullptr, {}};
}

StepFact fact_of(const CopyPlan& plan, Root& parent, const CopySource& from) {
    StepFact fact;
    fact.inputs.push_back(parent.key());
    if (from.root) fact.inputs.push_back(from.root->key());
    if (from.directory) fact.inputs.push_back(Facts::local_key(from.name));
    for (const auto& [index, remote] : plan.remotes)
        fact.inputs.push_back(remote.source.root->key());
    return fact;
}

// There is nothing to look a name up in; "root" is 0 everywhere.
void check_independent_owner(const dockerfile::Copy& copy, const std::string& chown) {
    for (const auto& name :
         {chown.substr(0, chown.find(':')), chown.find(':') == std::string::npos
                                                ? std::string()
                                                : chown.substr(chown.find(':') + 1)}) {
        const bool is_number = std::all_of(name.begin(), name.end(),
                                           [](unsigned char c) { return c >= '0' && c <= '9'; });
        if (!is_number && name != "root")
            fail(ErrorKind::Invalid, std::string(copy.is_add ? "ADD" : "COPY") +
                                         " --link --chown=" + chown + ": \"" + name +
                                         "\" cannot be looked up, an independent layer has no "
                                         "/etc/passwd; use numbers");
    }
}

// `lower` with `upper` over it, merged only if somebody looks.
std::shared_ptr<Root> laid_over(Session& session, const std::shared_ptr<Root>& lower,
                                const std::shared_ptr<Root>& upper) {
    const auto key =
        Key("laid-over").add("lower", lower->key()).add("upper", upper->key()).finish();
    RecordedRoot recorded;
    recorded.kind = RecordedRoot::Kind::LaidOver;
    recorded.lower = lower->key();
    recorded.upper = upper->key();
    session.shared.recorder.note_root(key, recorded);
    return std::make_shared<Root>(
        key,
        [lower, upper] {
            const auto& below = lower->load();
            const auto& above = upper->load();
            snapshot::TreeBuilder builder(*below.tree);
            lay_over(builder, *above.tree);
            return LoadedRoot{std::make_shared<snapshot::Tree>(builder.finish()),
                              merge_sources(below.sources, above.sources)};
        },
        [lower, upper] { return lower->is_at_hand() && upper->is_at_hand(); });
}

// Trees with fewer are copied as quickly as compared.
constexpr std::size_t kManyNodes = 4096;

// One copy on its way through the cache.
class CopyStep {
  public:
    CopyStep(Session& session, std::unique_ptr<CopyPlan> plan, std::shared_ptr<Root> parent,
             CopySource from)
        : session_(session), plan_(std::move(plan)), parent_(std::move(parent)),
          from_(std::move(from.root)), directory_(from.directory) {}

    const CopyPlan& plan() const { return *plan_; }

    Digest definition_key(RecordedInputs* inputs) {
        Key key("copy2", inputs);
        key.add("parent", parent_->key());
        add_definition(key, *plan_);
        // What comes from a root is known by what made it; its contents are the content key's
        // business. What lies in files is known by its contents.
        if (from_ && plan_->needs_main())
            key.add("from", from_->key()).add_all("sources", plan_->sources);
        for (const auto& [index, remote] : plan_->remotes)
            key.add("at", static_cast<std::uint64_t>(index))
                .add("remote", remote.source.root->key())
                .add("path", remote.path)
                .add("unpack", static_cast<std::uint64_t>(remote.unpack));
        if (!from_ && plan_->needs_main()) add_contents(key, true);
        if (plan_->heredoc_tree)  // names and expanded bodies
            key.add("documents", plan_->heredoc_tree->key_digest(snapshot::kRoot));
        return key.finish();
    }

    Digest content_key(RecordedInputs* inputs) {
        Key key("copy2-content", inputs);
        key.add("parent", parent_->load().tree->key_digest(snapshot::kRoot));
        add_definition(key, *plan_);
        add_contents(key, false);
        return key.finish();
    }

    Executed execute() {
        const auto& loaded = parent_->load();
        resolve_owner(loaded);
        Executed executed;
        std::vector<Digest> archives;
        const bool is_large = is_worth_sharing(*loaded.tree);
        const auto past = is_large ? past_tree() : nullptr;
        executed.tree = std::make_shared<snapshot::Tree>(edit(
            *plan_, *loaded.tree, selections(), session_.services.store, past.get(), archives));
        if (is_large) executed.likeness_key = likeness_key();
        auto readable = merge_sources(loaded.sources, archives);
        DirectoryContents contents;
        bool has_files = false;
        for (const auto& selection : selections()) {
            readable = merge_sources(readable, selection.directory.layers);
            if (selection.directory.directory.empty()) continue;
            has_files = true;
            for (const auto& operand : selection.operands)
                contents.add(selection.directory, operand);
        }
        if (!has_files) {  // contents stay where they are
            executed.sources = std::move(readable);
            return executed;
        }
        const auto stored =
            store_layer(session_, *loaded.tree, *executed.tree, readable, contents.opener());
        executed.sources = merge_sources(loaded.sources, {stored.descriptor.digest});
        executed.layer = stored.descriptor;
        executed.diff_id = stored.diff_id;
        return executed;
    }

    // Which files it reads, so that another build's can be compared with them.
    void describe(RecordedStep& record) {
        FileSelection read;
        read.excludes = plan_->instruction->excludes;
        read.parents = plan_->instruction->parents;
        read.owner = plan_->chown.empty();
        read.mode = !(plan_->options.mode && plan_->options.mode->octal());
        for (std::size_t i = 0; i < plan_->sources.size(); ++i)
            if (!plan_->remotes.contains(i)) read.operands.push_back(plan_->sources[i]);
        if (read.operands.empty()) return;
        if (from_) {
            read.root = from_->key();
        } else {
            read.context = directory_->name();
            session_.shared.recorder.note_directory(*directory_);
        }
        record.files.push_back(std::move(read));
    }

  private:
    DirectorySource main_source() {
        if (!from_) return {&directory_->tree(), directory_->directory(), {}};
        const auto& loaded = from_->load();
        return {loaded.tree.get(), {}, loaded.sources};
    }
    // Made once, when the first key or the execution asks for it.
    const std::vector<Selection>& selections() {
        if (selections_.empty())
            selections_ =
                in_context([] { return std::string("failed to compute cache key"); },
                           [&] { return select_all(*plan_, [&] { return main_source(); }); });
        return selections_;
    }
    // The step whatever it finds in its sources.
    Digest likeness_key() const {
        Key key("copy-like");
        key.add("parent", parent_->key());
        add_definition(key, *plan_);
        key.add("from", plan_->instruction->from).add_all("sources", plan_->sources);
        if (directory_) key.add("directory", directory_->directory());  // another project's is not
        return key.finish();
    }
    bool is_worth_sharing(const snapshot::Tree& parent) {
        std::size_t nodes = parent.size();
        for (const auto& selection : selections())
            for (const auto& operand : selection.operands)
                for (const auto& selected : operand)
                    nodes += selection.directory.tree->end(selected.node) - selected.node;
        return nodes >= kManyNodes;
    }
    // What this step gave when it was last made. It only makes this one cheaper, so a tree that
    // cannot be read is no fault here.
    std::shared_ptr<const snapshot::Tree> past_tree() {
        auto& store = session_.services.store;
        try {
            const auto record = store.find_step(likeness_key());
            return record ? store.tree(record->tree) : nullptr;
        } catch (const Error& error) {
            log(LogLevel::Warn, std::string("an earlier result is not used: ") + error.what());
            return nullptr;
        }
    }
    void add_contents(Key& key, bool files_only) {
        CopyOptions options = plan_->options;
        if (!plan_->chown.empty()) options.owner = Owner{};  // whatever it is, not the source's
        for (const auto& selection : selections()) {
            if (files_only && selection.directory.directory.empty()) continue;
            key.add("unpack", static_cast<std::uint64_t>(selection.unpack));
            for (const auto& operand : selection.operands)
                add_to_key(key, *selection.directory.tree, operand, options);
        }
    }
    void resolve_owner(const LoadedRoot& loaded) {
        if (plan_->chown.empty()) return;
        auto& store = session_.services.store;
        layer::ContentReader contents(store.content_index(loaded.sources), store.framed());
        std::string unknown;
        plan_->options.owner = resolve_chown(*loaded.tree, contents, plan_->chown, &unknown);
        if (!unknown.empty())
            session_.tracker.progress().warning("--chown=" + plan_->chown + ": \"" + unknown +
                                                "\" is not in the image; using 0");
    }

    Session& session_;
    std::unique_ptr<CopyPlan> plan_;
    std::shared_ptr<Root> parent_, from_;
    Context* directory_;  // if from_ is null
    std::vector<Selection> selections_;
};

}  // namespace

CopySource Dispatcher::copy_source(const std::string& from) {
    if (from.empty()) {
        session_.note(session_.context, "context");
        return source_of(session_, session_.context);
    }
    const Base base = resolve_copy_from(session_.file, stage_index_, from, session_.contexts());
    if (const auto* named = std::get_if<ContextBase>(&base)) {
        auto& context = *session_.sources.context(*named);
        session_.note(context, named->name);
        return source_of(session_, context, named->name);
    }
    return {stages_.root_of(base), nullptr, {}};
}

void Dispatcher::operator()(const dockerfile::Copy& copy) {
    auto plan = std::make_unique<CopyPlan>();
    plan->instruction = &copy;
    for (const auto& source : copy.sources)
        plan->sources.push_back(expand(source));
    check_sources(copy, plan->sources);
    plan->destination = expand(copy.destination);
    plan->chown = expand(copy.chown);
    plan->chmod = expand(copy.chmod);
    plan->options.destination = absolute(plan->destination);
    const bool is_directory = copy.parents || names_directory(plan->destination);
    if (is_directory && !plan->options.destination.ends_with('/')) plan->options.destination += '/';
    if (!plan->chmod.empty()) plan->options.mode = ModeChange::parse(plan->chmod);
    plan->options.excludes = dockerfile::IgnoreMatcher::from_patterns(copy.excludes);
    plan->options.now_ns = session_.creation_ns();
    // With --chmod, the reference builder copies as without --link.
    plan->is_independent = copy.link && plan->chmod.empty();
    if (plan->is_independent) check_independent_owner(copy, plan->chown);
    write_heredocs(*plan, lookup_, session_.services.store);

    const auto checksum = expand(copy.checksum);
    for (std::size_t i = 0; i < plan->sources.size(); ++i)
        if (auto remote = fetch_operand(session_.sources, copy, plan->sources[i], checksum)) {
            session_.facts.add(*remote->source.material, remote->source.root->key());
            plan->remotes.emplace(i, std::move(*remote));
        }
    for (const auto& [index, remote] : plan->remotes)
        note_source(session_, *remote.source.root, plan->sources[index]);
    CopySource from;
    if (plan->needs_main()) from = copy_source(copy.from);
    if (from.directory) {
        from.directory->need(needed_paths(copy));
        from.directory->tree();  // a vertex of its own
    }
    const bool is_independent = plan->is_independent;
    const auto parent = is_independent ? empty_root() : state_.root;
    StepFact fact = fact_of(*plan, *parent, from);
    CopyStep copy_step(session_, std::move(plan), parent, std::move(from));
    Step step = new_step(expanded_step_name());
    step.definition_key = [&](RecordedInputs* inputs) { return copy_step.definition_key(inputs); };
    step.content_key = [&](RecordedInputs* inputs) { return copy_step.content_key(inputs); };
    step.describe = [&](RecordedStep& record) {
        describe(record);
        copy_step.describe(record);
    };
    step.execute = [&](VertexId) { return copy_step.execute(); };
    fact.instruction = step_title(instruction_.original, lookup_, session_.file.escape);
    auto result = run_step(session_, parent, step);
    note(std::move(fact), result);
    const auto lower = state_.root;
    state_.root = is_independent ? laid_over(session_, lower, result.root) : result.root;
    if (is_independent) {
        StepFact merged;
        merged.inputs = {lower->key(), result.root->key()};
        note(std::move(merged), {state_.root, nullptr});
    }
    state_.layers.push_back(result.layer);
    add_history(history_text(copy_step.plan()), std::move(result.layer));
}

}  // namespace shale::build
