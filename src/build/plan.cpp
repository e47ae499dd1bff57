#include "plan.hpp"

#include "located.hpp"

#include <algorithm>
#include <cctype>
#include <set>

namespace shale::build {
namespace {

using dockerfile::File;

std::string lower(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return out;
}

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

[[noreturn]] void unsupported(const std::string& what) {
    fail(ErrorKind::Unsupported, what + " is not implemented yet");
}

bool is_remote(const std::string& source) {
    const bool git_ssh = source.starts_with("git@") && source.find(':') != std::string::npos;
    return source.starts_with("http://") || source.starts_with("https://") ||
           source.starts_with("git://") || source.starts_with("ssh://") || git_ssh;
}

void check_copy(const dockerfile::Copy& copy) {
    const std::string word = copy.is_add ? "ADD" : "COPY";
    if (copy.link) unsupported(word + " --link");
    if (copy.parents) unsupported(word + " --parents");
    if (!copy.checksum.empty()) unsupported("ADD --checksum");
    if (copy.keep_git_dir) unsupported("ADD --keep-git-dir");
    check_sources(copy, copy.sources);
}

// Stages that stage `index` needs directly.
std::vector<std::uint32_t> dependencies(const File& file, std::uint32_t index,
                                        const Arguments& arguments) {
    const auto& stage = file.stages[index];
    std::vector<std::uint32_t> needed;
    const auto note = [&](const Base& base) {
        if (const auto* other = std::get_if<StageBase>(&base)) needed.push_back(other->stage);
    };
    note(located(file, stage.lines, [&] { return resolve_from(file, index, arguments); }));
    for (const auto& instruction : stage.instructions)
        located(file, instruction.lines, [&] {
            check_supported(instruction);
            const auto* copy = std::get_if<dockerfile::Copy>(&instruction.value);
            if (copy && !copy->from.empty()) note(resolve_copy_from(file, index, copy->from));
            if (const auto* run = std::get_if<dockerfile::Run>(&instruction.value))
                for (const auto& mount : run->mounts)
                    if (!mount.from.empty()) note(resolve_mount_from(file, index, mount));
        });
    return needed;
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

Base resolve_from(const File& file, std::uint32_t index, const Arguments& arguments) {
    const auto& from = file.stages[index].from;
    const dockerfile::Lookup lookup = [&](std::string_view name) { return arguments.global(name); };
    const auto reference = dockerfile::expand(from.reference, lookup, file.escape);
    if (reference.empty())
        fail(ErrorKind::Invalid, "base name (" + from.reference + ") should not be blank");
    for (std::uint32_t i = index; i-- > 0;)  // the latest definition before this stage
        if (file.stages[i].from.stage_name == reference) return StageBase{i};
    if (reference == "scratch") return ScratchBase{};
    ImageBase image;
    if (!from.platform.empty()) {
        image.platform = dockerfile::expand(from.platform, lookup, file.escape);
        if (image.platform.empty())
            fail(ErrorKind::Invalid, "empty platform value from expression " + from.platform);
    }
    image.reference = in_context([&] { return "failed to parse stage name \"" + reference + "\""; },
                                 [&] { return oci::Reference::parse(reference); });
    return image;
}

Base resolve_copy_from(const File& file, std::uint32_t index, const std::string& name) {
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
    return ImageBase{in_context([&] { return "failed to parse stage name \"" + name + "\""; },
                                [&] { return oci::Reference::parse(name); }),
                     {}};
}

Base resolve_mount_from(const File& file, std::uint32_t index, const dockerfile::Mount& mount) {
    if (const auto stage = last_definition(file, lower(mount.from))) {
        if (*stage >= index)
            fail(ErrorKind::Invalid, "cannot mount from stage \"" + mount.from + "\" to \"" +
                                         mount.target +
                                         "\", stage needs to be defined before current command");
        return StageBase{*stage};
    }
    if (mount.from == "scratch") return ScratchBase{};
    return ImageBase{in_context([&] { return "failed to parse stage name \"" + mount.from + "\""; },
                                [&] { return oci::Reference::parse(mount.from); }),
                     {}};
}

void check_sources(const dockerfile::Copy& copy, const std::vector<std::string>& sources) {
    for (const auto& source : sources) {
        if (!is_remote(source)) continue;
        if (!copy.is_add) fail(ErrorKind::Invalid, "source can't be a URL for COPY");
        unsupported("ADD of a remote source (" + source + ")");
    }
}

void check_supported(const dockerfile::Instruction& instruction) {
    if (const auto* copy = std::get_if<dockerfile::Copy>(&instruction.value)) check_copy(*copy);
}

std::vector<std::uint32_t> reached_stages(const File& file, std::uint32_t target,
                                          const Arguments& arguments) {
    std::set<std::uint32_t> reached;
    std::vector<std::uint32_t> todo{target};
    while (!todo.empty()) {
        const auto index = todo.back();
        todo.pop_back();
        if (!reached.insert(index).second) continue;
        for (const auto needed : dependencies(file, index, arguments))
            todo.push_back(needed);
    }
    return {reached.begin(), reached.end()};
}

}  // namespace shale::build
