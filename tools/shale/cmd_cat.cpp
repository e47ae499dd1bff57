// shale cat: one file of an image, without mounting or unpacking anything.
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "image_lookup.hpp"

#include <shale/mount.hpp>

#include <memory>
#include <vector>

namespace shale::cli {

namespace {

constexpr std::size_t kPieceBytes = 1 << 20;

// "app:prod:/etc/passwd": the path begins at the first ":/".
std::pair<std::string, std::string> split_argument(const std::string& text) {
    const auto at = text.find(":/");
    if (at == std::string::npos || at == 0)
        fail(ErrorKind::Invalid, "\"" + text + "\" is not of the form REF:/PATH");
    return {text.substr(0, at), text.substr(at + 1)};
}

int run(const std::vector<std::string>& arguments, Workspace& workspace) {
    for (const auto& argument : arguments) {
        const auto [reference, path] = split_argument(argument);
        const auto image = obtain_image(workspace, reference);
        auto& store = workspace.store();
        const auto root = store.image_tree(image.manifest, image.config);
        layer::ContentReader contents(store.content_index(root.sources), store.framed());
        const auto source = mount::open_file(*root.tree, contents, path);
        std::vector<std::byte> buffer(kPieceBytes);
        while (const auto count = source(buffer))
            print_result(as_text(Bytes(buffer).first(count)));
    }
    return kOk;
}

Run declare(CLI::App& app) {
    auto arguments = std::make_shared<std::vector<std::string>>();
    add_arguments(app, "REF:/PATH", *arguments, "File of an image, such as app:prod:/etc/passwd")
        ->required();
    return [arguments](Workspace& workspace) { return run(*arguments, workspace); };
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
            "image. The image is pulled if the store lacks it.",
        .examples = {{"shale cat app:prod:/etc/os-release", "One file, to standard output"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
