// Compares the fields of two keys, group by group, and says what each difference is.
#include "step_comparison.hpp"

#include "file_changes.hpp"
#include "record_lookup.hpp"

#include <shale/dockerfile.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

namespace shale::build {
namespace {

using Kind = Cause::Kind;
using RootKind = RecordedRoot::Kind;

// One comparison of a step with its earlier form.
class Comparison {
  public:
    Comparison(const BuildRecord& build, const RecordedStep& step, const BuildRecord& old_build,
               const RecordedStep& old_step, const FindTree& find_tree, unsigned depth)
        : build_(build), old_build_(old_build), step_(step), old_(old_step), find_tree_(find_tree),
          depth_(depth) {}

    Explanation explanation() {
        out_.step = step_.number;
        out_.against = old_build_.id;
        out_.against_step = old_.number;
        instruction();
        variables();
        settings();
        files();
        for (const auto* field : {"parent", "from", "remote", "lower"})
            roots(field);
        if (out_.causes.empty()) fallback();
        return std::move(out_);
    }

  private:
    void add(Kind kind, std::string subject, std::string before, std::string after,
             std::string text, std::string hint = {}, std::uint32_t step = 0) {
        out_.causes.push_back({kind, std::move(subject), std::move(before), std::move(after), step,
                               std::move(text), std::move(hint)});
    }
    bool differs(std::string_view field) const {
        return values_of(step_.inputs, field) != values_of(old_.inputs, field);
    }

    void instruction() {
        if (step_.instruction != old_.instruction) {
            const auto [now, before] = shown_difference(step_.instruction, old_.instruction);
            add(Kind::Instruction, {}, old_.instruction, step_.instruction,
                fmt::format("instruction changed: \"{}\" was \"{}\"", now, before));
            return;
        }
        auto now = values_of(step_.inputs, "argv"), before = values_of(old_.inputs, "argv");
        const bool script = differs("script") || differs("text") || differs("documents");
        const bool same_shell = now.size() == before.size() && !now.empty() &&
                                std::equal(now.begin(), now.end() - 1, before.begin());
        if (now != before && !same_shell)
            add(Kind::Setting, "SHELL", fmt::format("{}", fmt::join(before, " ")),
                fmt::format("{}", fmt::join(now, " ")), "SHELL changed");
        else if (now != before || (script && !variables_changed()))
            add(Kind::Instruction, {}, old_.instruction, step_.instruction,
                "the here-document changed");
    }

    bool variables_changed() const { return variables_of(step_) != variables_of(old_); }

    void variables() {
        const auto now = variables_of(step_), before = variables_of(old_);
        std::set<std::string> names;
        for (const auto* list : {&now, &before})
            for (const auto& [name, value] : *list)
                names.insert(name);
        for (const auto& name : names) {
            const auto old_value = before.find(name), new_value = now.find(name);
            const bool was = old_value != before.end(), is = new_value != now.end();
            if (was && is && old_value->second == new_value->second) continue;
            if (was && is && old_value->second == kHiddenValue) continue;  // cannot be compared
            // A variable that only the new text mentions is part of that change.
            if (step_.instruction != old_.instruction && !(was && is) && !is_in_environment(name))
                continue;
            variable(name, was ? &old_value->second : nullptr, is ? &new_value->second : nullptr);
        }
    }

    bool is_in_environment(const std::string& name) const {
        for (const auto* inputs : {&step_.inputs, &old_.inputs})
            for (const auto& entry : values_of(*inputs, "env"))
                if (entry.starts_with(name + "=")) return true;
        return false;
    }

    void variable(const std::string& name, const std::string* before, const std::string* after) {
        const bool is_argument = contains(step_.arguments, name) || contains(old_.arguments, name);
        const auto what = is_argument ? "argument " + name : "variable " + name;
        const auto is_hidden = [](const std::string* value) {
            return value && value->starts_with("sha256:");
        };
        std::string text;
        if (!before)
            text = what + " is new";
        else if (!after)
            text = what + " is gone";
        else if (is_hidden(before) || is_hidden(after))
            text = what + " changed (its value is not shown)";
        else
            text =
                fmt::format("{} changed: \"{}\" was \"{}\"", what, shown(*after), shown(*before));
        std::string hint;
        if (is_argument && step_.instruction.find(name) == std::string::npos)
            hint = fmt::format("a RUN sees every ARG before it: move ARG {} below line {} if "
                               "nothing here needs it",
                               name, step_.line);
        add(is_argument ? Kind::Argument : Kind::Variable, name,
            before && !is_hidden(before) ? *before : "", after && !is_hidden(after) ? *after : "",
            text, hint);
    }

    void settings() {
        static constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kSettings = {
            {{"user", "USER"},
             {"cwd", "WORKDIR"},
             {"hostname", "the host name of RUN"},
             {"platform", "the platform"},
             {"network", "--network"},
             {"insecure", "--security"},
             {"shm", "--shm-size"},
             {"cgroup", "--cgroup-parent"},
             {"limit", "--ulimit"},
             {"epoch", "SOURCE_DATE_EPOCH"}}};
        const bool text_changed = step_.instruction != old_.instruction;
        for (const auto& [field, name] : kSettings)
            if (differs(field)) setting(std::string(field), std::string(name));
        if (differs("host")) setting("host", "--add-host");
        if (text_changed || variables_changed()) return;
        if (differs("destination")) setting("destination", "WORKDIR");
        if (differs("path")) setting("path", "WORKDIR");
        if (differs("target")) setting("target", "WORKDIR");
    }

    void setting(const std::string& field, const std::string& name) {
        const auto before = fmt::format("{}", fmt::join(values_of(old_.inputs, field), ", "));
        const auto after = fmt::format("{}", fmt::join(values_of(step_.inputs, field), ", "));
        add(Kind::Setting, name, before, after,
            fmt::format("{} changed: \"{}\" was \"{}\"", name, shown(after), shown(before)));
    }

    // --- files
    // ------------------------------------------------------------------------------------

    // What both keys say of the bytes that are read; empty if one of them was not asked.
    bool contents_may_differ() const {
        if (step_.contents.empty() || old_.contents.empty()) {
            for (const auto* field : {"content", "name", "unpack", "from"})
                if (differs(field)) return true;
            return false;
        }
        for (const auto* field : {"content", "name", "unpack"})
            if (values_of(step_.contents, field) != values_of(old_.contents, field)) return true;
        return false;
    }

    std::shared_ptr<const snapshot::Tree> tree_of(const BuildRecord& build,
                                                  const FileSelection& read) const {
        if (!read.context.empty()) {
            const auto found = build.directories.find(read.context);
            return found == build.directories.end() ? nullptr : find_tree_(found->second.tree);
        }
        const auto* root = find_root(build, read.root.hex());
        if (!root || root->kind != RootKind::Step) return nullptr;
        const auto* maker = build.step(root->step);
        return maker && !maker->tree.is_zero() ? find_tree_(maker->tree) : nullptr;
    }

    void files() {
        if (!contents_may_differ() || step_.files.size() != old_.files.size()) return;
        for (std::size_t i = 0; i < step_.files.size(); ++i)
            compare_files(step_.files[i], old_.files[i]);
    }

    void compare_files(const FileSelection& now, const FileSelection& before) {
        // An instruction that names other files is the cause by itself.
        if (now.operands != before.operands || now.excludes != before.excludes) return;
        const auto tree = tree_of(build_, now), old_tree = tree_of(old_build_, before);
        if (!tree || !old_tree) {
            if (!now.context.empty())
                add(Kind::File, {}, {}, {},
                    "files changed; which ones cannot be told, the earlier list is gone");
            return;
        }
        const auto changes = file_changes(selected_part(*old_tree, before),
                                          selected_part(*tree, now), {now.owner, now.mode});
        if (now.context.empty() && !changes.empty()) made_elsewhere(now, before);
        for (const auto& change : changes)
            if (out_.causes.size() < kMostFiles)
                file(change, now, before);
            else
                ++out_.more_files;
    }

    // Files of another stage: if its last step was cached, its causes belong here.
    void made_elsewhere(const FileSelection& now, const FileSelection& before) {
        const auto* root = find_root(build_, now.root.hex());
        const auto* old_root = find_root(old_build_, before.root.hex());
        const auto* maker = root ? last_step(*root) : nullptr;
        const auto* old_maker = old_root ? last_old_step(*old_root) : nullptr;
        if (maker && old_maker && counterpart(build_, *maker, old_build_) == old_maker)
            take_causes_of(*maker, *old_maker);
    }

    void file(const FileChange& change, const FileSelection& now, const FileSelection& before) {
        const auto path = change.path.empty() ? "." : change.path;
        auto detail = change.detail;
        if (detail == "content") detail = "content changed";
        if (!now.context.empty()) {
            const auto excludes = [&](const BuildRecord& build, const std::string& directory) {
                const auto found = build.directories.find(directory);
                return found != build.directories.end() &&
                       dockerfile::IgnoreMatcher::parse(found->second.ignore).is_excluded(path);
            };
            if (change.kind == FileChange::Kind::Removed && excludes(build_, now.context))
                detail = "excluded by .dockerignore now";
            if (change.kind == FileChange::Kind::Added && excludes(old_build_, before.context))
                detail = "no longer excluded by .dockerignore";
        }
        std::uint32_t maker = 0;
        if (const auto* root = find_root(build_, now.root.hex());
            now.context.empty() && root && root->kind == RootKind::Step)
            maker = root->step;
        add(Kind::File, path, {}, {}, path + ": " + detail,
            now.context.empty() ? "" : hint_for(change), maker);
    }

    // --- roots
    // ------------------------------------------------------------------------------------

    void roots(const char* field) {
        const auto now = values_of(step_.inputs, field), before = values_of(old_.inputs, field);
        if (now.size() != before.size()) return;  // the instruction tells
        for (std::size_t i = 0; i < now.size(); ++i)
            if (now[i] != before[i]) root(field, now[i], before[i]);
    }

    void root(const std::string& field, const std::string& now, const std::string& before) {
        const auto* root = find_root(build_, now);
        const auto* old_root = find_root(old_build_, before);
        const bool is_parent = field == "parent" || field == "lower";
        if (is_parent && is_equal_parent(root, old_root)) return;
        // Files of another stage have been named already, or are the same.
        if (!is_parent && is_told_by_files(root, old_root)) return;
        if (!root || !old_root) {
            add(Kind::Parent, {}, {}, {}, "what it builds on changed");
        } else if (root->kind == RootKind::Image && old_root->kind == RootKind::Image) {
            image(*root, *old_root);
        } else if (root->kind == RootKind::LaidOver && old_root->kind == RootKind::LaidOver) {
            for (const auto& [a, b] :
                 {std::pair{root->lower, old_root->lower}, std::pair{root->upper, old_root->upper}})
                if (a != b) this->root("lower", a.hex(), b.hex());
        } else if (root->kind == RootKind::Step || root->kind == RootKind::LaidOver) {
            follows(*root, *old_root, is_parent);
        } else if (root->kind == RootKind::Source) {
            add(Kind::Source, root->reference, old_root->reference, root->reference,
                root->reference + " changed");
        } else {
            base_changed(*root, *old_root);
        }
    }

    void image(const RecordedRoot& now, const RecordedRoot& before) {
        if (now.reference != before.reference) return base_changed(now, before);
        add(Kind::Base, now.reference, before.digest.str(), now.digest.str(),
            fmt::format("image {} changed: {} was {}", now.reference, now.digest.short_hex(),
                        before.digest.short_hex()),
            fmt::format("FROM {}@{} stays what it is", now.reference, now.digest.str()));
    }

    static std::string name_of(const RecordedRoot& root) {
        if (root.kind == RootKind::Scratch) return "scratch";
        if (root.kind == RootKind::Step || root.kind == RootKind::LaidOver) return "a stage";
        return root.reference;
    }

    void base_changed(const RecordedRoot& now, const RecordedRoot& before) {
        add(Kind::Base, name_of(now), name_of(before), name_of(now),
            fmt::format("the base changed: {} was {}", name_of(now), name_of(before)));
    }

    void follows(const RecordedRoot& now, const RecordedRoot& before, bool is_parent) {
        const auto* maker = last_step(now);
        if (!maker) {
            add(Kind::Parent, {}, {}, {}, "what it builds on changed");
            return;
        }
        const auto* old_maker = last_old_step(before);
        const bool is_same = old_maker && counterpart(build_, *maker, old_build_) == old_maker;
        if (is_same && take_causes_of(*maker, *old_maker)) return;
        const auto what = is_parent ? "follows" : "copies from";
        add(Kind::Parent, maker->name, {}, {},
            is_same ? fmt::format("{} step {}, which came out different", what, maker->number)
                    : fmt::format("{} another step now: {}, {}", what, maker->number,
                                  shown(maker->name)),
            {}, maker->number);
    }

    // Of a step that was cached: what made it another one than in the earlier build.
    bool take_causes_of(const RecordedStep& maker, const RecordedStep& old_maker) {
        constexpr unsigned kDeepest = 100;
        if (maker.was_missed() || depth_ >= kDeepest) return false;
        auto inner = compare_steps(build_, maker, old_build_, old_maker, find_tree_, depth_ + 1);
        std::erase_if(inner.causes, [&](const Cause& cause) {
            return cause.kind == Kind::Removed ||
                   std::ranges::any_of(out_.causes, [&](const Cause& known) {
                       return known.kind == cause.kind && known.text == cause.text;
                   });
        });
        for (auto& cause : inner.causes)
            out_.causes.push_back(std::move(cause));
        return true;
    }

    const RecordedStep* last_step(const RecordedRoot& root) const {
        return last_step_in(build_, root);
    }
    const RecordedStep* last_old_step(const RecordedRoot& root) const {
        return last_step_in(old_build_, root);
    }

    // Made anew and the same: then it is not why.
    bool is_equal_parent(const RecordedRoot* root, const RecordedRoot* old_root) const {
        const auto now = first_of(step_.contents, "parent");
        const auto before = first_of(old_.contents, "parent");
        if (!now.empty() && !before.empty()) return now == before;
        const auto tree = [&](const BuildRecord& build, const RecordedRoot* made) {
            const auto* maker =
                made && made->kind == RootKind::Step ? build.step(made->step) : nullptr;
            return maker && !maker->tree.is_zero() ? find_tree_(maker->tree) : nullptr;
        };
        const auto new_tree = tree(build_, root), old_tree = tree(old_build_, old_root);
        return new_tree && old_tree &&
               new_tree->key_digest(snapshot::kRoot) == old_tree->key_digest(snapshot::kRoot);
    }

    bool is_told_by_files(const RecordedRoot* root, const RecordedRoot* old_root) const {
        if (!contents_may_differ()) return true;
        if (!root || !old_root || root->kind != RootKind::Step || old_root->kind != RootKind::Step)
            return false;
        return std::ranges::any_of(out_.causes,
                                   [](const Cause& cause) { return cause.kind == Kind::File; });
    }

    // Nothing that has a name differs.
    void fallback() {
        if (step_.key == old_.key) {
            add(Kind::Removed, {}, {}, {},
                "nothing changed: the earlier result is gone (prune, --max-disk)");
            return;
        }
        std::set<std::string> names;
        for (const auto* list : {&step_.inputs, &old_.inputs})
            for (const auto& input : *list)
                if (differs(input.name)) names.insert(input.name);
        const bool only_roots = std::ranges::all_of(
            names, [](const auto& name) { return name == "parent" || name == "from"; });
        if (only_roots)
            add(Kind::Removed, {}, {}, {},
                "only how its inputs were made changed; the earlier result is gone");
        else
            add(Kind::Setting, fmt::format("{}", fmt::join(names, ", ")), {}, {},
                fmt::format("{} changed", fmt::join(names, ", ")));
    }

    const BuildRecord& build_;
    const BuildRecord& old_build_;
    const RecordedStep& step_;
    const RecordedStep& old_;
    const FindTree& find_tree_;
    const unsigned depth_;
    Explanation out_;
};

}  // namespace

Explanation compare_steps(const BuildRecord& build, const RecordedStep& step,
                          const BuildRecord& old_build, const RecordedStep& old_step,
                          const FindTree& find_tree, unsigned depth) {
    return Comparison(build, step, old_build, old_step, find_tree, depth).explanation();
}

}  // namespace shale::build
