// What is in a result, as SPDX: by a scanner image that speaks BuildKit's protocol, else by the
// reader of package databases that is built in.
//
// A scanner is run like any RUN: it has the cache, the sandbox and the progress of one, sees what
// it is to scan as read-only binds, and what it wrote is read out of the root that it left.
#include "attestation.hpp"
#include "export.hpp"
#include "run.hpp"
#include "run_caches.hpp"
#include "sbom_packages.hpp"
#include "step.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace shale::build {
namespace {

using snapshot::NodeId;

constexpr const char* kCoreName = "sbom";
constexpr const char* kSourceDirectory = "/run/src/";
constexpr const char* kOutput = "run/out";
constexpr std::string_view kSuffix = ".spdx.json";

// One root file system to scan; the first of several is the result.
struct Target {
    std::string name;  // of the scan
    std::shared_ptr<Root> root;
};

bool is_enabled(const std::string& value, const std::string& stage) {
    if (value == "true" || value == "1" || value == "t" || value == "T" || value == "TRUE" ||
        value == "True")
        return true;
    for (std::string_view rest = value; !rest.empty();) {
        const auto comma = rest.find(',');
        if (rest.substr(0, comma) == stage) return true;
        rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
    }
    return false;
}

// Set for all stages by a build argument or a global ARG, for one by an ARG of its own.
bool is_wanted(const Built& build, std::uint32_t stage, const char* name) {
    const auto& arguments = build.session.arguments;
    const auto label = stage_label(build.session.file.stages[stage]);
    if (const auto given = arguments.given(name)) return is_enabled(*given, label);
    const auto& state = build.stages.get(stage);
    const auto& declared = state.arguments;
    if (std::find(declared.begin(), declared.end(), name) != declared.end())
        if (const auto own = state.environment.get(name)) return is_enabled(*own, label);
    const auto global = arguments.global(name);
    return global && is_enabled(*global, label);
}

std::vector<Target> targets_of(const Built& build) {
    std::vector<Target> targets{{kCoreName, build.state.root}};
    const auto add = [&](const std::string& name, const std::shared_ptr<Root>& root) {
        targets.push_back({std::string(kCoreName) + "-" + name, root});
    };
    for (const auto stage : build.reached)
        if (stage != build.target && is_wanted(build, stage, "BUILDKIT_SBOM_SCAN_STAGE"))
            add(stage_label(build.session.file.stages[stage]), build.stages.get(stage).root);
    const bool scans_context =
        std::any_of(build.reached.begin(), build.reached.end(), [&](std::uint32_t stage) {
            return is_wanted(build, stage, "BUILDKIT_SBOM_SCAN_CONTEXT");
        });
    if (!scans_context) return targets;
    auto& context = build.session.context;
    auto root = context.remote_root();
    if (!root) {  // what of it the build has looked at, contents stored
        const auto& tree = context.tree();
        root = build.session.sources.directory(tree, context.directory()).root;
    }
    add("context", root);
    return targets;
}

std::string read_content(layer::ContentReader& reader, const snapshot::Entry& entry) {
    std::string text(entry.size, '\0');
    for (std::size_t filled = 0; filled < text.size();) {
        const auto count = reader.read(entry.content, filled,
                                       std::as_writable_bytes(std::span(text)).subspan(filled));
        if (count == 0) fail(ErrorKind::Corrupt, "a content ends early");
        filled += count;
    }
    return text;
}

// --- built in ------------------------------------------------------------------------------------

// As a statement they are read again, by us and by others, up to kMaxStatementBytes.
constexpr std::uint64_t kMaxPackageBytes = kMaxStatementBytes / 2;

// What a package adds to the statement, roughly: its fields as they are and in its URL, where a
// character may take three, and the words around them.
std::uint64_t statement_bytes(const Package& package) {
    constexpr std::uint64_t kWords = 500;
    return kWords + package.license.size() + package.source.size() +
           4 * (package.name.size() + package.version.size() + package.architecture.size() +
                package.origin.size());
}

// Everything that the databases of one root list.
std::vector<Package> packages_of(const snapshot::Tree& tree, layer::ContentReader& reader) {
    std::string distribution;
    const auto release = tree.resolve("etc/os-release");
    if (release != snapshot::kNoNode)
        if (const auto entry = tree.entry(release);
            entry.type == FileType::Regular && entry.size <= kMaxPackageFileBytes)
            distribution = distribution_of(read_content(reader, entry));
    std::vector<Package> packages;
    std::uint64_t bytes = 0;
    for (NodeId node = 0; node < tree.size(); ++node) {
        const auto entry = tree.entry(node);
        if (entry.type != FileType::Regular || entry.size > kMaxPackageFileBytes) continue;
        const auto path = tree.path(node);
        const auto kind = package_file(path);
        if (kind == PackageFile::None) continue;
        const auto text = read_content(reader, entry);
        std::vector<Package> found;
        if (kind == PackageFile::DpkgStatus) found = packages_of_dpkg(text, path, distribution);
        if (kind == PackageFile::ApkInstalled) found = packages_of_apk(text, path, distribution);
        if (kind == PackageFile::NpmPackage)
            if (auto package = package_of_npm(text, path)) found = {std::move(*package)};
        if (kind == PackageFile::PythonMetadata)
            if (auto package = package_of_python(text, path)) found = {std::move(*package)};
        for (auto& package : found) {
            bytes += statement_bytes(package);
            if (bytes > kMaxPackageBytes || packages.size() == kMaxPackages) {
                log(LogLevel::Warn, "the list of packages is cut off at /" + path +
                                        ": it would be too long to be read");
                return packages;
            }
            packages.push_back(std::move(package));
        }
    }
    return packages;
}

Predicate scan(Session& session, const Target& target) {
    const auto& loaded = target.root->load();
    auto& store = session.services.store;
    layer::ContentReader reader(store.content_index(loaded.sources), store.framed());
    const auto epoch = session.request.source_date_epoch;
    const auto created = epoch ? *epoch * kNsPerSecond : session.shared.started_ns;
    return {std::string(kSpdx),
            spdx_document(target.name, created, packages_of(*loaded.tree, reader)),
            target.name + std::string(kSuffix), false};
}

// --- by an image ---------------------------------------------------------------------------------

RunMount bind_of(const std::string& target, const std::shared_ptr<Root>& from) {
    RunMount mount;
    mount.type = dockerfile::MountType::Bind;
    mount.target = target;
    mount.read_only = true;
    mount.from = from;
    mount.source = "/";
    return mount;
}

RunSpec scanner_spec(const oci::ImageConfig& image, const SbomOptions& options,
                     const std::vector<Target>& targets) {
    RunSpec spec;
    const auto& config = image.config;
    for (const auto* words : {&config.entrypoint, &config.cmd})
        if (*words) spec.argv.insert(spec.argv.end(), (*words)->begin(), (*words)->end());
    if (spec.argv.empty())
        fail(ErrorKind::Invalid, "scanner " + options.generator + " does not have cmd");
    spec.env = config.env;
    spec.env.push_back("BUILDKIT_SCAN_DESTINATION=/" + std::string(kOutput) + "/");
    const std::string core = kSourceDirectory + std::string("core/");
    const std::string extras = kSourceDirectory + std::string("extras/");
    spec.env.push_back("BUILDKIT_SCAN_SOURCE=" + core + kCoreName);
    if (targets.size() > 1) spec.env.push_back("BUILDKIT_SCAN_SOURCE_EXTRAS=" + extras);
    for (const auto& [key, value] : options.parameters)
        spec.env.push_back("BUILDKIT_SCAN_" + key + "=" + value);
    spec.cwd = config.working_dir.empty() ? "/" : config.working_dir;
    spec.user = config.user;
    spec.platform = image.platform;
    for (const auto& target : targets)
        spec.mounts.push_back(
            bind_of((target.name == kCoreName ? core : extras) + target.name, target.root));
    RunMount scratch;
    scratch.type = dockerfile::MountType::Tmpfs;
    scratch.target = "/tmp";
    spec.mounts.push_back(std::move(scratch));
    sort_by_depth(spec.mounts);
    return spec;
}

// The predicate of a statement that a scanner wrote. Its subjects are not asked for: this says of
// our result what the scanner says of what it saw.
Predicate taken(const std::string& text, const std::string& name) {
    return in_context([&] { return "scan " + name; },
                      [&] {
                          const auto document = oci::Json::parse(text, name);
                          const auto type = document.find("predicateType");
                          const auto predicate = document.find("predicate");
                          if (!type || !predicate) document.corrupt("not an in-toto statement");
                          if (type->string() != kSpdx)
                              type->corrupt("not " + std::string(kSpdx) + ", but " +
                                            type->string());
                          return Predicate{std::string(kSpdx), predicate->dump(), name, false};
                      });
}

std::vector<Predicate> read_scans(const LoadedRoot& left, store::Store& store,
                                  const std::string& scanner) {
    layer::ContentReader reader(store.content_index(left.sources), store.framed());
    const auto directory = left.tree->resolve(kOutput);
    std::vector<Predicate> scans;
    if (directory != snapshot::kNoNode)
        for (NodeId node = directory + 1; node < left.tree->end(directory); ++node) {
            const auto entry = left.tree->entry(node);
            const std::string name(left.tree->name(node));
            if (entry.type != FileType::Regular || !name.ends_with(kSuffix)) continue;
            if (entry.size > kMaxStatementBytes)
                fail(ErrorKind::Corrupt,
                     "scan " + name + " is larger than " + format_size(kMaxStatementBytes));
            scans.push_back(taken(read_content(reader, entry), name));
        }
    if (scans.empty())
        fail(ErrorKind::Failed,
             "scanner " + scanner + " wrote no /" + kOutput + "/*" + std::string(kSuffix));
    return scans;
}

// The scanner's own root with an empty directory to write to.
LoadedRoot with_output(LoadedRoot root) {
    snapshot::TreeBuilder builder(*root.tree);
    snapshot::EntrySpec directory;
    directory.type = FileType::Directory;
    directory.mode = 0755;
    builder.remove(kOutput);
    if (!builder.get("run")) builder.put("run", directory);
    builder.put(kOutput, directory);
    root.tree = std::make_shared<const snapshot::Tree>(builder.finish());
    return root;
}

std::vector<Predicate> scan_with_image(const Built& build, const SbomOptions& options,
                                       const std::vector<Target>& targets) {
    auto& session = build.session;
    ImageBase base;
    base.reference = oci::Reference::parse(options.generator);
    base.platform = oci::Platform::host().str();
    const auto image = build.stages.tool(base);
    const auto spec = scanner_spec(image->resolved.config, options, targets);
    const std::shared_ptr<Root> root(image, image->root.get());
    std::deque<std::string> log_tail;
    Step step;
    step.name = "[" + session.platform.str() + "] generating sbom using " + base.reference.str();
    step.use_cache = !session.request.no_cache && session.request.no_cache_filter.empty();
    step.definition_key = [&](RecordedInputs* inputs) {
        return run_key(spec, session.request.add_hosts, session.context, {false, root->key()},
                       inputs);
    };
    step.memory = static_cast<std::uint64_t>(session.request.resources.memory_bytes);
    step.execute = [&](VertexId vertex) {  // a scanner has no cache mounts
        return execute_run(session, spec, with_output(root->load()), nullptr, vertex, log_tail);
    };
    try {
        const auto result = run_step(session, root, step);
        return read_scans(result.root->load(), session.services.store, options.generator);
    } catch (const Error& error) {
        throw BuildError(error, step.name, {log_tail.begin(), log_tail.end()}, {});
    }
}

}  // namespace

void scan_results(std::vector<Built>& builds) {
    for (auto& build : builds) {
        auto& session = build.session;
        const auto& options = session.request.attestations.sbom;
        if (!options) return;
        const auto targets = targets_of(build);
        if (!options->generator.empty()) {
            build.sbom = scan_with_image(build, *options, targets);
            continue;
        }
        for (const auto& target : targets)
            session.tracker.run("[" + session.platform.str() + "] generating " + target.name,
                                [&](VertexId) {
                                    build.sbom.push_back(scan(session, target));
                                    return Outcome::Done;
                                });
    }
}

}  // namespace shale::build
