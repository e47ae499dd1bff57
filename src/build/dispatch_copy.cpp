// COPY and ADD. The plan of a copy is made first (what is selected from where, and how it is put);
// from it follow both cache keys, and, only on a miss, the edit itself.
#include "archive.hpp"
#include "dispatch.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <unordered_map>

namespace shale::build {
namespace {

using snapshot::NodeId;

// A directory on disk seen as a tree: the build context, or here-documents written out.
struct DirectorySource {
    const snapshot::Tree* tree = nullptr;
    std::string directory;
};

// Opens contents of one or several directory sources by digest, as store_layer asks for them.
class DirectoryContents {
  public:
    void add(const DirectorySource& source, const std::vector<Selected>& selection) {
        auto& open = openers_[source.directory];
        if (!open) open = layer::content_from_directory(source.directory);
        for (const auto& selected : selection)
            for (NodeId node = selected.node; node < source.tree->end(selected.node); ++node) {
                const auto entry = source.tree->entry(node);
                if (entry.type == FileType::Regular)
                    places_.try_emplace(entry.content, Place{&open, source.tree, node});
            }
    }
    layer::OpenContent opener() const {
        return [this](std::string_view path, const snapshot::Entry& entry) {
            const auto place = places_.find(entry.content);
            SHALE_ENSURE(place != places_.end());
            return in_context(
                [&] { return "/" + std::string(path); },
                [&, at = place->second] { return (*at.open)(at.tree->path(at.node), entry); });
        };
    }

  private:
    struct Place {
        const layer::OpenContent* open;
        const snapshot::Tree* tree;
        NodeId node;
    };
    std::map<std::string, layer::OpenContent> openers_;  // each keeps a directory open
    std::unordered_map<Digest, Place, DigestHash> places_;
};

// One instruction, expanded.
struct CopyPlan {
    const dockerfile::Copy* instruction = nullptr;
    std::vector<std::string> sources;
    std::string destination;  // as written, expanded
    std::string chown, chmod;
    CopyOptions options;  // owner filled in once the parent is loaded
    // Here-documents, written to a directory of their own.
    std::unique_ptr<TempDir> heredoc_directory;
    std::unique_ptr<snapshot::Tree> heredoc_tree;
};

std::string history_text(const CopyPlan& plan) {
    std::string text = plan.instruction->is_add ? "ADD " : "COPY ";
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
    DirectorySource directory;  // `directory` empty for a --from tree
    std::vector<std::vector<Selected>> operands;
};

std::vector<Selection> select_all(const CopyPlan& plan, const DirectorySource& main) {
    std::vector<Selection> selections;
    Selection from_main{main, {}};
    for (const auto& source : plan.sources)
        from_main.operands.push_back(select(*main.tree, source));
    for (auto& operand : from_main.operands)
        std::erase_if(operand, [&](const Selected& selected) {
            return is_excluded_operand(selected, plan.options);
        });
    selections.push_back(std::move(from_main));
    if (plan.heredoc_tree) {
        Selection documents{{plan.heredoc_tree.get(), plan.heredoc_directory->path()}, {}};
        for (const auto& heredoc : plan.instruction->heredocs)
            documents.operands.push_back(select(*plan.heredoc_tree, "/" + heredoc.name));
        selections.push_back(std::move(documents));
    }
    return selections;
}

// The edit. Archives of ADD become sources of their own, noted in `archives`.
snapshot::Tree edit(const CopyPlan& plan, const snapshot::Tree& parent,
                    const std::vector<Selection>& selections, store::Store& store,
                    std::vector<Digest>& archives) {
    snapshot::TreeBuilder builder(parent);
    std::uint64_t group_base = 1u << 20;  // beyond every group of the parent after << 32
    for (const auto& selection : selections)
        for (const auto& operand : selection.operands) {
            std::vector<Selected> plain;
            for (const auto& selected : operand) {
                const auto entry = selection.directory.tree->entry(selected.node);
                const bool may_unpack = plan.instruction->is_add &&
                                        plan.instruction->unpack.value_or(true) &&
                                        entry.type == FileType::Regular;
                const auto path = join_path(selection.directory.directory,
                                            selection.directory.tree->path(selected.node));
                if (!may_unpack || !is_archive(path)) {
                    plain.push_back(selected);
                    continue;
                }
                const auto archive = index_archive(store, path, entry.content);
                archives.push_back(archive.blob);
                expand_archive(builder, *archive.toc, plan.options, ++group_base);
            }
            copy_into(builder, *selection.directory.tree, plain, plan.options, ++group_base);
        }
    return builder.finish();
}

// One copy on its way through the cache.
class CopyStep {
  public:
    // `from` is null for the build context.
    CopyStep(Session& session, std::unique_ptr<CopyPlan> plan, std::shared_ptr<Root> parent,
             std::shared_ptr<Root> from)
        : session_(session), plan_(std::move(plan)), parent_(std::move(parent)),
          from_(std::move(from)) {}

    const CopyPlan& plan() const { return *plan_; }

    Digest definition_key() {
        Key key("copy");
        key.add("parent", parent_->key());
        add_definition(key, *plan_);
        if (from_) {  // known by what made it; its contents are the content key's business
            key.add("from", from_->key()).add_all("sources", plan_->sources);
            if (plan_->heredoc_tree)  // names and expanded bodies
                key.add("documents", plan_->heredoc_tree->key_digest(snapshot::kRoot));
        } else {
            add_contents(key);
        }
        return key.finish();
    }

    Digest content_key() {
        Key key("copy-content");
        key.add("parent", parent_->load().tree->key_digest(snapshot::kRoot));
        add_definition(key, *plan_);
        add_contents(key);
        return key.finish();
    }

    Executed execute() {
        const auto& loaded = parent_->load();
        resolve_owner(loaded);
        Executed executed;
        std::vector<Digest> archives;
        executed.tree = std::make_shared<snapshot::Tree>(
            edit(*plan_, *loaded.tree, selections(), session_.services.store, archives));
        if (from_ && !plan_->heredoc_tree) {  // contents stay where they are
            executed.sources = merge_sources(loaded.sources, from_->load().sources);
            return executed;
        }
        DirectoryContents contents;
        for (const auto& selection : selections())
            for (const auto& operand : selection.operands)
                if (!selection.directory.directory.empty())
                    contents.add(selection.directory, operand);
        auto readable = merge_sources(loaded.sources, archives);
        if (from_) readable = merge_sources(readable, from_->load().sources);
        const auto stored =
            store_layer(session_, *loaded.tree, *executed.tree, readable, contents.opener());
        executed.sources = merge_sources(loaded.sources, {stored.descriptor.digest});
        executed.layer = stored.descriptor;
        executed.diff_id = stored.diff_id;
        return executed;
    }

  private:
    DirectorySource main_source() {
        if (from_) return {from_->load().tree.get(), {}};
        // A copy of here-documents alone needs no context.
        if (plan_->sources.empty()) return {plan_->heredoc_tree.get(), {}};
        return {&session_.context.tree(), session_.context.directory()};
    }
    // Made once, when the first key or the execution asks for it.
    const std::vector<Selection>& selections() {
        if (selections_.empty())
            selections_ = in_context([] { return std::string("failed to compute cache key"); },
                                     [&] { return select_all(*plan_, main_source()); });
        return selections_;
    }
    void add_contents(Key& key) {
        CopyOptions options = plan_->options;
        if (!plan_->chown.empty()) options.owner = Owner{};  // whatever it is, not the source's
        for (const auto& selection : selections())
            for (const auto& operand : selection.operands)
                add_to_key(key, *selection.directory.tree, operand, options);
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
    std::vector<Selection> selections_;
};

}  // namespace

std::shared_ptr<Root> Dispatcher::copy_source(const std::string& from) {
    if (from.empty()) return nullptr;
    const Base base = resolve_copy_from(session_.file, stage_index_, from);
    if (const auto* stage = std::get_if<StageBase>(&base)) return stages_.get(stage->stage).root;
    if (const auto* image = std::get_if<ImageBase>(&base)) {
        const auto resolved = stages_.image(*image, "[internal] ");
        return {resolved, resolved->root.get()};
    }
    return empty_root();
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
    if (names_directory(plan->destination) && !plan->options.destination.ends_with('/'))
        plan->options.destination += '/';
    if (!plan->chmod.empty()) plan->options.mode = ModeChange::parse(plan->chmod);
    plan->options.excludes = dockerfile::IgnoreMatcher::from_patterns(copy.excludes);
    plan->options.now_ns = session_.creation_ns();
    write_heredocs(*plan, lookup_, session_.services.store);

    auto from = copy_source(copy.from);
    if (!from && !plan->sources.empty()) session_.context.tree();  // a vertex of its own
    CopyStep copy_step(session_, std::move(plan), state_.root, std::move(from));
    Step step;
    step.name = step_name_;
    step.use_cache = use_cache();
    step.definition_key = [&] { return copy_step.definition_key(); };
    step.content_key = [&] { return copy_step.content_key(); };
    step.execute = [&](VertexId) { return copy_step.execute(); };
    advance(step, history_text(copy_step.plan()));
}

}  // namespace shale::build
