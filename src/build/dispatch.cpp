// The instructions that change only the config, and what all instructions share. RUN and the copies
// have files of their own.
#include "dispatch.hpp"

#include "go_text.hpp"
#include "ports.hpp"
#include "run_title.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace shale::build {
namespace {

// Marks whose wording of `created_by` an entry follows; tools that read histories look for it.
constexpr std::string_view kHistoryComment = "buildkit.dockerfile.v0";

bool equal_ignoring_case(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
        return std::tolower(static_cast<unsigned char>(x)) ==
               std::tolower(static_cast<unsigned char>(y));
    });
}

// ["a" "b"], as histories show exec forms.
std::string quoted_list(const std::vector<std::string>& words) {
    std::string text = "[";
    for (const auto& word : words)
        text += (text.size() > 1 ? " " : "") + go_quoted(word);
    return text + "]";
}

std::string plain_list(const std::vector<std::string>& words) {
    return fmt::format("[{}]", fmt::join(words, " "));
}

void insert_sorted(std::vector<std::string>& values, const std::string& value) {
    const auto place = std::lower_bound(values.begin(), values.end(), value);
    if (place == values.end() || *place != value) values.insert(place, value);
}

// Go's text for a duration, as the history of HEALTHCHECK shows it: 1h0m0s, 1m30s, 250ms, 0s.
std::string duration(std::int64_t ns) {
    if (ns == 0) return "0s";
    if (ns < 1'000) return fmt::format("{}ns", ns);
    if (ns < 1'000'000) return fmt::format("{}µs", static_cast<double>(ns) / 1e3);
    if (ns < 1'000'000'000) return fmt::format("{}ms", static_cast<double>(ns) / 1e6);
    const std::int64_t minutes = ns / 60'000'000'000;
    const double seconds = static_cast<double>(ns % 60'000'000'000) / 1e9;
    if (minutes == 0) return fmt::format("{}s", seconds);
    if (minutes < 60) return fmt::format("{}m{}s", minutes, seconds);
    return fmt::format("{}h{}m{}s", minutes / 60, minutes % 60, seconds);
}

}  // namespace

Dispatcher::Dispatcher(Session& session, Stages& stages, std::uint32_t stage_index,
                       StageState& state, const dockerfile::Instruction& instruction,
                       std::string step_name)
    : session_(session), stages_(stages), stage_index_(stage_index), state_(state),
      instruction_(instruction), step_name_(std::move(step_name)),
      // Every word of one instruction sees the variables from before it.
      lookup_([this, before = state.environment](std::string_view name) {
          asked_.emplace(name);
          return before.get(name);
      }) {}

void Dispatcher::dispatch() {
    std::visit(*this, instruction_.value);
}

std::string Dispatcher::expand(const std::string& word) const {
    return dockerfile::expand(word, lookup_, session_.file.escape);
}

std::string Dispatcher::expanded_step_name() const {
    const auto& line = instruction_.original;
    if (!step_name_.ends_with(line)) return step_name_;
    return step_name_.substr(0, step_name_.size() - line.size()) +
           step_title(line, lookup_, session_.file.escape);
}

std::string Dispatcher::absolute(std::string_view path) const {
    if (path.starts_with('/')) return std::string(path);
    const auto& cwd = state_.image.config.working_dir;
    return join_path(clean_absolute_path(cwd), path);  // it may be as somebody wrote it
}

void Dispatcher::add_history(std::string created_by, std::shared_ptr<LayerSlot> layer) {
    NewHistory added;
    added.entry.created_by = std::move(created_by);
    added.entry.comment = kHistoryComment;
    added.entry.empty_layer = layer == nullptr;
    added.layer = std::move(layer);
    state_.history.push_back(std::move(added));
}

bool Dispatcher::use_cache() const {
    if (session_.request.no_cache) return false;
    const auto label = stage_label(session_.file.stages[stage_index_]);
    for (const auto& name : session_.request.no_cache_filter)
        if (equal_ignoring_case(name, label)) return false;
    return true;
}

Step Dispatcher::new_step(std::string name) const {
    Step step;
    step.name = std::move(name);
    step.use_cache = use_cache();
    step.describe = [this](RecordedStep& record) { describe(record); };
    return step;
}

void Dispatcher::describe(RecordedStep& record) const {
    record.stage = stage_label(session_.file.stages[stage_index_]);
    record.stage_index = stage_index_;
    record.line = instruction_.lines.first;
    record.instruction = instruction_.original;
    record.platform = state_.platform.str();
    record.arguments = state_.arguments;
    for (const auto& name : asked_)
        if (const auto value = state_.environment.get(name))
            record.values.emplace_back(name, shown_value(name, *value));
}

void Dispatcher::note(StepFact fact, const StepResult& result) {
    fact.result = result.root->key();
    fact.lines = {instruction_.lines};
    fact.layer = result.layer;
    session_.facts.add(stage_index_, std::move(fact));
}

void Dispatcher::advance(const Step& step, StepFact fact, std::string created_by) {
    fact.inputs.insert(fact.inputs.begin(), state_.root->key());
    auto result = run_step(session_, state_.root, step);
    note(std::move(fact), result);
    state_.root = std::move(result.root);
    state_.layers.push_back(result.layer);
    add_history(std::move(created_by), std::move(result.layer));
}

// A config that says "Shell": [] has none, as one that does not mention it.
std::vector<std::string> Dispatcher::shell() const {
    const auto& own = state_.image.config.shell;
    return own && !own->empty() ? *own : std::vector<std::string>{"/bin/sh", "-c"};
}

std::vector<std::string> Dispatcher::with_shell(const dockerfile::Command& command) const {
    if (command.exec_form) return command.argv;
    auto argv = shell();
    argv.insert(argv.end(), command.argv.begin(), command.argv.end());
    return argv;
}

void Dispatcher::operator()(const dockerfile::Env& env) {
    auto config = Environment::from_list(state_.image.config.env);
    std::string text = "ENV";
    for (const auto& pair : env.pairs) {
        const auto key = expand(pair.key), value = expand(pair.value);
        config.set(key, value);
        state_.environment.set(key, value);
        text += " " + key + "=" + value;
    }
    state_.image.config.env = config.list();
    add_history(std::move(text));
}

void Dispatcher::operator()(const dockerfile::Label& label) {
    std::string text = "LABEL";
    for (const auto& pair : label.pairs) {
        const auto key = expand(pair.key), value = expand(pair.value);
        state_.image.config.labels[key] = value;
        text += " " + key + "=" + value;
    }
    add_history(std::move(text));
}

void Dispatcher::operator()(const dockerfile::Arg& arg) {
    std::string text = "ARG";
    for (const auto& declaration : arg.declarations) {
        const auto value = session_.arguments.for_stage(declaration, lookup_, session_.file.escape);
        auto& names = state_.arguments;
        if (std::find(names.begin(), names.end(), declaration.name) == names.end())
            names.push_back(declaration.name);
        text += " " + declaration.name;
        if (!value) continue;
        state_.environment.set(declaration.name, *value);
        text += "=" + *value;
    }
    add_history(std::move(text));
}

void Dispatcher::operator()(const dockerfile::User& user) {
    state_.image.config.user = expand(user.user);
    add_history("USER " + state_.image.config.user);
}

void Dispatcher::operator()(const dockerfile::Expose& expose) {
    auto tokens = expose.ports;
    std::sort(tokens.begin(), tokens.end());
    std::vector<std::string> ports;
    for (const auto& token : tokens)
        for (const auto& word : dockerfile::expand_words(token, lookup_, session_.file.escape))
            for (auto& port : parse_ports(word))
                ports.push_back(std::move(port));
    auto& exposed = state_.image.config.exposed_ports;
    exposed.insert(exposed.end(), ports.begin(), ports.end());
    std::sort(exposed.begin(), exposed.end());
    exposed.erase(std::unique(exposed.begin(), exposed.end()), exposed.end());
    add_history("EXPOSE " + plain_list(ports));
}

void Dispatcher::operator()(const dockerfile::Volume& volume) {
    std::vector<std::string> paths;
    for (const auto& path : volume.paths) {
        paths.push_back(expand(path));
        require_volume(paths.back());
        insert_sorted(state_.image.config.volumes, paths.back());
    }
    add_history("VOLUME " + plain_list(paths));
}

void Dispatcher::operator()(const dockerfile::Cmd& cmd) {
    const auto argv = with_shell(cmd.command);
    state_.image.config.cmd.reset();  // an empty one is left out, as BuildKit's encoder does it
    if (!argv.empty()) state_.image.config.cmd = argv;
    state_.image.config.args_escaped = true;
    state_.cmd_was_set = true;
    add_history("CMD " + quoted_list(argv));
}

void Dispatcher::operator()(const dockerfile::Entrypoint& entrypoint) {
    auto& config = state_.image.config;
    const auto argv = with_shell(entrypoint.command);
    config.entrypoint.reset();
    if (!argv.empty()) config.entrypoint = argv;
    // A command inherited from the base was meant for the base's entrypoint.
    if (!state_.cmd_was_set) config.cmd.reset();
    add_history("ENTRYPOINT " + quoted_list(argv));
}

void Dispatcher::operator()(const dockerfile::Shell& shell) {
    state_.image.config.shell = shell.argv;
    add_history("SHELL " + plain_list(shell.argv));
}

void Dispatcher::operator()(const dockerfile::StopSignal& signal) {
    const auto name = expand(signal.signal);
    check_signal(name);
    state_.image.config.stop_signal = name;
    add_history("STOPSIGNAL " + name);
}

void Dispatcher::operator()(const dockerfile::Maintainer& maintainer) {
    state_.image.author = maintainer.name;
    add_history("MAINTAINER " + maintainer.name);
}

void Dispatcher::operator()(const dockerfile::Onbuild& onbuild) {
    state_.image.config.onbuild.push_back(onbuild.text);
}

void Dispatcher::operator()(const dockerfile::Healthcheck& check) {
    state_.image.config.healthcheck = oci::Healthcheck{check.test,
                                                       check.interval_ns,
                                                       check.timeout_ns,
                                                       check.start_period_ns,
                                                       check.start_interval_ns,
                                                       check.retries};
    add_history(fmt::format(
        "HEALTHCHECK {{Test:{} Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
        plain_list(check.test), duration(check.interval_ns), duration(check.timeout_ns),
        duration(check.start_period_ns), duration(check.start_interval_ns), check.retries));
}

void Dispatcher::operator()(const dockerfile::Workdir& workdir) {
    // An absolute path stays as it was written, as the reference builder has it.
    const auto written = expand(workdir.path);
    const auto path = clean_absolute_path(absolute(written));
    const auto shown = written.starts_with('/') ? written : path;
    state_.image.config.working_dir = shown;
    if (path == "/") {
        add_history("WORKDIR " + shown);
        return;
    }
    const auto user = state_.image.config.user;
    const auto parent = state_.root;
    const auto key = [&](std::string_view kind, const Digest& root, RecordedInputs* inputs) {
        Key made(kind, inputs);
        made.add("parent", root).add("path", path).add("user", user);
        if (const auto epoch = session_.request.source_date_epoch)
            made.add("epoch", static_cast<std::uint64_t>(*epoch));
        return made.finish();
    };
    Step step = new_step(expanded_step_name());
    step.definition_key = [&](RecordedInputs* inputs) {
        return key("workdir2", parent->key(), inputs);
    };
    step.content_key = [&](RecordedInputs* inputs) {
        return key("workdir2-content", parent->load().tree->key_digest(snapshot::kRoot), inputs);
    };
    step.execute = [&](VertexId) {
        const auto& loaded = parent->load();
        auto& store = session_.services.store;
        layer::ContentReader contents(store.content_index(loaded.sources), store.framed());
        CopyOptions options;
        options.owner = Owner{};
        if (!user.empty()) {
            // By the rules of --chown: a directory can be made for a user that is not there yet.
            std::string unknown;
            options.owner = resolve_chown(*loaded.tree, contents, user, &unknown);
            if (!unknown.empty())
                session_.tracker.progress().warning("WORKDIR " + path + ": user \"" + unknown +
                                                    "\" is not in the image; using 0");
        }
        options.now_ns = session_.creation_ns();
        snapshot::TreeBuilder builder(*loaded.tree);
        builder.use_whole_seconds();
        make_parents(builder, resolve_destination(builder, path), options);
        Executed executed;
        executed.tree = std::make_shared<snapshot::Tree>(builder.finish());
        executed.sources = loaded.sources;
        return executed;
    };
    step.use_cache = true;  // deterministic but for a time; --no-cache is about commands and files
    StepFact fact;
    fact.instruction = "WORKDIR " + path;
    advance(step, std::move(fact), "WORKDIR " + shown);
}

}  // namespace shale::build
