// shale cat: one file of an image, without mounting or unpacking anything.
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "tree_argument.hpp"

#include <memory>
#include <optional>
#include <vector>

namespace shale::cli {

namespace {

constexpr std::size_t kPieceBytes = 1 << 20;

struct Flags {
    std::vector<std::string> files;
    std::string platform;
};

void print_file(const TreeArgument& shown, const std::string& reference, const std::string& path) {
    const auto& tree = *shown.tree;
    const auto node = tree.resolve(path);
    if (node == snapshot::kNoNode) fail(ErrorKind::NotFound, path + ": not found");
    const auto entry = tree.entry(node);
    if (entry.type != FileType::Regular) fail(ErrorKind::Invalid, path + " is not a regular file");
    if (!shown.open)
        fail(ErrorKind::Unsupported, "the snapshot " + reference + " holds no file contents");
    const auto source = shown.open(tree.path(node), entry);
    std::vector<std::byte> buffer(kPieceBytes);
    while (const auto count = source(buffer))
        print_result(as_text(Bytes(buffer).first(count)));
}

int run(const Flags& flags, Workspace& workspace) {
    const auto platform = chosen_platform(flags.platform);
    std::string opened;
    std::optional<TreeArgument> shown;  // kept while the files are of one image
    for (const auto& argument : flags.files) {
        const auto [reference, path] = split_path(argument);
        if (!shown || reference != opened) shown = obtain_tree(workspace, reference, platform);
        opened = reference;
        print_file(*shown, reference, path);
    }
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    required(add_arguments(app, "REF:/PATH", flags->files,
                           "File of an image, such as app:prod:/etc/passwd"));
    add_platform_flag(app, flags->platform);
    return [flags](Workspace& workspace) { return run(*flags, workspace); };
}

}  // namespace

const Command& cat_command() {
    static const Command command = {
        .name = "cat",
        .group = "Look inside",
        .summary = "Print a file of an image",
        .usage = "[OPTIONS] REF:/PATH...",
        .details =
            "Reads only the frames that hold the file. Symbolic links are followed inside the "
            "image. The image is pulled if the store lacks it. REF may be all that `shale mount` "
            "takes.",
        .examples = {{"shale cat app:prod:/etc/os-release", "One file, to standard output"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
