// What the options of a mount come to, what of it cache keys cover, and how cache directories are
// shared; nothing is mounted here.
#include "cache_mount.hpp"
#include "context.hpp"
#include "device_request.hpp"
#include "entitlements.hpp"
#include "needed_paths.hpp"
#include "plan.hpp"
#include "run.hpp"
#include "run_title.hpp"
#include "secrets.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace shale::build {
namespace {

std::string error_of(const std::function<void()>& body) {
    try {
        body();
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

dockerfile::Mount parsed(const std::string& options) {
    const auto result = dockerfile::parse("FROM x\nRUN --mount=" + options + " true\n");
    EXPECT_TRUE(result.ok()) << options;
    const auto& run =
        std::get<dockerfile::Run>(result.file.stages.front().instructions.front().value);
    return dockerfile::expand_mount(run.mounts.front(),
                                    [](std::string_view) { return std::optional<std::string>(); });
}

RunMount decided(const std::string& options, const std::string& cwd = "/w") {
    return decide_mount(parsed(options), cwd, 0);
}

TEST(DecideMount, RelativeTargetsAreBelowTheWorkingDirectory) {
    EXPECT_EQ(decided("target=a/../b").target, "/w/b");
    EXPECT_EQ(decided("target=/a/./b/").target, "/a/b");
    EXPECT_EQ(decided("source=x").target, "/w");
    EXPECT_NE(error_of([] { decided("source=x", "/"); }).find("invalid mount target \"/\""),
              std::string::npos);
}

TEST(DecideMount, AccessDependsOnTheType) {
    EXPECT_TRUE(decided("target=a").read_only);
    EXPECT_FALSE(decided("target=a,rw").read_only);
    EXPECT_FALSE(decided("type=cache,target=a").read_only);
    EXPECT_TRUE(decided("type=cache,target=a,ro").read_only);
    EXPECT_FALSE(decided("type=tmpfs,target=a").read_only);
}

TEST(DecideMount, CachesAreNamedByTheirTarget) {
    EXPECT_EQ(decided("type=cache,target=a/../b").id, "/w/b");
    EXPECT_EQ(decided("type=cache,target=a,id=mine").id, "mine");
    EXPECT_EQ(decided("type=cache,target=a,sharing=locked").sharing, CacheSharing::Locked);
}

TEST(DecideMount, SecretsHaveDefaultPlaces) {
    EXPECT_EQ(decided("type=secret,id=a/key").target, "/run/secrets/key");
    EXPECT_EQ(decided("type=secret,target=/etc/key").id, "key");
    EXPECT_EQ(decided("type=secret,source=key").id, "key");
    const auto variable = decided("type=secret,id=key,env=KEY");
    EXPECT_EQ(variable.target, "");
    EXPECT_EQ(variable.variable, "KEY");
    EXPECT_EQ(decided("type=secret,id=key,env=KEY,target=k").target, "/w/k");
    EXPECT_EQ(decided("type=secret,id=key,mode=0440").mode, 0440u);
}

TEST(DecideMount, AgentsAreNumbered) {
    EXPECT_EQ(decided("type=ssh").id, "default");
    EXPECT_EQ(decide_mount(parsed("type=ssh"), "/", 3).target, "/run/buildkit/ssh_agent.3");
}

TEST(DecideMount, LinksIntoProcAreSeen) {
    snapshot::TreeBuilder builder;
    const auto link = [&](const std::string& path, const std::string& target) {
        snapshot::EntrySpec spec;
        spec.type = FileType::Symlink;
        spec.mode = 0777;
        spec.link_target = target;
        builder.put(path, spec);
    };
    builder.put("proc", {});
    builder.put("etc/dir", {});
    link("etc/hosts", "/proc/self/environ");
    link("etc/resolv.conf", "../proc/sys/kernel/core_pattern");
    link("etc/up", "../../../../../../proc/1");
    link("etc/two", "one");
    link("etc/one", "hosts");
    link("etc/loop", "loop");
    link("etc/fine", "../process");
    link("p", "proc");
    link("lib", "usr/lib");
    const auto tree = builder.finish();
    for (const char* target : {"/proc", "/proc/sys", "/etc/hosts", "/etc/resolv.conf", "/etc/up",
                               "/etc/two", "/p/x", "//proc//1"})
        EXPECT_TRUE(leads_into_proc(target, links_of(tree, {}))) << target;
    for (const char* target : {"/", "/etc/dir", "/etc/fine", "/etc/loop", "/lib/proc", "/srv/new/x",
                               "/etc/dir/proc", "/processes"})
        EXPECT_FALSE(leads_into_proc(target, links_of(tree, {}))) << target;
}

// What is mounted on the tree has links of its own.
TEST(DecideMount, LinksOfOtherMountsAreSeen) {
    const TempDir directory;
    ASSERT_EQ(::symlink("/proc", (directory.path() + "/x").c_str()), 0);
    make_directories(directory.path() + "/d");
    ASSERT_EQ(::symlink("../x/sys", (directory.path() + "/d/y").c_str()), 0);
    snapshot::TreeBuilder builder;
    snapshot::EntrySpec link;
    link.type = FileType::Symlink;
    link.mode = 0777;
    link.link_target = "/proc";
    builder.put("hidden/link", link);
    const auto tree = builder.finish();
    std::vector<sandbox::BindMount> mounts(2);
    mounts[0].source = directory.path();
    mounts[0].target = "/a";
    mounts[1].target = "/hidden";  // a tmpfs
    const auto links = links_of(tree, mounts);
    EXPECT_TRUE(leads_into_proc("/a/x/sys/kernel", links));
    EXPECT_TRUE(leads_into_proc("/a/d/y/kernel", links));
    EXPECT_FALSE(leads_into_proc("/a/d/z", links));
    EXPECT_FALSE(leads_into_proc("/hidden/link/sys", links));
    EXPECT_TRUE(leads_into_proc("/hidden/link/sys", links_of(tree, {})));
}

TEST(DecideMount, OuterMountsComeFirst) {
    std::vector<RunMount> mounts{decided("target=/a/b/c"), decided("target=/a"),
                                 decided("type=tmpfs,target=/z"), decided("target=/a/b")};
    sort_by_depth(mounts);
    std::vector<std::string> targets;
    for (const auto& mount : mounts)
        targets.push_back(mount.target);
    EXPECT_EQ(targets, (std::vector<std::string>{"/a", "/z", "/a/b", "/a/b/c"}));
}

// A context with one file and the store that its walk needs.
class RunKey : public testing::Test {
  protected:
    RunKey() { write("dir/file", "one"); }
    void write(const std::string& path, const std::string& text) {
        make_directories(join_path(directory.path(), path.substr(0, path.rfind('/'))));
        write_file_atomic(join_path(directory.path(), path), as_bytes(text));
    }
    // As a build of its own would compute it.
    Digest key(const RunSpec& spec, bool by_content = false) {
        Tracker tracker(*progress);
        Context context(directory.path(), IgnoreRules{}, store, tracker);
        context.need({{"", false}});
        return run_key(spec, hosts, context, {by_content, Digest{}});
    }
    Digest key_of(const std::string& mount, bool by_content = false) {
        RunSpec spec;
        spec.argv = {"true"};
        spec.mounts = {decided(mount)};
        return key(spec, by_content);
    }

    TempDir directory, root;
    store::Store store{root.path()};
    std::unique_ptr<Progress> progress = silent_progress();
    std::vector<std::string> hosts;
};

TEST_F(RunKey, CoversWhatABindShows) {
    const auto before = key_of("target=/x,source=dir"),
               content = key_of("target=/x,source=dir", true);
    write("elsewhere/file", "x");
    EXPECT_EQ(key_of("target=/x,source=dir"), before);
    write("dir/file", "two");
    EXPECT_NE(key_of("target=/x,source=dir"), before);
    EXPECT_NE(key_of("target=/x,source=dir", true), content);
}

TEST_F(RunKey, DoesNotCoverHowASourceIsNamed) {
    write("other/file", "one");
    EXPECT_EQ(key_of("target=/x,source=dir"), key_of("target=/x,source=/other/../dir/"));
    EXPECT_EQ(key_of("target=/x,source=dir"), key_of("target=/x,source=other"));
    EXPECT_NE(key_of("target=/x,source=dir"), key_of("target=/y,source=dir"));
    EXPECT_NE(key_of("target=/x,source=dir"), key_of("target=/x,source=dir,rw"));
}

TEST_F(RunKey, CoversOptionsButNotWhichCacheItIs) {
    EXPECT_EQ(key_of("type=cache,target=/x"), key_of("type=cache,target=/x,id=a,sharing=locked"));
    EXPECT_NE(key_of("type=cache,target=/x"), key_of("type=cache,target=/y"));
    EXPECT_NE(key_of("type=cache,target=/x"), key_of("type=tmpfs,target=/x"));
    EXPECT_NE(key_of("type=tmpfs,target=/x"), key_of("type=tmpfs,target=/x,size=1m"));
    EXPECT_NE(key_of("type=secret,id=a"), key_of("type=secret,id=b,target=/run/secrets/a"));
    EXPECT_NE(key_of("type=secret,id=a"), key_of("type=secret,id=a,mode=0444"));
    EXPECT_NE(key_of("type=secret,id=a"), key_of("type=secret,id=a,required"));
    EXPECT_NE(key_of("type=ssh"), key_of("type=ssh,id=b"));
}

TEST_F(RunKey, CoversPrivilegesAndLimits) {
    RunSpec plain;
    plain.argv = {"true"};
    const auto before = key(plain);
    const auto changed = [&](const std::function<void(RunSpec&)>& change) {
        RunSpec spec = plain;
        change(spec);
        return key(spec) != before;
    };
    EXPECT_TRUE(changed([](RunSpec& spec) { spec.insecure = true; }));
    EXPECT_TRUE(changed([](RunSpec& spec) { spec.shm_bytes = 1; }));
    EXPECT_TRUE(changed([](RunSpec& spec) { spec.limits = {{"nofile", 1, 2}}; }));
    EXPECT_TRUE(changed([](RunSpec& spec) { spec.cgroup_parent = "x"; }));
    EXPECT_TRUE(changed([](RunSpec& spec) { spec.devices = {{"v/c", false}}; }));
    EXPECT_TRUE(changed([](RunSpec& spec) { spec.network = sandbox::Network::None; }));
    EXPECT_TRUE(
        changed([](RunSpec& spec) { spec.platform = oci::Platform::parse("linux/arm64"); }));
    EXPECT_FALSE(changed([](RunSpec& spec) { spec.proxies = {{"HTTP_PROXY", "x"}}; }));
    EXPECT_FALSE(changed([](RunSpec& spec) { spec.renew_caches = true; }));
    hosts = {"a:1.2.3.4"};
    const auto with_host = key(plain);
    hosts = {"a:5.6.7.8"};
    EXPECT_EQ(key(plain), with_host);
    EXPECT_NE(with_host, before);
}

TEST_F(RunKey, NamesASourceThatIsNotThere) {
    EXPECT_NE(error_of([&] {
                  key_of("target=/x,source=nosuch");
              }).find("failed to compute cache key: \"/nosuch\": not found"),
              std::string::npos);
}

TEST(MountSources, AreNamesOfEarlierStagesOrImages) {
    const auto file = dockerfile::parse("FROM scratch AS one\nFROM scratch AS two\n"
                                        "RUN --mount=from=ONE,target=/x true\n"
                                        "RUN --mount=from=0,target=/x true\n"
                                        "RUN --mount=from=two,target=/x true\n")
                          .file;
    const auto source = [&](std::size_t at) {
        const auto& run = std::get<dockerfile::Run>(file.stages[1].instructions[at].value);
        return resolve_mount_from(file, 1, run.mounts.front());
    };
    EXPECT_EQ(std::get<StageBase>(source(0)).stage, 0u);
    EXPECT_TRUE(std::holds_alternative<ImageBase>(source(1)));
    EXPECT_EQ(error_of([&] { source(2); }),
              "cannot mount from stage \"two\" to \"/x\", stage needs to be defined before current "
              "command");
}

TEST(MountSources, LimitTheWalkOfTheContext) {
    const auto file = dockerfile::parse("FROM scratch AS one\nFROM scratch\n"
                                        "RUN --mount=source=a/b,target=/x true\n"
                                        "RUN --mount=source=c/$D,target=/x true\n"
                                        "RUN --mount=from=one,source=d,target=/x true\n"
                                        "RUN --mount=type=cache,source=e,target=/x true\n")
                          .file;
    const auto needs = needed_paths(file.stages[1]);
    ASSERT_EQ(needs.size(), 2u);
    EXPECT_EQ(needs[0].path, "a/b");
    EXPECT_EQ(needs[1].path, "c");
}

class CacheDirectories : public testing::Test {
  protected:
    CacheMount take(const std::string& id, CacheSharing sharing = CacheSharing::Shared,
                    bool renew = false, CacheMounts* build = nullptr) {
        CacheMounts own(store);
        return (build ? *build : own)
            .take(
                {"", id, ""}, sharing, {}, renew, [this] { ++waits; }, stop.get_token());
    }
    TempDir root;
    store::Store store{root.path()};
    std::stop_source stop;
    int waits = 0;
};

TEST_F(CacheDirectories, KeepWhatWasPutIntoThem) {
    const auto path = take("a").path();
    write_file_atomic(join_path(path, "file"), as_bytes("kept"));
    EXPECT_EQ(take("a").path(), path);
    EXPECT_EQ(read_file(join_path(path, "file")), "kept");
    EXPECT_NE(take("b").path(), path);
    EXPECT_EQ(waits, 0);
}

TEST_F(CacheDirectories, SharedOnesAreGivenToSeveral) {
    const auto first = take("a"), second = take("a");
    EXPECT_EQ(first.path(), second.path());
    EXPECT_EQ(waits, 0);
}

TEST_F(CacheDirectories, PrivateOnesAreGivenToOne) {
    std::string path;
    {
        const auto first = take("a", CacheSharing::Private);
        const auto second = take("a", CacheSharing::Private);
        EXPECT_NE(first.path(), second.path());
        path = first.path();
    }
    EXPECT_EQ(take("a", CacheSharing::Private).path(), path);
    EXPECT_EQ(waits, 0);
}

TEST_F(CacheDirectories, LockedOnesAreWaitedForUntilStopped) {
    const auto first = take("a", CacheSharing::Locked);
    stop.request_stop();
    EXPECT_EQ(error_of([&] { take("a", CacheSharing::Locked); }), "cancelled");
    EXPECT_EQ(error_of([&] { take("a"); }), "cancelled");
    EXPECT_EQ(waits, 2);
}

TEST_F(CacheDirectories, AreEmptiedOncePerBuild) {
    write_file_atomic(join_path(take("a").path(), "old"), as_bytes("x"));
    CacheMounts build(store);
    const auto path = take("a", CacheSharing::Shared, true, &build).path();
    EXPECT_FALSE(path_exists(join_path(path, "old")));
    write_file_atomic(join_path(path, "new"), as_bytes("x"));
    take("a", CacheSharing::Shared, true, &build);
    EXPECT_TRUE(path_exists(join_path(path, "new")));
}

TEST_F(CacheDirectories, ASourceStaysInside) {
    const auto cache = take("a");
    const auto outside = join_path(root.path(), "outside");
    make_directories(outside);
    const auto link = [&](const std::string& target, const std::string& name) {
        ASSERT_EQ(::symlink(target.c_str(), join_path(cache.path(), name).c_str()), 0);
    };
    link(outside, "absolute");
    link("../../../outside", "upwards");
    link("made", "inside");
    for (const char* bad : {"absolute", "upwards", "absolute/new", "upwards/new"})
        EXPECT_NE(error_of([&] { cache.open(bad, {}); }).find("leads out of the cache"),
                  std::string::npos)
            << bad;
    EXPECT_FALSE(path_exists(join_path(outside, "new")));
    CacheBirth birth;
    birth.mode = 0710;
    const UniqueFd made = cache.open("made/deep", birth);
    const UniqueFd linked = cache.open("inside/../inside/deep", birth);
    struct stat one {
    }, two{};
    ASSERT_EQ(::fstat(made.get(), &one), 0);
    ASSERT_EQ(::fstat(linked.get(), &two), 0);
    EXPECT_EQ(one.st_ino, two.st_ino);
    EXPECT_EQ(one.st_mode & 07777u, 0710u);
}

TEST(Secrets, AreReadWhenTheyAreAskedFor) {
    TempDir directory;
    const auto path = join_path(directory.path(), "file");
    const std::vector<SecretSource> secrets{{"a", "old", ""}, {"a", "value", ""}, {"f", {}, path}};
    EXPECT_EQ(find_secret(secrets, "a"), "value");
    EXPECT_EQ(find_secret(secrets, "b"), std::nullopt);
    write_file_atomic(path, as_bytes("one"));
    EXPECT_EQ(find_secret(secrets, "f"), "one");
    write_file_atomic(path, as_bytes(std::string(600'000, 'x')));
    EXPECT_NE(error_of([&] { find_secret(secrets, "f"); }).find("secret f"), std::string::npos);
}

TEST(Title, ShowsValuesButNoSecrets) {
    const dockerfile::Lookup lookup = [](std::string_view name) -> std::optional<std::string> {
        if (name == "A") return "alpha";
        if (name == "TOKEN") return "****";
        return std::nullopt;
    };
    const auto title = [&](const std::string& line) {
        const auto file = dockerfile::parse("FROM x\n" + line + "\n").file;
        const auto& instruction = file.stages.front().instructions.front();
        return run_title(instruction.original, std::get<dockerfile::Run>(instruction.value), lookup,
                         '\\');
    };
    EXPECT_EQ(title("run echo $A ${A} $B \"$A\""), "RUN echo alpha alpha $B \"alpha\"");
    EXPECT_EQ(title("RUN curl -H $TOKEN x"), "RUN curl -H **** x");
    EXPECT_EQ(title("RUN echo '$A' \\$A $Ab ${A:-x} $"), "RUN echo '$A' \\$A $Ab ${A:-x} $");
    EXPECT_EQ(title("RUN <<EOF\necho hi\nb\nEOF"), "RUN <<EOF (echo hi...)");
    EXPECT_EQ(title("RUN <<EOF cat\nhi\nEOF"), "RUN <<EOF cat");
    EXPECT_EQ(step_title("copy --chown=$A '$A' /$A/", lookup, '\\'),
              "COPY --chown=alpha '$A' /alpha/");
}

TEST(Entitlements, AreNamedWhenMissing) {
    EXPECT_EQ(error_of([] { require_entitlement({"network.host"}, "network.host"); }), "no error");
    EXPECT_EQ(error_of([] { require_entitlement({}, "security.insecure"); }),
              "entitlement security.insecure is not allowed; grant it with --allow "
              "security.insecure");
    EXPECT_NE(error_of([] { check_entitlement("network.hots"); }).find("mean network.host"),
              std::string::npos);
    EXPECT_TRUE(is_device_granted({"device=v/c"}, "v/c=a"));
    EXPECT_TRUE(is_device_granted({"device=v/c=a"}, "v/c=a"));
    EXPECT_TRUE(is_device_granted({"device"}, "v/c=a"));
    EXPECT_FALSE(is_device_granted({"device=v/c=b", "network.host"}, "v/c=a"));
}

class Devices : public testing::Test {
  protected:
    Devices() {
        write("one.json", R"({"cdiVersion": "0.6.0", "kind": "v/c",
            "containerEdits": {"env": ["COMMON=1"]},
            "devices": [
              {"name": "a", "containerEdits": {"env": ["A=1"],
                "deviceNodes": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 5}],
                "mounts": [{"hostPath": "/h", "containerPath": "/c", "options": ["ro", "nosuid"]}],
                "hooks": [{"hookName": "createContainer", "path": "/bin/h", "args": ["h"]}]}},
              {"name": "b", "containerEdits": {"env": ["A=2"]}, "annotations": {
                "org.mobyproject.buildkit.device.autoallow": "true",
                "org.mobyproject.buildkit.device.class": "gpu"}}]})");
    }
    void write(const std::string& name, const std::string& text) {
        write_file_atomic(join_path(directory.path(), name), as_bytes(text));
    }
    sandbox::Spec apply(const std::string& device, const std::vector<std::string>& granted) {
        sandbox::Spec spec;
        apply_devices({parse_device(device)}, granted, {directory.path()}, spec);
        return spec;
    }
    TempDir directory;
};

TEST_F(Devices, AreEditsOfTheContainer) {
    const auto spec = apply("v/c=a", {"device"});
    EXPECT_EQ(spec.env, (std::vector<std::string>{"COMMON=1", "A=1"}));
    ASSERT_EQ(spec.devices.size(), 1u);
    EXPECT_EQ(spec.devices[0].minor_number, 5u);
    ASSERT_EQ(spec.mounts.size(), 1u);
    EXPECT_TRUE(spec.mounts[0].read_only);
    EXPECT_FALSE(spec.mounts[0].trusted);
    ASSERT_EQ(spec.hooks.size(), 1u);
    EXPECT_EQ(spec.hooks[0].moment, "createContainer");
}

TEST_F(Devices, HaveSeveralNames) {
    EXPECT_EQ(apply("gpu", {}).env.back(), "A=2");
    EXPECT_EQ(apply("name=v/c=b", {}).env.back(), "A=2");
    EXPECT_EQ(apply("v/c", {"device"}).env.back(), "A=1");
    EXPECT_EQ(apply("v/c=*", {"device"}).env, (std::vector<std::string>{"COMMON=1", "A=2"}));
}

TEST_F(Devices, MustBeAllowedAndMayBeMissing) {
    EXPECT_NE(error_of([&] { apply("v/c=a", {}); }).find("device v/c=a is not allowed"),
              std::string::npos);
    EXPECT_TRUE(apply("v/other", {}).env.empty());
    EXPECT_NE(error_of([&] { apply("v/other,required", {}); }).find("required device \"v/other\""),
              std::string::npos);
    EXPECT_TRUE(apply("v/other,required=false", {}).env.empty());
}

TEST_F(Devices, DamagedSpecificationsAreNamed) {
    write("two.json", R"({"kind": "x/y", "devices": [{"name": 3}]})");
    EXPECT_NE(error_of([&] { apply("v/c=b", {}); }).find("two.json"), std::string::npos);
    write("two.json", "{");
    EXPECT_NE(error_of([&] { apply("v/c=b", {}); }).find("two.json"), std::string::npos);
}

}  // namespace
}  // namespace shale::build
