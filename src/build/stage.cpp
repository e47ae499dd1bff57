#include "stage.hpp"

#include "attestation.hpp"
#include "dispatch.hpp"
#include "emulation.hpp"
#include "lint_report.hpp"
#include "located.hpp"
#include "oci_layout.hpp"

#include <algorithm>

namespace shale::build {
namespace {

constexpr std::string_view kDefaultPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

bool is_counted(const dockerfile::Instruction& instruction) {
    return std::holds_alternative<dockerfile::Run>(instruction.value) ||
           std::holds_alternative<dockerfile::Copy>(instruction.value) ||
           std::holds_alternative<dockerfile::Workdir>(instruction.value);
}

// "[builder 2/5] " for successive steps of a stage.
class StepCounter {
  public:
    StepCounter(const dockerfile::File& file, std::uint32_t index, bool external_base)
        : label_(file.stages.size() > 1 ? stage_label(file.stages[index]) + " " : "") {
        total_ = external_base ? 1 : 0;
        for (const auto& instruction : file.stages[index].instructions)
            total_ += is_counted(instruction) ? 1 : 0;
    }
    void add(std::size_t more) { total_ += more; }
    // `platform` is empty or "linux/arm64 ".
    std::string next(const std::string& platform) {
        return "[" + platform + label_ + std::to_string(++at_) + "/" + std::to_string(total_) +
               "] ";
    }

  private:
    std::string label_;
    std::size_t total_ = 0, at_ = 0;
};

// "linux/arm64 ", or "linux/amd64->arm64 " once the stage has declared that it builds for another.
std::string platform_title(const StageState& state) {
    const auto declared = [&](const std::string& name) {
        const auto& names = state.arguments;
        const bool is_declared = std::find(names.begin(), names.end(), name) != names.end();
        return is_declared ? state.environment.get(name).value_or("") : std::string();
    };
    const auto& own = state.platform;
    oci::Platform target{declared("TARGETOS"), declared("TARGETARCH"), declared("TARGETVARIANT")};
    if (target.os.empty()) target.os = own.os;
    if (target.architecture.empty()) target.architecture = own.architecture;
    if (const auto whole = declared("TARGETPLATFORM"); !whole.empty()) try {
            target = oci::Platform::parse(whole);
        } catch (const Error&) {  // a --build-arg may set it to anything
        }
    target = target.normalized();
    const auto variant = target.variant.empty() ? "" : "/" + target.variant;
    if (target.os != own.os) return own.str() + "->" + target.str() + " ";
    if (target.architecture != own.architecture)
        return own.str() + "->" + target.architecture + variant + " ";
    return own.str() + " ";
}

Material material_of(const ImageBase& base, const BaseImage& image) {
    const auto type = base.layout.empty() ? "docker" : "oci";
    return {package_url(type, base.reference, image.platform),
            {{"sha256", image.resolved.descriptor.digest.hex()}}};
}

void take_config(StageState& state, const oci::ImageConfig& config) {
    state.image = config;
    auto& env = state.image.config.env;
    if (!Environment::from_list(env).get("PATH")) env.emplace_back(kDefaultPath);
    state.environment = Environment::from_list(env);
}

}  // namespace

std::shared_ptr<Root> empty_root() {
    auto tree = std::make_shared<snapshot::Tree>(snapshot::TreeBuilder().finish());
    return std::make_shared<Root>(Key("scratch").finish(), LoadedRoot{std::move(tree), {}});
}

void note_source(Session& session, const Root& root, const std::string& name) {
    RecordedRoot recorded;
    recorded.kind = RecordedRoot::Kind::Source;
    recorded.reference = http::without_password(name);
    session.shared.recorder.note_root(root.key(), recorded);
}

Stages::~Stages() {
    // A stage that runs may start another one meanwhile.
    std::unique_lock lock(mutex_);
    for (std::size_t waited = 0; waited < started_.size();) {
        std::vector<std::shared_future<std::unique_ptr<StageState>>> futures;
        for (const auto& [index, future] : started_)
            futures.push_back(future);
        lock.unlock();
        for (const auto& future : futures)
            future.wait();
        lock.lock();
        waited = futures.size();
    }
}

void Stages::start(std::uint32_t index) {
    const std::lock_guard lock(mutex_);
    if (started_.contains(index)) return;
    started_[index] = std::async(std::launch::async, [this, index] {
                          try {
                              return std::make_unique<StageState>(evaluate(index));
                          } catch (...) {  // the rest of the build has no use any more
                              failure_.request_stop();
                              throw;
                          }
                      }).share();
}

const StageState& Stages::get(std::uint32_t index) {
    start(index);
    std::shared_future<std::unique_ptr<StageState>> future;
    {
        const std::lock_guard lock(mutex_);
        future = started_[index];
    }
    return *future.get();
}

oci::Platform Stages::platform_of(const ImageBase& base) const {
    return base.platform.empty() ? session_.platform : oci::Platform::parse(base.platform);
}

oci::Platform Stages::platform_of_stage(const Base& base) {
    if (const auto* image = std::get_if<ImageBase>(&base)) return platform_of(*image);
    if (const auto* stage = std::get_if<StageBase>(&base)) return get(stage->stage).platform;
    return session_.platform;
}

std::shared_ptr<BaseImage> Stages::image(const ImageBase& base, const std::string& step_prefix) {
    auto image = image_once(base, step_prefix);
    session_.facts.add(material_of(base, *image), image->root->key());
    return image;
}

std::shared_ptr<BaseImage> Stages::tool(const ImageBase& base) {
    return image_once(base, "[internal] ");
}

std::shared_ptr<BaseImage> Stages::image_once(const ImageBase& base,
                                              const std::string& step_prefix) {
    // Nobody asked for a platform: the image's own will do if this machine runs it.
    const bool is_free = base.platform.empty() && !session_.platform_was_asked_for;
    const auto key = base.reference.str() + " " + platform_of(base).str() +
                     (is_free ? " or another" : "") + " " + base.layout;
    return session_.shared.images.get(key, [&] { return resolve_image(base, step_prefix); }).first;
}

std::shared_ptr<BaseImage> Stages::resolve_image(const ImageBase& base,
                                                 const std::string& step_prefix) {
    auto image = std::make_shared<BaseImage>();
    const bool is_free = base.platform.empty() && !session_.platform_was_asked_for;
    image->platform = platform_of(base);
    session_.tracker.run("[internal] load metadata for " + base.reference.str(), [&](VertexId) {
        image->resolved =
            base.layout.empty()
                ? session_.services.images.resolve(base.reference, image->platform,
                                                   session_.request.pull)
                : OciLayout(base.layout)
                      .resolve(base.reference, image->platform, session_.services.store);
        const auto actual = image->resolved.config.platform.normalized();
        const bool other = !actual.architecture.empty() &&
                           actual.architecture != image->platform.normalized().architecture;
        if (other && is_free && runs_here(actual)) image->platform = actual;
        // All of it may be here under another name, or under none: then nobody pulls it.
        auto& store = session_.services.store;
        const auto& manifest = image->resolved.manifest;
        if (base.layout.empty() && !manifest.layers.empty() && !store.resolve(base.reference) &&
            store.has_layers_of(manifest))
            store.tag(base.reference, image->resolved.descriptor);
        return Outcome::Done;
    });
    const auto& digest = image->resolved.descriptor.digest;
    auto load = [&services = session_.services, &tracker = session_.tracker, image = image.get(),
                 reference = base.reference, layout = base.layout,
                 name = step_prefix + "FROM " + base.reference.str() + "@" + digest.str()] {
        auto& store = services.store;
        const auto& manifest = image->resolved.manifest;
        tracker.run(name, [&](VertexId vertex) {
            const bool complete = store.has_layers_of(manifest);
            if (!complete && !layout.empty())
                OciLayout(layout).copy_layers(image->resolved, store);
            else if (!complete)
                services.images.pull_layers(reference, image->resolved, tracker, vertex,
                                            Images::Tagging::IfAbsent);
            store.image_tree(manifest, image->resolved.config);
            return complete ? Outcome::Cached : Outcome::Done;
        });
        const auto tree = store.image_tree(manifest, image->resolved.config);
        return LoadedRoot{tree.tree, tree.sources};
    };
    image->root = std::make_shared<Root>(Key("image").add("manifest", digest).finish(),
                                         std::move(load), [] { return false; });
    RecordedRoot recorded;
    recorded.kind = RecordedRoot::Kind::Image;
    recorded.reference = base.reference.familiar();
    recorded.digest = digest;
    session_.shared.recorder.note_root(image->root->key(), recorded);
    return image;
}

std::shared_ptr<Root> Stages::root_of(const Base& base) {
    if (const auto* stage = std::get_if<StageBase>(&base)) return get(stage->stage).root;
    if (const auto* image_base = std::get_if<ImageBase>(&base)) {
        const auto image = Stages::image(*image_base, "[internal] ");
        return {image, image->root.get()};
    }
    if (const auto* named = std::get_if<ContextBase>(&base)) {
        auto root = named_source(*named).root;
        note_source(session_, *root, named->value);
        return root;
    }
    return empty_root();
}

Source Stages::named_source(const ContextBase& base) {
    auto& context = *session_.sources.context(base);
    auto source = context.as_source(session_.sources);
    session_.note(context, base.name);
    return source;
}

// Files become a layer over nothing; there is no config to go with them.
StageState Stages::begin_from_source(const ContextBase& base) {
    const auto source = named_source(base);
    note_source(session_, *source.root, base.value);
    StageState state;
    oci::ImageConfig config;
    config.platform = session_.platform;
    config.config.working_dir = "/";
    take_config(state, config);
    state.platform = session_.platform;
    state.root = source.root;
    NewHistory added;
    added.entry.comment = "buildkit.exporter.image.v0";  // as others call what nobody described
    added.layer = source.layer;
    state.history.push_back(std::move(added));
    state.layers.push_back(source.layer);
    return state;
}

StageState Stages::begin(const Base& base, const std::string& step_prefix) {
    if (const auto* named = std::get_if<ContextBase>(&base)) return begin_from_source(*named);
    StageState state;
    if (const auto* stage = std::get_if<StageBase>(&base)) {
        state = get(stage->stage);
        state.cmd_was_set = false;
        return state;
    }
    if (const auto* image_base = std::get_if<ImageBase>(&base)) {
        const auto image = Stages::image(*image_base, step_prefix);
        const auto& resolved = image->resolved;
        take_config(state, resolved.config);
        state.platform = image->platform;
        // Keeps the image alive for as long as its root may be loaded.
        state.root = std::shared_ptr<Root>(image, image->root.get());
        for (std::size_t i = 0; i < resolved.manifest.layers.size(); ++i) {
            auto slot = std::make_shared<LayerSlot>();
            slot->blob = resolved.manifest.layers[i];
            slot->diff_id = resolved.config.diff_ids[i];
            slot->after = state.root;
            state.layers.push_back(std::move(slot));
        }
        return state;
    }
    oci::ImageConfig config;
    config.platform = session_.platform;
    config.config.working_dir = "/";
    take_config(state, config);
    state.platform = session_.platform;
    state.root = empty_root();
    return state;
}

StageState Stages::evaluate(std::uint32_t index) {
    const auto& file = session_.file;
    const auto& stage = file.stages[index];
    // A stage that only a trigger leads to was not known when the build began.
    session_.context.need(needed_paths(stage));
    StageState state;
    const auto replacement = located(file, stage.lines, [&] {
        return resolve_replacement(file, index, session_.arguments, session_.contexts());
    });
    const Base base = located(file, stage.lines, [&] {
        return replacement ? *replacement
                           : resolve_from(file, index, session_.arguments, session_.contexts());
    });
    const bool external = std::holds_alternative<ImageBase>(base);
    StepCounter counter(file, index, external);
    const auto title = [&] {
        return counter.next(session_.shows_platform ? platform_title(state) : "");
    };
    located_at(file, stage, [&] {
        state.platform = platform_of_stage(base);
        state = begin(base, external ? title() : "");
    });
    if (replacement) return state;  // its instructions are not this stage's any more
    lint_reached(session_, index, state);

    const auto run = [&](const dockerfile::Instruction& instruction, const std::string& text) {
        session_.check_stop();
        check_supported(instruction);  // what only a trigger leads to was not checked before
        const std::string step = is_counted(instruction) ? title() + text : text;
        Dispatcher(session_, *this, index, state, instruction, step).dispatch();
    };
    // Triggers of the base run first, once, and are gone.
    const auto triggers = std::exchange(state.image.config.onbuild, {});
    for (const auto& trigger : triggers) {
        const auto parsed = dockerfile::parse_trigger(trigger, stage.lines);
        located(file, stage.lines, [&] {
            for (const auto& diagnostic : parsed.diagnostics)
                if (diagnostic.severity == dockerfile::Severity::Error)
                    fail(ErrorKind::Invalid, dockerfile::message(diagnostic));
            session_.context.need(needed_paths(parsed.file.stages.front()));
            for (const auto& instruction : parsed.file.stages.front().instructions) {
                counter.add(is_counted(instruction) ? 1 : 0);
                run(instruction, "ONBUILD " + instruction.original);
            }
        });
    }
    for (const auto& instruction : stage.instructions)
        located_at(file, instruction, [&] { run(instruction, instruction.original); });
    return state;
}

}  // namespace shale::build
