// check(): the whole of lint over a Dockerfile, with no more of the world than the configs of base
// images.
//
// Those are asked for first, several at once. Then stages are looked at in their order, each
// beginning with what its base ends with; what the build would refuse is a problem, as in the
// build.
#include "lint.hpp"
#include "plan.hpp"

#include <shale/parallel.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace shale::build {
namespace {

using dockerfile::File;
using dockerfile::Severity;
using dockerfile::Stage;

class Checker {
  public:
    Checker(const Request& request, const File& file, const dockerfile::IgnoreMatcher* ignore,
            Images& images, CheckResult& result)
        : request_(request), file_(file), ignore_(ignore), images_(images), result_(result),
          platform_(request.platforms.empty() ? oci::Platform::host() : request.platforms.front()) {
    }

    void run() {
        std::uint32_t target = 0;
        std::optional<Arguments> arguments;
        if (!attempt({}, [&] {
                target = find_target(file_, request_.target);
                arguments.emplace(request_, file_, oci::Platform::host(), platform_,
                                  file_.stages[target].from.stage_name);
            }))
            return;
        arguments_ = &*arguments;
        std::vector<std::uint32_t> reached;
        // Also finds what is wrong with the references between stages.
        attempt({}, [&] { reached = reached_stages(file_, target, *arguments_, contexts()); });
        const auto is_wanted = [&](const Stage& stage) {
            return request_.target.empty() ||
                   std::binary_search(reached.begin(), reached.end(), stage.index);
        };
        for (const auto& stage : file_.stages)
            if (is_wanted(stage)) note_base(stage);
        ask_for_bases();
        for (const auto& stage : file_.stages)
            if (is_wanted(stage)) check_stage(stage);
    }

  private:
    NamedContexts contexts() const { return {request_.build_contexts, platform_}; }

    void check_stage(const Stage& stage) {
        LintScope scope;
        scope.base_known = false;
        lint_from(file_, stage, *arguments_, result_.warnings);
        attempt(stage.lines, [&] {
            const auto base = resolve_from(file_, stage.index, *arguments_, contexts());
            if (const auto* parent = std::get_if<StageBase>(&base))
                scope = scopes_[parent->stage];
            else if (const auto* image = std::get_if<ImageBase>(&base))
                begin_with_image(stage, *image, scope);
            else if (std::holds_alternative<ScratchBase>(base))
                begin_with(oci::ImageConfig{}, scope);
        });
        lint_stage(file_, stage, *arguments_, ignore_, scope, result_.warnings,
                   [&](const dockerfile::Instruction& instruction, const Error& error) {
                       add({error.what(), instruction.lines,
                            dockerfile::excerpt(file_, instruction.lines)});
                   });
        scopes_[stage.index] = std::move(scope);
    }

    void begin_with(const oci::ImageConfig& image, LintScope& scope) {
        scope.base_known = true;
        scope.environment = Environment::from_list(image.config.env);
        if (!scope.environment.get("PATH")) scope.environment.set("PATH", "/bin");
        scope.shell_set = image.config.shell && !image.config.shell->empty();
    }

    void begin_with_image(const Stage& stage, const ImageBase& base, LintScope& scope) {
        const auto wanted = wanted_platform(base);
        const auto image = config_of(base.reference, wanted);
        if (!image) return;
        begin_with(*image, scope);
        lint_platform(file_, stage, base.reference.familiar(), image->platform, wanted,
                      result_.warnings);
    }

    oci::Platform wanted_platform(const ImageBase& base) const {
        return base.platform.empty() ? platform_ : oci::Platform::parse(base.platform);
    }

    // Registries take their time, and longer where there are none; several are asked at once. What
    // is wrong with a FROM is for check_stage() to say.
    struct Asked {
        oci::Reference reference;
        oci::Platform platform;
        std::optional<oci::ImageConfig> config;
    };

    static std::string name_of(const oci::Reference& reference, const oci::Platform& platform) {
        return reference.str() + " " + platform.str();
    }

    void note_base(const Stage& stage) {
        try {
            const auto base = resolve_from(file_, stage.index, *arguments_, contexts());
            const auto* image = std::get_if<ImageBase>(&base);
            if (image == nullptr) return;
            const auto platform = wanted_platform(*image);
            bases_.try_emplace(name_of(image->reference, platform),
                               Asked{image->reference, platform, std::nullopt});
        } catch (const Error&) {
        }
    }

    void ask_for_bases() {
        constexpr std::size_t kAtOnce = 8;
        std::vector<Asked*> all;
        for (auto& [name, asked] : bases_)
            all.push_back(&asked);
        for_each_parallel(all.size(), kAtOnce, [&](std::size_t i) {
            try {
                all[i]->config =
                    images_.resolve(all[i]->reference, all[i]->platform, request_.pull).config;
            } catch (const Error&) {  // told once it is missed
            }
        });
    }

    // Without an answer the check goes on with what the text says.
    std::optional<oci::ImageConfig> config_of(const oci::Reference& reference,
                                              const oci::Platform& platform) {
        const auto asked = bases_.find(name_of(reference, platform));
        SHALE_ENSURE(asked != bases_.end());
        const auto& config = asked->second.config;
        const auto name = reference.familiar();
        auto& unknown = result_.unknown_images;
        if (!config && std::ranges::find(unknown, name) == unknown.end()) unknown.push_back(name);
        return config;
    }

    // False if `body` threw: that is a problem at `lines`, if the error does not know better.
    template <typename Body>
    bool attempt(dockerfile::LineRange lines, Body body) {
        try {
            body();
            return true;
        } catch (const BuildError& error) {
            add({error.what(), error.lines.first != 0 ? error.lines : lines, error.excerpt});
        } catch (const Error& error) {
            add({error.what(), lines, dockerfile::excerpt(file_, lines)});
        }
        return false;
    }

    void add(Problem problem) {
        auto& all = result_.problems;
        const bool known = std::any_of(all.begin(), all.end(), [&](const Problem& other) {
            return other.message == problem.message;
        });
        if (!known) all.push_back(std::move(problem));
    }

    const Request& request_;
    const File& file_;
    const dockerfile::IgnoreMatcher* ignore_;
    Images& images_;
    CheckResult& result_;
    oci::Platform platform_;
    const Arguments* arguments_ = nullptr;
    std::map<std::uint32_t, LintScope> scopes_;
    std::map<std::string, Asked> bases_;
};

}  // namespace

CheckResult check(const Request& request, std::string_view text, const std::string& name,
                  const dockerfile::IgnoreMatcher* ignore, Images& images) {
    CheckResult result;
    auto parsed = dockerfile::parse(text, name, check_option(request));
    result.file = std::move(parsed.file);
    for (auto& diagnostic : parsed.diagnostics) {
        if (diagnostic.severity == Severity::Warning)
            result.warnings.push_back(std::move(diagnostic));
        else
            result.problems.push_back(
                {dockerfile::message(diagnostic), diagnostic.lines,
                 dockerfile::excerpt(result.file, diagnostic.lines, diagnostic.place)});
    }
    if (result.problems.empty()) Checker(request, result.file, ignore, images, result).run();
    std::stable_sort(result.warnings.begin(), result.warnings.end(),
                     [](const auto& a, const auto& b) { return a.lines < b.lines; });
    return result;
}

}  // namespace shale::build
