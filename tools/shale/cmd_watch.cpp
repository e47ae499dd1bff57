// shale watch: a process that knows what changed below a directory; which there are, and their end.
//
// Whoever wants an answer finds the process by its socket (src/watch/). For people it leaves a note
// besides, because a socket cannot be listed with the directory that it stands for.
#include "command.hpp"
#include "console.hpp"
#include "flags.hpp"
#include "json_text.hpp"
#include "table.hpp"
#include "watcher_record.hpp"
#include "workspace.hpp"

#include <shale/base.hpp>
#include <shale/watch.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <optional>

namespace shale::cli {

namespace {

struct Flags {
    std::string directory, backend;
    bool background = false, list = false, stop = false, all = false, json = false;
};

watch::Options options_of(const Flags& flags) {
    watch::Options options;
    if (flags.backend == "fanotify") options.backend = watch::Backend::Fanotify;
    if (flags.backend == "inotify") options.backend = watch::Backend::Inotify;
    return options;
}

int serve(const Flags& flags, Workspace& workspace, const std::function<void()>& on_ready) {
    watch::Watcher watcher(flags.directory, options_of(flags));
    std::optional<WatcherNote> note;
    watcher.serve(workspace.stop(), [&] {
        note.emplace(workspace.root(), flags.directory, std::string(watcher.backend()));
        print_note(fmt::format("watching {} with {}", flags.directory, watcher.backend()));
        if (on_ready) on_ready();
    });
    return kOk;
}

// The child tells through the pipe that it listens; a pipe that ends before that means it died,
// and it has said why.
int serve_in_background(const Flags& flags, Workspace& workspace) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno("pipe");
    UniqueFd reading(ends[0]), writing(ends[1]);
    const pid_t child = ::fork();
    if (child < 0) throw_errno("fork");
    if (child == 0) {
        reading.reset();
        ::setsid();
        return serve(flags, workspace, [&] {
            write_all(writing.get(), as_bytes("1"), "pipe");
            writing.reset();
            const UniqueFd nothing = open_file("/dev/null", O_RDWR);
            for (const int standard : {0, 1, 2})
                ::dup2(nothing.get(), standard);
        });
    }
    writing.reset();
    char ready = 0;
    if (::read(reading.get(), &ready, 1) != 1) {
        int status = 0;
        ::waitpid(child, &status, 0);
        return kFailure;
    }
    print_result(fmt::format("{}\n", child));
    return kOk;
}

int list_watchers(const Flags& flags, const std::string& root) {
    const auto all = running_watchers(root);
    if (flags.json) {
        auto array = nlohmann::ordered_json::array();
        for (const auto& watcher : all)
            array.push_back({{"directory", watcher.directory},
                             {"backend", watcher.backend},
                             {"pid", watcher.pid},
                             {"since", format_rfc3339(watcher.since_ns)}});
        print_result(json_text(array));
        return kOk;
    }
    Table table({"DIRECTORY", "BACKEND", "PID", "SINCE"});
    const auto now = system_clock().now_ns();
    for (const auto& watcher : all)
        table.add({watcher.directory, watcher.backend, std::to_string(watcher.pid),
                   format_age(now, watcher.since_ns)});
    print_result(table.str());
    return kOk;
}

int stop_watchers(const Flags& flags, const std::string& root) {
    const auto wanted = flags.all ? std::string() : real_directory(flags.directory);
    bool any = false;
    for (const auto& watcher : running_watchers(root)) {
        if (!flags.all && watcher.directory != wanted) continue;
        stop_watcher(watcher);
        any = true;
    }
    if (!any && !flags.all)
        fail(ErrorKind::NotFound,
             "nobody watches " + flags.directory + "; `shale watch --list` shows who watches what");
    return kOk;
}

int run(const Flags& flags, Workspace& workspace) {
    if (flags.list && flags.stop) fail(ErrorKind::Invalid, "--list and --stop exclude each other");
    if (flags.json && !flags.list) fail(ErrorKind::Invalid, "--json belongs to --list");
    if (flags.all && !flags.stop) fail(ErrorKind::Invalid, "--all belongs to --stop");
    if (flags.list || flags.all) {
        if (!flags.directory.empty())
            fail(ErrorKind::Invalid, "neither --list nor --all takes a directory");
        return flags.list ? list_watchers(flags, workspace.root())
                          : stop_watchers(flags, workspace.root());
    }
    if (flags.directory.empty())
        fail(ErrorKind::Invalid, flags.stop ? "--stop needs a directory, or --all"
                                            : "watch needs a directory, or --list");
    if (flags.stop) return stop_watchers(flags, workspace.root());
    return flags.background ? serve_in_background(flags, workspace) : serve(flags, workspace, {});
}

Run declare(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    add_argument(app, "DIR", flags->directory, "Directory to watch");
    add_switch(app, "--background", flags->background,
               "Return once it watches, and print the number of its process");
    add_value(app, "--backend", flags->backend, "auto|fanotify|inotify",
              "How the kernel is asked (default auto)");
    add_switch(app, "--list", flags->list, "Show which directories this user watches");
    add_switch(app, "--stop", flags->stop, "End the watching of DIR, or with --all of everything");
    add_switch(app, "--all", flags->all, "With --stop: every directory that this user watches");
    add_switch(app, "--json", flags->json, "With --list: print JSON");
    return [flags](Workspace& workspace) { return run(*flags, workspace); };
}

}  // namespace

const Command& watch_command() {
    static const Command command = {
        .name = "watch",
        .group = "Engine alone",
        .summary = "Remember what changes below a directory, so that snapshots of it are quick",
        .usage = "[OPTIONS] DIR|--list|--stop --all",
        .details =
            "Runs until it is interrupted. While it does, `shale snapshot DIR` and `shale build "
            "DIR` "
            "look only at what has changed since the last time instead of walking all of DIR. (A "
            "build whose .dockerignore brings back parts of an excluded directory walks when "
            "something changes there.) It is never needed: without it, and whenever it cannot "
            "vouch for having seen everything (its "
            "queue overflowed, it was restarted, DIR was moved, something was mounted), all is "
            "walked. When DIR is removed or moved, it ends. `shale snapshot --stats` and `shale "
            "build --progress plain` say which it "
            "was.\n\n"
            "fanotify marks the whole file system of DIR in one call and needs root; inotify "
            "watches every directory, of which fs.inotify.max_user_watches limits the number. "
            "Other file systems mounted below DIR cannot be watched with it. A file that a program "
            "changes through a shared mapping counts as changed when the program closes it.",
        .examples = {{"shale watch --background /srv/app", "Watch, and go on"},
                     {"shale snapshot --stats /srv/app -o app.snap", "Take a snapshot meanwhile"},
                     {"shale watch --stop /srv/app", "That was it"}},
        .declare = declare,
    };
    return command;
}

}  // namespace shale::cli
