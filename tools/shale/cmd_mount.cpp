// shale mount: an image as a directory, read lazily; without arguments, what is mounted.
//
// The serving process is forked before anything starts a thread or opens the store. It reports over
// a pipe: nothing but end-of-file means it is serving, bytes are the reason why it is not.
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "image_lookup.hpp"
#include "mount_table.hpp"
#include "table.hpp"

#include <shale/fuse.hpp>
#include <shale/mount.hpp>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <memory>
#include <optional>

namespace shale::cli {

namespace {

struct Flags {
    std::string reference, directory;
    bool foreground = false, json = false;
};

int list_mounts(const Flags& flags) {
    const auto rows = shale_mounts();
    if (flags.json) {
        auto array = nlohmann::ordered_json::array();
        for (const auto& row : rows)
            array.push_back({{"image", row.source}, {"target", row.target}});
        print_result(array.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
        return kOk;
    }
    Table table({"IMAGE", "MOUNTED ON"});
    for (const auto& row : rows)
        table.add({row.source, row.target});
    print_result(table.str());
    return kOk;
}

std::string absolute_directory(const std::string& path) {
    char resolved[PATH_MAX];
    if (!::realpath(path.c_str(), resolved)) throw_errno("mount at", path);
    return resolved;
}

// A mounted image; the store stays open as long.
class Serving {
  public:
    Serving(const Flags& flags, Workspace& workspace, const std::string& target) : target_(target) {
        const auto image = obtain_image(workspace, flags.reference);
        auto& store = workspace.store();
        const auto root = store.image_tree(image.manifest, image.config);
        const auto view = std::make_shared<mount::View>(
            root.tree, store.content_index(root.sources), store.framed());
        fuse::Options options;
        options.source_name = shown_name(image);
        mounted_ = std::make_unique<fuse::Mounted>(view, target, options);
    }
    // Until somebody unmounts, or a signal asks us to.
    void wait(Workspace& workspace) {
        const std::stop_callback unmount(workspace.stop(),
                                         [this] { ::umount2(target_.c_str(), MNT_DETACH); });
        mounted_->wait();
    }

  private:
    std::string target_;
    std::unique_ptr<fuse::Mounted> mounted_;
};

void detach_from_terminal(const std::string& log_path) {
    const UniqueFd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
    const UniqueFd log_file(
        ::open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
    if (!nothing) throw_errno("open", "/dev/null");
    ::dup2(nothing.get(), STDIN_FILENO);
    ::dup2(nothing.get(), STDOUT_FILENO);
    ::dup2(log_file ? log_file.get() : nothing.get(), STDERR_FILENO);
    // The directory we were started in must not be kept busy.
    if (::chdir("/") != 0) throw_errno("chdir", "/");
}

// The child: serves until unmounted. Returns the exit status nobody but init sees.
int serve_in_background(const Flags& flags, Workspace& workspace, const std::string& target,
                        UniqueFd report) {
    ::setsid();
    try {
        Serving serving(flags, workspace, target);
        detach_from_terminal(join_path(workspace.root(), "mount.log"));
        report.reset();
        serving.wait(workspace);
        return kOk;
    } catch (const Error& error) {
        const std::string_view text = error.what();
        if (report)
            write_all(report.get(), as_bytes(text), "pipe");
        else
            log(LogLevel::Error, error.what());
        return kFailure;
    }
}

int mount_in_background(const Flags& flags, Workspace& workspace, const std::string& target) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno("pipe2");
    UniqueFd read_end(ends[0]), write_end(ends[1]);
    const pid_t child = ::fork();
    if (child < 0) throw_errno("fork");
    if (child == 0) {
        read_end.reset();
        ::_exit(serve_in_background(flags, workspace, target, std::move(write_end)));
    }
    write_end.reset();
    std::string report;
    char buffer[4096];
    for (ssize_t count; (count = ::read(read_end.get(), buffer, sizeof buffer)) != 0;) {
        if (count < 0 && errno != EINTR) throw_errno("read", "pipe");
        if (count > 0) report.append(buffer, static_cast<std::size_t>(count));
    }
    if (!report.empty()) {
        ::waitpid(child, nullptr, 0);
        fail(ErrorKind::Failed, report);
    }
    int status = 0;
    if (::waitpid(child, &status, WNOHANG) == child)
        fail(ErrorKind::Failed,
             "the serving process ended at once; see " + join_path(workspace.root(), "mount.log"));
    return kOk;
}

int run(const Flags& flags, Workspace& workspace) {
    if (flags.reference.empty()) return list_mounts(flags);
    if (flags.directory.empty()) fail(ErrorKind::Invalid, "mount needs REF and DIR");
    const auto target = absolute_directory(flags.directory);
    if (!flags.foreground) return mount_in_background(flags, workspace, target);
    Serving serving(flags, workspace, target);
    print_note(flags.reference + " is mounted at " + target + "; Ctrl-C unmounts");
    serving.wait(workspace);
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    add_argument(app, "REF", flags->reference, "Image to show");
    add_argument(app, "DIR", flags->directory, "Empty directory to show it at");
    add_switch(app, "--foreground", flags->foreground, "Serve until interrupted, do not fork");
    add_switch(app, "--json", flags->json, "List mounts as JSON");
    return [flags](Workspace& workspace) { return run(*flags, workspace); };
}

}  // namespace

const Command& mount_command() {
    static const Command command = {
        .name = "mount",
        .group = "Look inside",
        .summary = "Show an image as a directory, reading lazily",
        .usage = "[OPTIONS] [REF DIR]",
        .details =
            "Returns as soon as the image is there; a process in the background serves it until "
            "`shale umount DIR`. Layers are merged; a file's bytes are decompressed when somebody "
            "reads them, and verified. Bytes that fail their checksum are an I/O error.\n\n"
            "Without arguments, lists what is mounted.",
        .examples = {{"shale mount app:prod /mnt",
                      "Look around with any tool, then shale umount /mnt"},
                     {"shale mount", "What is mounted"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
