// Real containers through every runtime that is installed, and real overlays.
//
// One long file because every test needs the same container and the same look for leftovers.
// The root file system is a static busybox. Each test ends with a look for leftovers: mounts,
// processes, cgroups and files of this process.
#include <shale/codec.hpp>
#include <shale/diff.hpp>
#include <shale/sandbox.hpp>

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <ifaddrs.h>
#include <poll.h>
#include <pty.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <set>
#include <sstream>
#include <thread>

namespace shale::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr const char* kBusybox = "/bin/busybox";

std::string shell_output(const std::string& command) {
    std::string text;
    char buffer[4096];
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), ::pclose);
    while (const std::size_t count = std::fread(buffer, 1, sizeof buffer, pipe.get()))
        text.append(buffer, count);
    return text;
}

bool is_static(const std::string& program) {
    return path_exists(program) &&
           shell_output("ldd " + program + " 2>&1").find("not a dynamic") != std::string::npos;
}

void make_busybox_root(const std::string& root) {
    for (const char* name : {"bin", "etc", "tmp", "proc", "sys", "dev"})
        make_directories(join_path(root, name));
    fs::copy_file(kBusybox, join_path(root, "bin/busybox"));
    std::istringstream applets(shell_output(std::string(kBusybox) + " --list"));
    for (std::string name; applets >> name;)
        if (name != "busybox") fs::create_symlink("busybox", join_path(root, "bin/" + name));
    write_file_atomic(
        join_path(root, "etc/passwd"),
        as_bytes("root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n"));
}

// Whatever belongs to this process's containers and is visible from outside.
std::set<std::string> traces(const std::string& directory) {
    std::set<std::string> found;
    std::istringstream mounts(read_file("/proc/self/mountinfo"));
    for (std::string line; std::getline(mounts, line);)
        if (line.find(directory) != std::string::npos) found.insert("mount " + line);
    const std::string name = "shale-" + std::to_string(::getpid()) + "-";
    std::error_code ignored;
    for (const auto& hierarchy : fs::directory_iterator("/sys/fs/cgroup", ignored)) {
        if (hierarchy.path().filename().string().starts_with(name)) found.insert(hierarchy.path());
        for (const auto& group : fs::directory_iterator(hierarchy.path(), ignored))
            if (group.path().filename().string().starts_with(name)) found.insert(group.path());
    }
    for (const auto& process : fs::directory_iterator("/proc", ignored)) {
        if (process.path().filename().string().find_first_not_of("0123456789") != std::string::npos)
            continue;
        std::string line;
        try {
            line = read_file(process.path() / "cmdline");
        } catch (const Error&) {  // it has just ended
        }
        if (line.find(name) != std::string::npos || line.find(directory) != std::string::npos)
            found.insert("process " + process.path().string() + " " + line);
    }
    return found;
}

struct Captured {
    Result result;
    std::string out, err;
};

// The parameter is the value of $SHALE_RUNTIME.
class Containers : public testing::TestWithParam<const char*> {
  protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "containers need root";
        if (!is_static(kBusybox)) GTEST_SKIP() << "no static " << kBusybox;
        ::setenv("SHALE_RUNTIME", GetParam(), 1);
        area_ = std::make_unique<TempDir>();
        root_ = join_path(area_->path(), "root");
        make_busybox_root(root_);
        try {
            runtime_ = std::make_unique<Runtime>(Runtime::probe(state()));
        } catch (const Error& error) {
            GTEST_SKIP() << error.what();
        }
    }
    void TearDown() override {
        ::unsetenv("SHALE_RUNTIME");
        runtime_.reset();
        if (!area_) return;
        EXPECT_EQ(traces(area_->path()), std::set<std::string>());
        for (const auto& item : fs::directory_iterator(state()))
            EXPECT_EQ(item.path().filename(), "runtime.json");
    }

    std::string state() const { return join_path(area_->path(), "state"); }
    Spec shell(const std::string& script) const {
        Spec spec;
        spec.root = root_;
        spec.argv = {"/bin/sh", "-c", script};
        spec.env = {"PATH=/bin"};
        spec.network = Network::None;
        return spec;
    }
    Captured run(const Spec& spec, std::stop_token stop = {}) {
        Captured captured;
        captured.result = runtime_->run(
            spec,
            [&](OutputStream stream, std::string_view text) {
                (stream == OutputStream::Stdout ? captured.out : captured.err).append(text);
            },
            std::move(stop));
        return captured;
    }
    // Standard output of a script that must succeed.
    std::string output_of(const Spec& spec) {
        const Captured captured = run(spec);
        EXPECT_EQ(captured.result.exit_code, 0) << captured.err << captured.result.start_error;
        return captured.out;
    }
    std::string output_of(const std::string& script) { return output_of(shell(script)); }

    std::unique_ptr<TempDir> area_;
    std::string root_;
    std::unique_ptr<Runtime> runtime_;
};

TEST_P(Containers, OutputAndExitCode) {
    const Captured captured = run(shell("echo out; echo err >&2; exit 7"));
    EXPECT_EQ(captured.result.exit_code, 7);
    EXPECT_EQ(captured.result.start_error, "");
    EXPECT_EQ(captured.out, "out\n");
    EXPECT_EQ(captured.err, "err\n");
}

TEST_P(Containers, KilledCommandReportsItsSignal) {
    // The shell is process 1 and immune to its own signals; a child is not.
    EXPECT_EQ(run(shell("sh -c 'kill -9 $$'; exit $?")).result.exit_code, 137);
}

TEST_P(Containers, LongOutputArrivesCompleteAndInOrder) {
    const Captured captured = run(shell("seq 1 200000; seq 1 50000 >&2"));
    const auto expect_sequence = [](const std::string& text, int last) {
        std::istringstream lines(text);
        int expected = 1;
        for (int number; lines >> number; ++expected)
            ASSERT_EQ(number, expected);
        EXPECT_EQ(expected, last + 1);
    };
    expect_sequence(captured.out, 200000);
    expect_sequence(captured.err, 50000);
}

TEST_P(Containers, CommandThatCannotStart) {
    Spec spec = shell("");
    spec.argv = {"nosuch"};
    Captured captured = run(spec);
    EXPECT_EQ(captured.result.start_error, "exec: \"nosuch\": executable file not found in $PATH");
    EXPECT_EQ(captured.result.exit_code, 127);
    EXPECT_EQ(captured.err, "");
    spec.argv = {"/bin/nosuch"};
    EXPECT_EQ(run(spec).result.start_error,
              "exec: \"/bin/nosuch\": stat /bin/nosuch: no such file or directory");
    spec.argv = {"/etc/passwd"};
    EXPECT_EQ(run(spec).result.start_error, "exec: \"/etc/passwd\": permission denied");
    spec = shell("true");
    spec.root = join_path(area_->path(), "absent");
    EXPECT_NE(run(spec).result.start_error, "");
}

TEST_P(Containers, EnvironmentUserAndDirectory) {
    Spec spec =
        shell("echo $A; id -u; id -g; id -G; pwd; umask; hostname; touch /etc/x || echo no");
    spec.env.push_back("A=b c");
    spec.uid = spec.gid = 1000;
    spec.additional_gids = {5, 6};
    spec.cwd = "/made/for/this";
    spec.hostname = "builder";
    EXPECT_EQ(output_of(spec), "b c\n1000\n1000\n1000 5 6\n/made/for/this\n0022\nbuilder\nno\n");
}

TEST_P(Containers, HomeComesFromPasswd) {
    EXPECT_EQ(output_of("echo $HOME"), "/root\n");
}

TEST_P(Containers, CapabilitiesAndFilterAreDockers) {
    const std::string status = output_of("cat /proc/self/status");
    EXPECT_NE(status.find("CapBnd:\t00000000a80425fb\n"), std::string::npos) << status;
    EXPECT_NE(status.find("CapEff:\t00000000a80425fb\n"), std::string::npos) << status;
    EXPECT_NE(status.find("CapInh:\t0000000000000000\n"), std::string::npos) << status;
    EXPECT_NE(status.find("NoNewPrivs:\t0\n"), std::string::npos) << status;
    EXPECT_NE(status.find("Seccomp:\t2\n"), std::string::npos) << status;
    // Needs no capability, so only the filter can refuse it.
    EXPECT_NE(run(shell("unshare -U true")).result.exit_code, 0);
}

TEST_P(Containers, DevicesMayBeMadeButNotOpened) {
    EXPECT_EQ(output_of("mknod /tmp/fuse c 10 229 && mknod /tmp/mem c 1 1 && mknod /tmp/disk b 7 0 "
                        "&& mknod /tmp/null c 1 3 && echo hi >/tmp/null && head -c1 /tmp/null"),
              "");
    for (const char* node : {"fuse", "mem", "disk"})
        EXPECT_NE(run(shell(std::string("head -c1 /tmp/") + node)).err.find("not permitted"),
                  std::string::npos)
            << node;
    EXPECT_EQ(output_of("cd /dev; for i in null zero full random urandom tty; do "
                        "test -c $i || echo $i; done; test -e ptmx && test -d pts && echo pts"),
              "pts\n");
}

TEST_P(Containers, NamespacesAreOwn) {
    for (const char* name : {"pid", "mnt", "ipc", "uts", "net", "cgroup"}) {
        const std::string link = std::string("/proc/self/ns/") + name;
        EXPECT_NE(output_of("readlink " + link), fs::read_symlink(link).string() + "\n") << name;
    }
    EXPECT_EQ(output_of("echo $$"), "1\n");
}

TEST_P(Containers, KernelFilesAreMaskedOrReadOnly) {
    // Masked files read as empty, or do not exist on this kernel.
    EXPECT_EQ(output_of("cat /proc/timer_list /proc/keys 2>/dev/null; true"), "");
    EXPECT_NE(run(shell("echo 1 > /proc/sys/vm/drop_caches")).result.exit_code, 0);
    EXPECT_NE(run(shell("echo b > /proc/sysrq-trigger")).result.exit_code, 0);
    EXPECT_NE(run(shell("mkdir /sys/kernel/x")).result.exit_code, 0);
    Spec spec = shell("grep ' /dev/shm ' /proc/mounts");
    spec.shm_bytes = 8 << 20;
    EXPECT_NE(output_of(spec).find("size=8192k"), std::string::npos);
}

TEST_P(Containers, StandardInputIsEmpty) {
    EXPECT_EQ(output_of("wc -c"), "0\n");
}

TEST_P(Containers, PrivilegedLiftsTheLimits) {
    Spec spec =
        shell("unshare -m true && test -c /dev/fuse && grep -c Seccomp:.0 /proc/self/status");
    spec.privileged = true;
    EXPECT_EQ(output_of(spec), "1\n");
}

TEST_P(Containers, BindMounts) {
    const std::string host = join_path(area_->path(), "host");
    make_directories(host);
    write_file_atomic(join_path(host, "secret"), as_bytes("s3cret"));
    Spec spec = shell("cat /run/secrets/one; echo x > /run/secrets/one || echo ro; "
                      "echo new > /data/file; mkdir /data/dir; df /scratch | tail -1 | cut -c1-5; "
                      "touch /scratch/x; cat /nested/inner/secret");
    spec.mounts = {{join_path(host, "secret"), "/run/secrets/one", true},
                   {host, "/data", false},
                   {host, "/nested", true},
                   {"", "/scratch", false}};
    spec.mounts[2] = {host, "/nested/inner", true};
    EXPECT_EQ(output_of(spec), "s3cretro\ntmpfs\ns3cret");
    EXPECT_EQ(read_file(join_path(host, "file")), "new\n");
    EXPECT_TRUE(fs::is_empty(join_path(root_, "scratch")));
}

TEST_P(Containers, MountTargetsStayInsideTheRoot) {
    const std::string outside = join_path(area_->path(), "outside");
    make_directories(outside);
    fs::create_directory_symlink("../../../../../../.." + outside, join_path(root_, "relative"));
    fs::create_directory_symlink(outside, join_path(root_, "absolute"));
    write_file_atomic(join_path(area_->path(), "payload"), as_bytes("p"));
    for (const char* target : {"/relative/file", "/absolute/file"}) {
        Spec spec = shell(std::string("cat ") + target);
        spec.mounts = {{join_path(area_->path(), "payload"), target, true}};
        run(spec);  // may succeed inside the root or be refused
        EXPECT_TRUE(fs::is_empty(outside)) << target;
    }
}

TEST_P(Containers, NoNetworkMeansLoopbackOnly) {
    EXPECT_EQ(output_of("ls /sys/class/net; ping -c1 -w5 127.0.0.1 >/dev/null && echo up"),
              "lo\nup\n");
}

TEST_P(Containers, HostNetworkIsTheHosts) {
    Spec spec = shell("readlink /proc/self/ns/net");
    spec.network = Network::Host;
    EXPECT_EQ(output_of(spec), fs::read_symlink("/proc/self/ns/net").string() + "\n");
}

// An IPv4 address of this machine other than the loopback's.
std::string outward_address() {
    ifaddrs* list = nullptr;
    if (::getifaddrs(&list) != 0) return {};
    std::string address;
    for (const ifaddrs* one = list; one; one = one->ifa_next) {
        if (!one->ifa_addr || one->ifa_addr->sa_family != AF_INET) continue;
        sockaddr_in inet{};
        std::memcpy(&inet, one->ifa_addr, sizeof inet);
        char text[INET_ADDRSTRLEN];
        ::inet_ntop(AF_INET, &inet.sin_addr, text, sizeof text);
        if (!std::string_view(text).starts_with("127.")) address = text;
    }
    ::freeifaddrs(list);
    return address;
}

TEST_P(Containers, PrivateNetworkReachesOut) {
    if (!runtime_->network_note().empty()) GTEST_SKIP() << runtime_->network_note();
    const std::string address = outward_address();
    if (address.empty()) GTEST_SKIP() << "this machine has a loopback address only";
    const UniqueFd server(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in any{};
    any.sin_family = AF_INET;
    socklen_t size = sizeof any;
    ASSERT_EQ(::bind(server.get(), reinterpret_cast<sockaddr*>(&any), size), 0);
    ASSERT_EQ(::listen(server.get(), 4), 0);
    ::getsockname(server.get(), reinterpret_cast<sockaddr*>(&any), &size);
    const std::string port = std::to_string(ntohs(any.sin_port));
    std::jthread answer([&] {
        for (int i = 0; i < 2; ++i) {
            const UniqueFd client(::accept4(server.get(), nullptr, nullptr, SOCK_CLOEXEC));
            write_all(client.get(), as_bytes("hello\n"), "client");
        }
    });
    Spec spec = shell("nc " + address + " " + port +
                      " </dev/null; "
                      "nc -w 2 127.0.0.1 " +
                      port + " </dev/null || echo refused");
    spec.network = Network::Private;
    EXPECT_EQ(output_of(spec), "hello\nrefused\n");
    // A second step gets a namespace that somebody has used before.
    EXPECT_EQ(output_of(spec), "hello\nrefused\n");
}

TEST_P(Containers, StopKillsEverything) {
    std::stop_source stop;
    Spec spec = shell("sleep 1000 & sh -c 'trap \"\" TERM; echo ready; sleep 1000'; echo after");
    std::string out;
    const Result result = runtime_->run(
        spec,
        [&](OutputStream, std::string_view text) {
            out.append(text);
            if (out.find("ready") != std::string::npos) stop.request_stop();
        },
        stop.get_token());
    EXPECT_EQ(result.exit_code, 137);
    EXPECT_EQ(out, "ready\n");
}

TEST_P(Containers, StopBeforeTheStart) {
    std::stop_source stop;
    stop.request_stop();
    EXPECT_EQ(run(shell("echo started; sleep 1000"), stop.get_token()).result.exit_code, 137);
}

TEST_P(Containers, BackgroundProcessesEndWithTheCommand) {
    EXPECT_EQ(output_of("(sleep 1000; echo late) & echo done"), "done\n");
}

TEST_P(Containers, ExceptionOfTheCallerEndsTheRun) {
    EXPECT_THROW(runtime_->run(shell("echo x; sleep 1000"),
                               [](OutputStream, std::string_view) {
                                   fail(ErrorKind::Failed, "caller gives up");
                               }),
                 Error);
}

// Process ids of the runtime that was started for containers of this process.
std::vector<pid_t> runtime_processes() {
    std::vector<pid_t> found;
    const std::string children =
        read_file(fs::path("/proc/self/task") / std::to_string(::gettid()) / "children");
    std::istringstream numbers(children);
    for (pid_t pid; numbers >> pid;)
        if (read_file("/proc/" + std::to_string(pid) + "/cmdline").find("--bundle") !=
            std::string::npos)
            found.push_back(pid);
    return found;
}

TEST_P(Containers, CrashOfTheRuntimeLeavesNothing) {
    try {
        runtime_->run(shell("sleep 1000 & echo ready; sleep 1000"),
                      [](OutputStream, std::string_view) {
                          const auto processes = runtime_processes();
                          ASSERT_EQ(processes.size(), 1u);
                          ::kill(processes.front(), SIGKILL);
                      });
        FAIL() << "a crashed runtime was taken for success";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::System);
        EXPECT_NE(std::string(error.what()).find("killed by signal 9"), std::string::npos);
    }
}

TEST_P(Containers, RunsAtTheSameTimeDoNotMeet) {
    std::atomic<int> good = 0;
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 4; ++i)
            threads.emplace_back([&, i] {
                Spec spec = shell("hostname; echo /proc/[0-9]*");
                spec.hostname = "host" + std::to_string(i);
                spec.network = i % 2 ? Network::None : Network::Private;
                const Captured captured = run(spec);
                // echo and the shell are one process; hostname has ended.
                if (captured.out == spec.hostname + "\n/proc/1\n") ++good;
            });
    }
    EXPECT_EQ(good, 4);
}

TEST_P(Containers, FindingsAreRemembered) {
    const std::string file = join_path(state(), "runtime.json");
    const auto before = fs::last_write_time(file);
    const Runtime again = Runtime::probe(state());
    EXPECT_EQ(again.name(), runtime_->name());
    EXPECT_EQ(again.explanation(), runtime_->explanation());
    EXPECT_EQ(fs::last_write_time(file), before);
    write_file_atomic(file, as_bytes("{"));
    EXPECT_EQ(Runtime::probe(state()).name(), runtime_->name());
    EXPECT_GT(read_file(file).size(), 100u);
}

// In a process of its own, which owns the terminal.
TEST_P(Containers, TerminalIsPassedThrough) {
    Spec spec = shell(
        "test -t 0 && test -t 1 && echo is-tty; stty size; echo ready; read line; echo got $line");
    spec.terminal = true;
    winsize size{};
    size.ws_row = 33;
    size.ws_col = 99;
    int master = -1;
    const pid_t child = ::forkpty(&master, nullptr, nullptr, &size);
    ASSERT_GE(child, 0);
    if (child == 0) ::_exit(runtime_->run(spec, {}).exit_code);
    const UniqueFd terminal(master);
    std::string text;
    char buffer[256];
    for (ssize_t count; (count = ::read(master, buffer, sizeof buffer)) > 0;) {
        const bool asked = text.find("ready") != std::string::npos;
        text.append(buffer, static_cast<std::size_t>(count));
        if (!asked && text.find("ready") != std::string::npos)
            write_all(master, as_bytes("word\n"), "terminal");
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(WEXITSTATUS(status), 0);
    EXPECT_NE(text.find("is-tty\r\n33 99\r\n"), std::string::npos) << text;
    EXPECT_NE(text.find("got word\r\n"), std::string::npos) << text;
}

INSTANTIATE_TEST_SUITE_P(Runtimes, Containers, testing::Values("crun", "runc"),
                         [](const auto& test) { return std::string(test.param); });

TEST(Probe, NothingThatWorksIsExplained) {
    if (::geteuid() != 0) GTEST_SKIP() << "containers need root";
    const TempDir state;
    for (const char* name : {"/nonexistent/runtime", "/bin/false"}) {
        ::setenv("SHALE_RUNTIME", name, 1);
        try {
            Runtime::probe(state.path());
            ADD_FAILURE() << name;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::Unsupported);
            EXPECT_NE(std::string(error.what()).find("SHALE_RUNTIME"), std::string::npos)
                << error.what();
        }
        ::unsetenv("SHALE_RUNTIME");
    }
    EXPECT_TRUE(fs::is_empty(state.path()));
}

// ---------------------------------------------------------------------------------------------

class Overlay : public testing::Test {
  protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "overlays need root";
        area_ = std::make_unique<TempDir>();
        for (const char* name : {"upper", "work", "merged"})
            make_directories(at(name));
    }
    void TearDown() override {
        if (area_) {
            EXPECT_EQ(traces(area_->path()), std::set<std::string>());
        }
    }
    std::string at(std::string_view name) const { return join_path(area_->path(), name); }
    std::string make_lower(const std::string& name, const std::string& file) {
        make_directories(at(name));
        write_file_atomic(at(name) + "/" + file, as_bytes(name));
        return at(name);
    }
    std::unique_ptr<TempDir> area_;
};

TEST_F(Overlay, TopmostLowerWinsAndWritesGoToTheUpper) {
    const auto top = make_lower("top", "file");
    const auto bottom = make_lower("bottom", "file");
    make_lower("bottom", "other");
    {
        OverlayMount overlay({top, bottom}, at("upper"), at("work"), at("merged"));
        EXPECT_EQ(read_file(at("merged/file")), "top");
        EXPECT_EQ(read_file(at("merged/other")), "bottom");
        write_file_atomic(at("merged/new"), as_bytes("new"));
    }
    EXPECT_FALSE(path_exists(at("merged/file")));
    EXPECT_EQ(read_file(at("upper/new")), "new");
}

TEST_F(Overlay, NamesWithOptionSyntaxAreTakenLiterally) {
    const auto lower = make_lower("a:b,c\\d,upperdir=x", "file");
    make_directories(at("up:per,"));
    OverlayMount overlay({lower, make_lower("plain", "other")}, at("up:per,"), at("work"),
                         at("merged"));
    EXPECT_TRUE(path_exists(at("merged/file")));
    EXPECT_TRUE(path_exists(at("merged/other")));
    write_file_atomic(at("merged/new"), as_bytes("new"));
    EXPECT_EQ(read_file(at("up:per,") + "/new"), "new");
    overlay.unmount();
}

TEST_F(Overlay, MoreLowersThanFitIntoAPage) {
    std::vector<std::string> lowers;
    const std::string padding(100, 'x');
    for (int i = 0; i < 60; ++i) {
        const std::string number = std::to_string(i);
        lowers.push_back(make_lower(padding + number, "file" + number));
    }
    const OverlayMount overlay(lowers, at("upper"), at("work"), at("merged"));
    for (int i = 0; i < 60; ++i)
        EXPECT_TRUE(path_exists(at("merged/file" + std::to_string(i))));
}

// fsconfig(2) takes 255 bytes as one value.
TEST_F(Overlay, PathsThatAreTooLongForAnOption) {
    const std::string deep = std::string(200, 'x') + "/" + std::string(200, 'y');
    std::vector<std::string> lowers;
    for (int i = 0; i < 10; ++i) {
        const std::string number = std::to_string(i);
        lowers.push_back(make_lower(deep + number, "file" + number));
    }
    make_directories(at(deep + "upper"));
    make_directories(at(deep + "work"));
    const OverlayMount overlay(lowers, at(deep + "upper"), at(deep + "work"), at("merged"));
    for (int i = 0; i < 10; ++i)
        EXPECT_TRUE(path_exists(at("merged/file" + std::to_string(i))));
    write_file_atomic(at("merged/new"), as_bytes("new"));
    EXPECT_TRUE(path_exists(at(deep + "upper/new")));
}

TEST_F(Overlay, UpperHoldsWholeFilesAndPlainDirectories) {
    const auto lower = make_lower("lower/dir", "file");
    const OverlayMount overlay({at("lower")}, at("upper"), at("work"), at("merged"));
    ASSERT_EQ(::chmod(at("merged/dir/file").c_str(), 0600), 0);
    EXPECT_EQ(read_file(at("upper/dir/file")), "lower/dir") << "metacopy would leave a hole";
    // A renamed lower directory would need a redirect; without them programs copy.
    EXPECT_EQ(::rename(at("merged/dir").c_str(), at("merged/moved").c_str()), -1);
    EXPECT_EQ(errno, EXDEV);
}

TEST_F(Overlay, WithNotesMetadataAndMovedDirectoriesCopyNoBytes) {
    const auto lower = make_lower("lower/dir", "file");
    make_lower("lower/other", "file");
    OverlayMount overlay({at("lower")}, at("upper"), at("work"), at("merged"), true);
    ASSERT_EQ(::chmod(at("merged/dir/file").c_str(), 0600), 0);
    const auto has_mark = [&](const char* path, const char* mark) {
        return ::lgetxattr(at(path).c_str(), mark, nullptr, 0) >= 0;
    };
    EXPECT_TRUE(has_mark("upper/dir/file", "trusted.overlay.metacopy"));
    ASSERT_EQ(::rename(at("merged/other").c_str(), at("merged/moved").c_str()), 0);
    EXPECT_TRUE(has_mark("upper/moved", "trusted.overlay.redirect"));
    EXPECT_FALSE(path_exists(at("upper/moved/file")));
    EXPECT_EQ(read_file(at("merged/moved/file")), "lower/other");
    EXPECT_EQ(read_file(at("merged/dir/file")), "lower/dir");
    overlay.unmount();
    // Whoever reads the upper finds all of it through the notes.
    const auto tree = diff::merge_upper(snapshot::scan(at("lower")), at("upper"));
    EXPECT_EQ(tree.entry(tree.find("dir/file")).mode, 0600u);
    EXPECT_EQ(tree.entry(tree.find("dir/file")).content, codec::sha256("lower/dir"));
    EXPECT_EQ(tree.entry(tree.find("moved/file")).content, codec::sha256("lower/other"));
    EXPECT_EQ(tree.find("other"), snapshot::kNoNode);
}

TEST_F(Overlay, BusyMountIsDetachedByTheDestructor) {
    const auto lower = make_lower("lower", "file");
    UniqueFd busy;
    {
        OverlayMount overlay({lower}, at("upper"), at("work"), at("merged"));
        busy = open_file(at("merged/file"), O_RDONLY);
        EXPECT_THROW(overlay.unmount(), Error);
    }
    EXPECT_FALSE(path_exists(at("merged/file")));
}

TEST_F(Overlay, FailureNamesTheTarget) {
    try {
        OverlayMount overlay({at("absent")}, at("upper"), at("work"), at("merged"));
        FAIL();
    } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find(at("merged")), std::string::npos);
    }
    EXPECT_THROW(OverlayMount({}, at("upper"), at("work"), at("merged")), Error);
}

TEST_F(Overlay, ServesAsTheRootOfAContainer) {
    if (!is_static(kBusybox)) GTEST_SKIP() << "no static " << kBusybox;
    make_busybox_root(at("lower"));
    Runtime runtime = [&] {
        try {
            return Runtime::probe(at("state"));
        } catch (const Error&) {
            return Runtime(Runtime::probe(at("state")));
        }
    }();
    {
        OverlayMount overlay({at("lower")}, at("upper"), at("work"), at("merged"));
        Spec spec;
        spec.root = at("merged");
        spec.argv = {"/bin/sh", "-c", "echo hi > /etc/made && rm /etc/passwd"};
        spec.network = Network::None;
        EXPECT_EQ(runtime.run(spec, {}).exit_code, 0);
        overlay.unmount();
    }
    EXPECT_EQ(read_file(at("upper/etc/made")), "hi\n");
    struct stat status {};
    ASSERT_EQ(::lstat(at("upper/etc/passwd").c_str(), &status), 0);
    EXPECT_TRUE(S_ISCHR(status.st_mode)) << "a whiteout";
    EXPECT_TRUE(path_exists(at("lower/etc/passwd")));
}

// While one step runs, the mounts of another can be unmounted for good.
TEST_F(Overlay, RunningContainersDoNotHoldMountsOfOthers) {
    if (!is_static(kBusybox)) GTEST_SKIP() << "no static " << kBusybox;
    make_busybox_root(at("root"));
    Runtime runtime = Runtime::probe(at("state"));
    auto other =
        std::make_unique<OverlayMount>(std::vector<std::string>{make_lower("lower", "file")},
                                       at("upper"), at("work"), at("merged"));
    Spec spec;
    spec.root = at("root");
    spec.argv = {"/bin/sh", "-c", "echo ready; exec sleep 1000"};
    spec.network = Network::None;
    std::stop_source stop;
    std::string seen_by_runtime = "not looked";
    runtime.run(
        spec,
        [&](OutputStream, std::string_view) {
            const auto processes = runtime_processes();
            ASSERT_EQ(processes.size(), 1u);
            seen_by_runtime = read_file("/proc/" + std::to_string(processes[0]) + "/mountinfo");
            stop.request_stop();
        },
        stop.get_token());
    EXPECT_NE(seen_by_runtime, "not looked");
    EXPECT_EQ(seen_by_runtime.find(at("merged")), std::string::npos);
}

}  // namespace
}  // namespace shale::sandbox
