// What a Dockerfile offers to whoever builds it: targets, arguments, secrets.
//
// An argument counts for a target if a stage that it reaches declares it, or if a FROM or a default
// on the way refers to it at the top of the file. Automatic arguments are not listed: nobody has to
// give them.
#include "arguments.hpp"
#include "plan.hpp"

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

namespace shale::build {
namespace {

using dockerfile::File;
using dockerfile::Instruction;
using dockerfile::LineRange;

// The rest of the comment `# NAME description`; the last such comment above the line counts.
std::string description_of(const std::vector<std::string>& comments, std::string_view name) {
    std::string description;
    for (const std::string_view comment : comments)
        if (!name.empty() && comment.starts_with(name) && comment.size() > name.size() &&
            (comment[name.size()] == ' ' || comment[name.size()] == '\t')) {
            const auto rest = comment.substr(name.size());
            description = rest.substr(rest.find_first_not_of(" \t"));
        }
    return description;
}

class Outliner {
  public:
    Outliner(const File& file, const Arguments& arguments, Outline& out)
        : file_(file), arguments_(arguments), out_(out) {}

    void stage(const dockerfile::Stage& stage) {
        values_ = {};
        for (const std::string* word : {&stage.from.reference, &stage.from.platform})
            note_globals(*word);
        for (const auto& instruction : stage.instructions) {
            if (const auto* arg = std::get_if<dockerfile::Arg>(&instruction.value))
                for (const auto& declaration : arg->declarations)
                    declare(instruction, declaration);
            if (const auto* run = std::get_if<dockerfile::Run>(&instruction.value))
                for (const auto& mount : run->mounts)
                    grant(mount, instruction.lines);
        }
    }

    void finish() {
        auto& all = out_.arguments;
        std::stable_sort(all.begin(), all.end(),
                         [](const auto& a, const auto& b) { return a.lines < b.lines; });
    }

  private:
    void declare(const Instruction& instruction, const dockerfile::ArgDeclaration& declaration) {
        const dockerfile::Lookup lookup = [&](std::string_view name) { return values_.get(name); };
        std::optional<std::string> value;
        try {
            value = arguments_.for_stage(declaration, lookup, file_.escape);
        } catch (const Error&) {
            value = declaration.default_value;  // needs something that only the build knows
        }
        if (value) values_.set(declaration.name, *value);
        // A bare declaration takes what the file says at its top, and is described there.
        if (!declaration.default_value && note_global(declaration.name)) return;
        if (arguments_.is_global(declaration.name) && !declaration.default_value) return;
        add({declaration.name, description_of(instruction.comments, declaration.name), value,
             instruction.lines});
    }

    // The global argument of that name and all that its default refers to.
    bool note_global(const std::string& name) {
        bool found = false;
        for (const auto& instruction : file_.global_args)
            for (const auto& declaration :
                 std::get<dockerfile::Arg>(instruction.value).declarations) {
                if (declaration.name != name) continue;
                found = true;
                if (!seen_.insert(name).second) continue;
                add({name, description_of(instruction.comments, name), arguments_.global(name),
                     instruction.lines});
                if (declaration.default_value) note_globals(*declaration.default_value);
            }
        return found;
    }

    void note_globals(const std::string& word) {
        std::set<std::string> names;
        try {
            dockerfile::expand(
                word,
                [&](std::string_view name) {
                    names.emplace(name);
                    return arguments_.global(name);
                },
                file_.escape);
        } catch (const Error&) {
            // What it refers to up to the mistake is good enough for an outline.
        }
        for (const auto& name : names)
            note_global(name);
    }

    void grant(const dockerfile::Mount& mount, LineRange lines) {
        const bool secret = mount.type == dockerfile::MountType::Secret;
        if (!secret && mount.type != dockerfile::MountType::Ssh) return;
        std::string id = mount.id.empty() ? mount.source : mount.id;
        if (id.empty()) id = secret ? mount.target.substr(mount.target.rfind('/') + 1) : "default";
        auto& all = secret ? out_.secrets : out_.ssh;
        for (auto& known : all)
            if (known.id == id) {
                known.required |= mount.required;
                return;
            }
        all.push_back({id, mount.required, lines});
    }

    void add(Outline::Argument argument) {
        const auto known = std::find_if(
            out_.arguments.begin(), out_.arguments.end(),
            [&](const Outline::Argument& other) { return other.name == argument.name; });
        if (known == out_.arguments.end()) out_.arguments.push_back(std::move(argument));
    }

    const File& file_;
    const Arguments& arguments_;
    Outline& out_;
    Environment values_;          // of this stage
    std::set<std::string> seen_;  // global ones
};

// What cannot be built can still be described: then by all stages up to the target.
std::vector<std::uint32_t> stages_to_show(const File& file, std::uint32_t target,
                                          const Arguments& arguments) {
    try {
        return reached_stages(file, target, arguments);
    } catch (const Error&) {
        std::vector<std::uint32_t> all(target + 1);
        std::iota(all.begin(), all.end(), 0u);
        return all;
    }
}

}  // namespace

std::vector<Target> list_targets(const File& file) {
    std::vector<Target> targets;
    for (const auto& stage : file.stages)
        targets.push_back({stage.from.stage_name,
                           description_of(stage.comments, stage.from.stage_name),
                           stage.from.reference, stage.from.platform, stage.lines,
                           stage.index + 1 == file.stages.size()});
    return targets;
}

Outline outline(const Request& request, const File& file) {
    const auto index = find_target(file, request.target);
    const auto& target = file.stages[index];
    const Arguments arguments(request, file, oci::Platform::host(),
                              request.platforms.empty() ? oci::Platform::host()
                                                        : request.platforms.front(),
                              target.from.stage_name);
    Outline result;
    result.name = target.from.stage_name;
    result.description = description_of(target.comments, target.from.stage_name);
    Outliner outliner(file, arguments, result);
    for (const auto reached : stages_to_show(file, index, arguments))
        outliner.stage(file.stages[reached]);
    outliner.finish();
    return result;
}

}  // namespace shale::build
