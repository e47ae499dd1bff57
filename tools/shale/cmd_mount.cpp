// shale mount: an image as a directory, read lazily; without arguments, what is mounted.
//
// The serving process is forked before anything starts a thread or opens the store. It reports over
// a pipe: one zero byte means it is serving, other bytes are the reason why it is not. End-of-file
// alone means that it died. Until it serves it stays in our session and dies with us, so that
// Ctrl-C ends the pull or the merge that it is at.
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "json_text.hpp"
#include "mount_holder.hpp"
#include "mount_table.hpp"
#include "serving.hpp"
#include "table.hpp"

#include <shale/base.hpp>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <optional>

namespace shale::cli {

namespace {

struct Flags {
    std::string reference, directory, platform, tier;
    std::optional<int> layer, step;
    bool layers = false, no_origin = false, writable = false, read_only = false, foreground = false,
         json = false, record = false, complete = false, no_prefetch = false;
};

int list_mounts(const Flags& flags, const std::string& root) {
    const auto rows = shale_mounts(root);
    if (flags.json) {
        auto array = nlohmann::ordered_json::array();
        for (const auto& row : rows)
            array.push_back({{"image", row.source}, {"target", row.target}});
        print_result(json_text(array));
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

// The reference with the part that the flags name.
std::string wanted_part(const Flags& flags) {
    if (int(flags.layer.has_value()) + int(flags.step.has_value()) + int(flags.layers) > 1)
        fail(ErrorKind::Invalid, "--layer, --step and --layers exclude each other");
    if (flags.layer) return flags.reference + "#layer:" + std::to_string(*flags.layer);
    if (flags.step) return flags.reference + "#step:" + std::to_string(*flags.step);
    return flags.reference + (flags.layers ? "#layers" : "");
}

MountRequest request_of(const Flags& flags, const std::string& target) {
    if (flags.writable && flags.read_only)
        fail(ErrorKind::Invalid, "--ro and --rw exclude each other");
    std::optional<FetchAhead> ahead;
    if (flags.record || flags.complete || flags.no_prefetch)
        ahead = FetchAhead{!flags.no_prefetch, flags.complete, flags.record};
    return {.reference = wanted_part(flags),
            .target = target,
            .platform = chosen_platform(flags.platform),
            .origin = !flags.no_origin,
            .writable = flags.writable,
            .tier = parse_tier(flags.tier),
            .ahead = ahead};
}

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

constexpr char kReady = '\0';  // no message begins so

// The child: prepares the mount and has it served until it is unmounted. Returns the exit status
// nobody but init sees.
int serve_in_background(const Flags& flags, Workspace& workspace, const std::string& target,
                        pid_t parent, UniqueFd report) {
    try {
        if (::prctl(PR_SET_PDEATHSIG, SIGTERM) != 0) throw_errno("prctl");
        if (::getppid() != parent) return kFailure;  // it died before we asked to be told
        Serving serving(request_of(flags, target), workspace);
        ::setsid();
        ::signal(SIGHUP, SIG_IGN);  // meant for whoever has a terminal
        ::prctl(PR_SET_PDEATHSIG, 0);
        detach_from_terminal(join_path(workspace.root(), "mount.log"));
        hold_mount(serving, workspace, flags.reference, [&] {
            write_all(report.get(), as_bytes(std::string_view(&kReady, 1)), "pipe");
            report.reset();
        });
        return kOk;
    } catch (const std::exception& error) {  // the root of a process
        const std::string_view text = error.what();
        if (!report)
            log(LogLevel::Error, error.what());
        else if (text.empty() ||
                 ::write(report.get(), text.data(), text.size()) != ssize_t(text.size()))
            log(LogLevel::Error, "cannot report: " + std::string(text));
        return kFailure;
    }
}

std::string read_report(int fd) {
    std::string report;
    char buffer[4096];
    for (ssize_t count; (count = ::read(fd, buffer, sizeof buffer)) != 0;) {
        if (count < 0 && errno != EINTR) throw_errno("read", "pipe");
        if (count > 0) report.append(buffer, static_cast<std::size_t>(count));
        if (report.starts_with(kReady)) break;  // who holds the mount keeps the other end, too
    }
    return report;
}

[[noreturn]] void fail_without_report(pid_t child, const std::string& log_path) {
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    const auto how = WIFSIGNALED(status)
                         ? "was killed by signal " + std::to_string(WTERMSIG(status))
                         : "ended with status " + std::to_string(WEXITSTATUS(status));
    fail(ErrorKind::Failed, "the serving process " + how + " before it served; see " + log_path);
}

int mount_in_background(const Flags& flags, Workspace& workspace, const std::string& target) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno("pipe2");
    UniqueFd read_end(ends[0]), write_end(ends[1]);
    const pid_t parent = ::getpid();
    const pid_t child = ::fork();
    if (child < 0) throw_errno("fork");
    if (child == 0) {  // returns through main(), so that the store and its session are closed
        read_end.reset();
        return serve_in_background(flags, workspace, target, parent, std::move(write_end));
    }
    write_end.reset();
    const auto report = read_report(read_end.get());
    if (report.empty()) fail_without_report(child, join_path(workspace.root(), "mount.log"));
    if (report.front() == kReady) return kOk;
    while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
    fail(ErrorKind::Failed, report);
}

int run(const Flags& flags, Workspace& workspace) {
    if (flags.reference.empty()) return list_mounts(flags, workspace.root());
    if (flags.directory.empty()) fail(ErrorKind::Invalid, "mount needs REF and DIR");
    const auto target = absolute_directory(flags.directory);
    if (!flags.foreground) return mount_in_background(flags, workspace, target);
    Serving serving(request_of(flags, target), workspace);
    print_note(flags.reference + " is mounted at " + target + " (" + name_of(serving.tier().tier) +
               ": " + serving.tier().why + "); Ctrl-C unmounts");
    serving.pause();
    serving.go_on(0, false);
    serving.wait(workspace);
    return kOk;
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    add_argument(app, "REF", flags->reference, "What to show: an image, or a file that holds one");
    add_argument(app, "DIR", flags->directory, "Empty directory to show it at");
    add_platform_flag(app, flags->platform);
    add_number(app, "--layer", flags->layer, "Only layer N, counted from the lowest");
    add_number(app, "--step", flags->step, "The tree after step N of the history");
    add_switch(app, "--layers", flags->layers,
               "A directory per layer, merged/, and .shale/N/{added,changed,deleted,wasted}");
    add_switch(app, "--rw", flags->writable,
               "Writable; what is written goes with the mount unless shale commit keeps it");
    add_switch(app, "--ro", flags->read_only, "Read-only (default)");
    add_switch(app, "--no-origin", flags->no_origin, "Without the attributes user.shale.*");
    add_value(app, "--tier", flags->tier, "auto|erofs|passthrough|fuse",
              "How the kernel gets to see it (default auto)");
    add_switch(app, "--record", flags->record,
               "docker://: note what is read; later mounts of the repository fetch that first");
    add_switch(app, "--complete", flags->complete, "docker://: fetch the rest in the background");
    add_switch(app, "--no-prefetch", flags->no_prefetch,
               "docker://: do not fetch what was recorded before it is read");
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
            "REF is an image of the store (name, ID or digest; pulled if the store lacks it), "
            "oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], a tar file or a "
            "snapshot file. Of a snapshot, which holds no contents, only names and attributes can "
            "be seen. The layers of an image in a file are copied into the store. docker://REF "
            "stays in its registry: tables of contents are fetched now, frames when they are read, "
            "each verified; layers without a table that the manifest vouches for are pulled. What "
            "follows a file that is read from end to end is fetched ahead. With --record, what is "
            "read first is noted for later mounts of the repository, of any tag, which fetch that "
            "at once in the background; with --complete the rest follows, and the registry is "
            "not needed any more.\n\n"
            "--layer shows the members of one layer, a whiteout as an empty file .wh.NAME; --step "
            "the tree as a step left it; `shale history` has the numbers. The same can be "
            "written REF#layer:N, REF#step:N and REF#layers, here and for cat and diff. Files "
            "bear their origin as extended attributes user.shale.layer, .step, .instruction and "
            ".digest (of the layer), and .content (of the file), which are not listed, so "
            "that no copy takes them along: getfattr -n user.shale.step FILE.\n\n"
            "--tier erofs hands the kernel an image of all names and attributes, made before the "
            "mount answers, so that only contents are asked of shale; files do not bear their "
            "origin then. It needs root and Linux 6.16. --tier fuse, which is what auto takes, is "
            "asked for each name once and needs no preparation, however large the tree. "
            "passthrough is refused: there are no plain files to pass reads through to. `shale "
            "mounts --json` says what was taken and why.\n\n"
            "Without arguments, lists what is mounted.",
        .examples = {{"shale mount app:prod /mnt",
                      "Look around with any tool, then shale umount /mnt"},
                     {"shale mount --platform linux/arm64 app:prod /mnt",
                      "The image for another machine"},
                     {"shale mount docker-archive:app.tar /mnt", "What docker save wrote"},
                     {"shale mount --layers app:prod /mnt; du -sh /mnt/.shale/*/wasted",
                      "What each layer brings for nothing"},
                     {"shale mount docker://node:18 /mnt", "Without pulling it"},
                     {"shale mount --record --complete docker://app:prod /mnt",
                      "What is read now comes first next time; all of it comes in the end"},
                     {"shale mount", "What is mounted"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
