#include "plan.hpp"

#include "located.hpp"
#include "lower_case.hpp"

#include <shale/remote.hpp>

#include <algorithm>
#include <cctype>
#include <set>

namespace shale::build {
namespace {

using dockerfile::File;

std::vector<std::string> stage_names(const File& file) {
    std::vector<std::string> names;
    for (const auto& stage : file.stages)
        if (!stage.from.stage_name.empty()) names.push_back(stage.from.stage_name);
    return names;
}

std::string hint(const std::string& nearest) {
    return nearest.empty() ? "" : " (did you mean " + nearest + "?)";
}

std::optional<std::uint32_t> parse_index(const std::string& text) {
    if (text.empty() || text.size() > 9) return std::nullopt;
    std::uint32_t value = 0;
    for (const char c : text) {
        if (c < '0' || c > '9') return std::nullopt;
        value = value * 10 + static_cast<std::uint32_t>(c - '0');
    }
    return value;
}

std::optional<std::uint32_t> last_definition(const File& file, const std::string& name) {
    for (auto i = file.stages.size(); i-- > 0;)
        if (file.stages[i].from.stage_name == name) return static_cast<std::uint32_t>(i);
    return std::nullopt;
}

void check_copy(const dockerfile::Copy& copy) {
    const bool is_literal =
        std::none_of(copy.sources.begin(), copy.sources.end(), [](const std::string& source) {
            return source.find('$') != std::string::npos;
        });
    if (is_literal) check_sources(copy, copy.sources);
}

std::string expand_platform(const File& file, const dockerfile::From& from,
                            const Arguments& arguments) {
    if (from.platform.empty()) return {};
    const dockerfile::Lookup lookup = [&](std::string_view name) { return arguments.global(name); };
    const auto platform = dockerfile::expand(from.platform, lookup, file.escape);
    if (platform.empty())
        fail(ErrorKind::Invalid, "empty platform value from expression " + from.platform);
    return platform;
}

// "PATH[:TAG][@DIGEST]" of an OCI layout. The name of the image is the context's.
ImageBase layout_base(const std::string& name, std::string_view text, const std::string& platform) {
    ImageBase image;
    image.platform = platform;
    image.reference = oci::Reference::parse(name);
    image.reference.tag.clear();
    image.reference.digest.reset();
    if (const auto at = text.rfind('@'); at != std::string_view::npos) {
        image.reference.digest = Digest::parse(text.substr(at + 1));
        text = text.substr(0, at);
    }
    const auto colon = text.rfind(':');
    if (colon != std::string_view::npos && text.find('/', colon) == std::string_view::npos) {
        image.reference.tag = text.substr(colon + 1);
        text = text.substr(0, colon);
    }
    image.layout = text;
    if (text.empty()) fail(ErrorKind::Invalid, "oci-layout reference names no directory");
    return image;
}

Base base_of_context(const std::string& written, const std::string& value,
                     const std::string& platform) {
    const auto name = normalise_context_name(written).value_or(written);
    constexpr std::string_view kImage = "docker-image://", kLayout = "oci-layout://";
    const auto describe = [&] { return "build context " + name + "=" + value; };
    return in_context(describe, [&]() -> Base {
        if (value == "docker-image://scratch") return ScratchBase{};
        if (value.starts_with(kImage))
            return ImageBase{oci::Reference::parse(value.substr(kImage.size())), platform, {}};
        if (value.starts_with(kLayout))
            return layout_base(name, std::string_view(value).substr(kLayout.size()), platform);
        return ContextBase{name, value};
    });
}

// Stages that stage `index` needs directly.
std::vector<std::uint32_t> dependencies(const File& file, std::uint32_t index,
                                        const Arguments& arguments, const NamedContexts& contexts) {
    const auto& stage = file.stages[index];
    std::vector<std::uint32_t> needed;
    const auto note = [&](const Base& base) {
        if (const auto* other = std::get_if<StageBase>(&base)) needed.push_back(other->stage);
    };
    const auto replacement = located_at(
        file, stage, [&] { return resolve_replacement(file, index, arguments, contexts); });
    if (replacement) return needed;
    note(located_at(file, stage, [&] { return resolve_from(file, index, arguments, contexts); }));
    for (const auto& instruction : stage.instructions)
        located_at(file, instruction, [&] {
            check_supported(instruction);
            const auto* copy = std::get_if<dockerfile::Copy>(&instruction.value);
            if (copy && !copy->from.empty())
                note(resolve_copy_from(file, index, copy->from, contexts));
            if (const auto* run = std::get_if<dockerfile::Run>(&instruction.value))
                for (const auto& mount : run->mounts)
                    if (!mount.from.empty()) note(resolve_mount_from(file, index, mount, contexts));
        });
    return needed;
}

// Of a FROM that came to nothing good: what it could not be given.
std::string undeclared_in(const std::string& text, const Arguments& arguments, char escape) {
    const dockerfile::Lookup given = [&](std::string_view name) { return arguments.global(name); };
    std::string names;
    for (const auto& name : dockerfile::undefined_variables(text, given, escape))
        if (!arguments.is_global(name)) names += (names.empty() ? "" : ", ") + name;
    return names.empty() ? names : " (no ARG " + names + " before the first FROM)";
}

}  // namespace

std::string stage_label(const dockerfile::Stage& stage) {
    return stage.from.stage_name.empty() ? "stage-" + std::to_string(stage.index)
                                         : stage.from.stage_name;
}

std::uint32_t find_target(const File& file, const std::string& name) {
    if (name.empty()) return static_cast<std::uint32_t>(file.stages.size() - 1);
    if (const auto index = last_definition(file, lower(name))) return *index;
    fail(ErrorKind::NotFound, "target stage \"" + name + "\" could not be found" +
                                  hint(nearest_match(name, stage_names(file))));
}

std::optional<Base> resolve_replacement(const File& file, std::uint32_t index,
                                        const Arguments& arguments, const NamedContexts& contexts) {
    const auto& from = file.stages[index].from;
    if (from.stage_name.empty()) return std::nullopt;
    const auto platform = expand_platform(file, from, arguments);
    const auto* value = contexts.find(from.stage_name, platform);
    if (!value) return std::nullopt;
    return base_of_context(from.stage_name, *value, platform);
}

Base resolve_from(const File& file, std::uint32_t index, const Arguments& arguments,
                  const NamedContexts& contexts) {
    const auto& from = file.stages[index].from;
    const dockerfile::Lookup lookup = [&](std::string_view name) { return arguments.global(name); };
    const auto reference = dockerfile::expand(from.reference, lookup, file.escape);
    if (reference.empty())
        fail(ErrorKind::Invalid, "base name (" + from.reference + ") should not be blank" +
                                     undeclared_in(from.reference, arguments, file.escape));
    for (std::uint32_t i = index; i-- > 0;)  // the latest definition before this stage
        if (file.stages[i].from.stage_name == reference) return StageBase{i};
    if (reference == "scratch") return ScratchBase{};
    ImageBase image;
    image.platform = expand_platform(file, from, arguments);
    if (const auto* value = contexts.find(reference, image.platform))
        return base_of_context(reference, *value, image.platform);
    image.reference = in_context(
        [&] {
            return "failed to parse stage name \"" + reference + "\"" +
                   undeclared_in(from.reference, arguments, file.escape);
        },
        [&] { return oci::Reference::parse(reference); });
    return image;
}

Base resolve_copy_from(const File& file, std::uint32_t index, const std::string& name,
                       const NamedContexts& contexts) {
    if (name.find('$') != std::string::npos)
        fail(ErrorKind::Invalid, "variable expansion is not supported for --from, define a new "
                                 "stage with FROM using ARG "
                                 "from global scope as a workaround");
    auto stage = last_definition(file, lower(name));
    if (!stage) {
        stage = parse_index(name);
        if (stage && *stage >= file.stages.size())
            fail(ErrorKind::Invalid, "invalid stage index " + name);
    }
    if (stage && *stage == index)
        fail(ErrorKind::Invalid,
             "circular dependency detected on stage: " + stage_label(file.stages[index]));
    if (stage && *stage > index)
        fail(ErrorKind::Invalid, "cannot copy from stage \"" + name +
                                     "\", it needs to be defined before current stage \"" +
                                     stage_label(file.stages[index]) + "\"");
    if (stage) return StageBase{*stage};
    if (name == "scratch") return ScratchBase{};
    if (const auto* value = contexts.find(name)) return base_of_context(name, *value, {});
    return ImageBase{in_context([&] { return "failed to parse stage name \"" + name + "\""; },
                                [&] { return oci::Reference::parse(name); }),
                     {},
                     {}};
}

Base resolve_mount_from(const File& file, std::uint32_t index, const dockerfile::Mount& mount,
                        const NamedContexts& contexts) {
    if (const auto stage = last_definition(file, lower(mount.from))) {
        if (*stage >= index)
            fail(ErrorKind::Invalid, "cannot mount from stage \"" + mount.from + "\" to \"" +
                                         mount.target +
                                         "\", stage needs to be defined before current command");
        return StageBase{*stage};
    }
    if (mount.from == "scratch") return ScratchBase{};
    if (const auto* value = contexts.find(mount.from))
        return base_of_context(mount.from, *value, {});
    return ImageBase{in_context([&] { return "failed to parse stage name \"" + mount.from + "\""; },
                                [&] { return oci::Reference::parse(mount.from); }),
                     {},
                     {}};
}

void check_sources(const dockerfile::Copy& copy, const std::vector<std::string>& sources) {
    bool all_remote = true;
    for (const auto& source : sources) {
        const bool is_git = remote::parse_git(source).has_value();
        if (is_git && !copy.is_add) fail(ErrorKind::Invalid, "source can't be a git ref for COPY");
        if (!copy.is_add && remote::is_http_url(source))
            fail(ErrorKind::Invalid, "source can't be a URL for COPY");
        all_remote &= is_git || remote::is_http_url(source);
    }
    if (copy.checksum.empty()) return;
    if (sources.size() != 1)
        fail(ErrorKind::Invalid, "checksum can't be specified for multiple sources");
    if (!all_remote) fail(ErrorKind::Invalid, "checksum requires HTTP(S) or Git sources");
}

void check_supported(const dockerfile::Instruction& instruction) {
    if (const auto* copy = std::get_if<dockerfile::Copy>(&instruction.value)) check_copy(*copy);
}

std::vector<std::uint32_t> reached_stages(const File& file, std::uint32_t target,
                                          const Arguments& arguments,
                                          const NamedContexts& contexts) {
    std::set<std::uint32_t> reached;
    std::vector<std::uint32_t> todo{target};
    while (!todo.empty()) {
        const auto index = todo.back();
        todo.pop_back();
        if (!reached.insert(index).second) continue;
        for (const auto needed : dependencies(file, index, arguments, contexts))
            todo.push_back(needed);
    }
    return {reached.begin(), reached.end()};
}

}  // namespace shale::build
