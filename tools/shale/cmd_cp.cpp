// shale cp: files and directories out of an image, without mounting it or unpacking the rest.
//
// What is asked for becomes a tree of its own, under the name that it gets, and that a tar, which
// goes to standard output or is unpacked by what unpacks layers: beneath the directory, through no
// link that lies there.
#include "command.hpp"
#include "console.hpp"
#include "copy_display.hpp"
#include "flags.hpp"
#include "tree_argument.hpp"

#include <shale/base.hpp>
#include <shale/layer.hpp>
#include <shale/tree_tar.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <stop_token>
#include <vector>

namespace shale::cli {

namespace {

using snapshot::NodeId;
using snapshot::Tree;

constexpr std::string_view kWhiteoutPrefix = ".wh.";

struct Flags {
    std::vector<std::string> words;  // what to copy, and where to
    std::string platform;
    bool archive = false, follow = false;
};

std::optional<bool> is_directory(const std::string& path) {  // nothing: there is nothing
    struct stat status {};
    if (::stat(path.c_str(), &status) == 0) return S_ISDIR(status.st_mode);
    if (errno != ENOENT) throw_errno("stat", path);
    return std::nullopt;
}

std::string without_trailing_slashes(std::string path) {
    while (path.size() > 1 && path.ends_with('/'))
        path.pop_back();
    return path;
}

std::string last_name(const std::string& path) {
    return path.substr(path.rfind('/') + 1);
}

// What is copied: an entry of an image, or what a directory holds.
struct Source {
    std::string path;  // as it was asked for, without slashes at its end
    NodeId node = snapshot::kNoNode;
    bool contents_alone = false;

    std::string name() const { return last_name(path); }
};

// A link at the end of the path is itself, unless it is to be a directory, or followed.
Source find_source(const Tree& tree, const std::string& text, bool follow) {
    Source source;
    source.contents_alone = text.ends_with("/.") || text.find_first_not_of('/') == text.npos;
    const bool is_to_be_directory = source.contents_alone || text.ends_with('/');
    source.path = without_trailing_slashes(
        source.contents_alone && text.ends_with('.') ? text.substr(0, text.size() - 1) : text);
    if (source.path.ends_with("/.")) source.path = clean_absolute_path(source.path);
    const auto name = source.name();
    if (follow || is_to_be_directory || name.empty() || name == "..") {
        source.node = tree.resolve(source.path);
    } else {
        const auto directory = tree.resolve(source.path.substr(0, source.path.rfind('/')));
        if (directory != snapshot::kNoNode) source.node = tree.child(directory, name);
    }
    if (source.node == snapshot::kNoNode) fail(ErrorKind::NotFound, text + ": not found");
    if (is_to_be_directory && tree.entry(source.node).type != FileType::Directory)
        fail(ErrorKind::Invalid, text + ": not a directory");
    if (name == "..") source.contents_alone = true;
    return source;
}

// Where it goes: into this directory, under this name.
struct Place {
    std::string directory;
    std::string name;  // empty: what the source holds, not itself
};

Place place_for(const Source& source, bool source_is_directory, const std::string& destination) {
    if (destination.empty()) fail(ErrorKind::Invalid, "the place to copy to is an empty name");
    const auto exists = is_directory(destination);
    if (source.contents_alone) {
        if (exists == false) fail(ErrorKind::Invalid, destination + " is not a directory");
        return {destination, {}};
    }
    if (exists == true) return {destination, source.name()};
    if (destination.ends_with('/') && !(source_is_directory && !exists))
        fail(ErrorKind::NotFound, destination + " is not a directory");
    if (exists && source_is_directory)
        fail(ErrorKind::Invalid, destination + " is a file, " + source.path + " a directory");
    const auto path = without_trailing_slashes(destination);
    if (last_name(path) == "." || last_name(path) == "..")
        fail(ErrorKind::NotFound, destination + " is not a directory");
    const auto slash = path.rfind('/');
    return {slash == std::string::npos ? "." : path.substr(0, slash + 1), last_name(path)};
}

// What is there may be written over, but no directory is to vanish because of a file, nor the other
// way round.
void check_conflicts(const Tree& tree, const std::string& directory) {
    for (NodeId node = 1; node < tree.size(); ++node) {
        const auto path = join_path(directory, tree.path(node));
        // Whoever unpacks layers removes what it stands for. Trees of single layers have such.
        if (tree.name(node).starts_with(kWhiteoutPrefix))
            fail(ErrorKind::Unsupported, path + ": what begins with .wh. stands for something "
                                                "removed, and cannot be copied");
        struct stat status {};
        if (::lstat(path.c_str(), &status) != 0) {
            if (errno != ENOENT) throw_errno("lstat", path);
            continue;
        }
        const bool is_directory = tree.entry(node).type == FileType::Directory;
        if (S_ISDIR(status.st_mode) != is_directory)
            fail(ErrorKind::Invalid, path + " is " + (is_directory ? "no" : "a") +
                                         " directory, but " + (is_directory ? "a" : "no") +
                                         " directory in the image");
    }
}

void check_stop(const std::stop_token& stop) {
    if (stop.stop_requested()) fail(ErrorKind::Cancelled, "interrupted");
}

void copy(const TreeArgument& shown, const PathArgument& what, const std::string& destination,
          const Flags& flags, const std::stop_token& stop) {
    const auto& tree = *shown.tree;
    const auto source = find_source(tree, what.path, flags.follow);
    if (!shown.open)
        fail(ErrorKind::Unsupported, "the snapshot " + what.reference + " holds no file contents");
    build::TreeTarOptions options;
    if (destination == "-") {
        const auto copied =
            build::subtree(tree, source.node, source.contents_alone ? "" : source.name());
        const auto stream = build::tree_tar(copied, shown.open, options);
        std::vector<std::byte> buffer(1 << 20);
        while (const auto count = stream(buffer)) {
            check_stop(stop);
            print_result(as_text(Bytes(buffer).first(count)));
        }
        return;
    }
    const bool copies_directory = tree.entry(source.node).type == FileType::Directory;
    const auto place = place_for(source, copies_directory, destination);
    const auto copied = build::subtree(tree, source.node, place.name);
    check_conflicts(copied, place.directory);
    const bool is_new = place.name.empty() && !is_directory(place.directory);
    if (is_new) make_directories(place.directory);
    options.own_by_caller = !flags.archive;
    const auto stream = build::tree_tar(copied, shown.open, options);
    const auto name = what.reference + ":" + what.path;
    with_copy_display("Copying", name, false, [&](const build::OnCopied& on_copied) {
        const auto read = build::told(stream, "copied", 0, on_copied);
        layer::apply(
            [&](MutableBytes out) {
                check_stop(stop);
                return read(out);
            },
            name, place.directory);
    });
    if (is_new && ::chmod(place.directory.c_str(), tree.entry(source.node).mode & 0777) != 0)
        throw_errno("chmod", place.directory);
}

int run(const Flags& flags, Workspace& workspace) {
    if (flags.words.size() < 2)
        fail(ErrorKind::Invalid, "it takes what to copy, and where to; see `shale cp --help`");
    const auto& destination = flags.words.back();
    const std::vector<std::string> sources(flags.words.begin(), flags.words.end() - 1);
    if (sources.size() > 1 && (destination == "-" || is_directory(destination) != true))
        fail(ErrorKind::Invalid,
             "several can be copied only into one directory, which " + destination + " is not");
    if (destination == "-" && is_terminal(STDOUT_FILENO))
        fail(ErrorKind::Invalid, "a tar is not for a terminal: `shale cp ... - | tar t`");
    const auto platform = chosen_platform(flags.platform);
    const auto stop = workspace.stop();
    std::string opened;
    std::optional<TreeArgument> shown;  // kept while the files are of one image
    for (const auto& text : sources) {
        const auto what = split_path(text);
        if (!shown || what.reference != opened)
            shown = obtain_tree(workspace, what.reference, platform);
        opened = what.reference;
        copy(*shown, what, destination, flags, stop);
    }
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    required(add_arguments(app, "REF:/PATH DEST", flags->words,
                           "File or directory of an image; then where it goes, - for a tar"));
    add_switch(app, "-a,--archive", flags->archive,
               "Keep owners; without it everything belongs to whoever copies");
    add_switch(app, "-L,--follow-link", flags->follow,
               "Copy what a symbolic link at the end of PATH leads to");
    add_platform_flag(app, flags->platform);
    return [flags](Workspace& workspace) { return run(*flags, workspace); };
}

}  // namespace

const Command& cp_command() {
    static const Command command = {
        .name = "cp",
        .group = "Look inside",
        .summary = "Copy files and directories out of an image",
        .usage = "[OPTIONS] REF:/PATH... DEST|-",
        .details =
            "Reads only the frames that hold them. REF may be all that `shale mount` takes, "
            "docker://NAME too, of whose layers the rest stays in the registry.\n\n"
            "As `docker cp` and cp -a: into DEST if that is a directory, else as DEST; of PATH/. "
            "what the directory holds. Links inside of what is copied stay links. A file takes the "
            "place of a file or a link, a directory that of none but a directory. With - a tar "
            "goes to standard output, with owners.",
        .examples = {{"shale cp app:prod:/app/dist .", "A directory, as ./dist"},
                     {"shale cp app:prod:/app/dist/. public", "What it holds, into public"},
                     {"shale cp docker://localhost:5000/app:prod:/etc/nginx -",
                      "As a tar, fetching only what is needed"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
