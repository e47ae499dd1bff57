// RUN --mount: what is read at parse time, what waits for variables, and every refusal.
#include "cases.hpp"

namespace shale::dockerfile {
namespace {

Mount written_mount(const std::string& options) {
    const RunCommand run = parse_as<RunCommand>("RUN --mount=" + options + " x");
    EXPECT_EQ(run.mounts.size(), 1u);
    return run.mounts.empty() ? Mount{} : run.mounts[0];
}

std::string mount_error(const std::string& options) {
    const std::string text = parse_error("RUN --mount=" + options + " x");
    const std::string prefix = "dockerfile parse error on line 2: ";
    EXPECT_TRUE(text.starts_with(prefix)) << text;
    return text.substr(std::min(prefix.size(), text.size()));
}

Mount with_spec(const std::string& spec) {
    Mount mount;
    mount.spec = spec;
    return mount;
}

TEST(Mount, Bind) {
    const Mount mount = written_mount("target=/t,source=/s,from=stage,rw");
    EXPECT_EQ(mount.type, MountType::Bind);
    EXPECT_EQ(mount.target, "/t");
    EXPECT_EQ(mount.source, "/s");
    EXPECT_EQ(mount.from, "stage");
    EXPECT_EQ(mount.read_only, false);
    EXPECT_EQ(mount.spec, "target=/t,source=/s,from=stage,rw");
    EXPECT_EQ(written_mount("dst=/t").read_only, std::nullopt);
}

TEST(Mount, Cache) {
    const Mount mount = written_mount(
        "type=cache,id=c,dst=/t,sharing=LOCKED,ro,mode=0700,uid=1,gid=2,from=x,src=y");
    EXPECT_EQ(mount.type, MountType::Cache);
    EXPECT_EQ(mount.id, "c");
    EXPECT_EQ(mount.sharing, "locked");
    EXPECT_EQ(mount.read_only, true);
    EXPECT_EQ(mount.mode, "0700");
    EXPECT_EQ(mount.uid, "1");
    EXPECT_EQ(mount.gid, "2");
    EXPECT_EQ(mount.source, "y");
}

TEST(Mount, TmpfsSecretSsh) {
    const Mount tmpfs = written_mount("type=tmpfs,destination=/t,size=128m");
    EXPECT_EQ(tmpfs.type, MountType::Tmpfs);
    EXPECT_EQ(tmpfs.size, "128m");
    const Mount secret = written_mount("type=secret,id=s,required,env=TOKEN,mode=0400");
    EXPECT_EQ(secret.type, MountType::Secret);
    EXPECT_TRUE(secret.required);
    EXPECT_EQ(secret.env, "TOKEN");
    EXPECT_TRUE(secret.has_env);
    const Mount ssh = written_mount("TYPE=SSH,required=false");
    EXPECT_EQ(ssh.type, MountType::Ssh);
    EXPECT_FALSE(ssh.required);
    EXPECT_FALSE(ssh.has_env);
}

TEST(Mount, CsvQuotesHoldCommas) {
    EXPECT_EQ(written_mount(R"(type=bind,\"target=/a,b\")").target, "/a,b");
    EXPECT_EQ(written_mount(R"(\"target=/a\"\"b\",ro)").target, "/a\"b");
    EXPECT_EQ(mount_error(R"(target=a\"b)"),
              "failed to parse csv mounts: parse error on line 1, column 9: bare \" in non-quoted "
              "field");
    EXPECT_EQ(mount_error(R"(\"target=a\"b)"),
              "failed to parse csv mounts: parse error on line 1, column 10: extraneous or missing "
              "\" in quoted-field");
    EXPECT_NE(mount_error(R"(\"target=a)").find("extraneous or missing"), std::string::npos);
}

TEST(Mount, Errors) {
    struct Row {
        const char* options;
        const char* message;
    };
    constexpr Row kRows[] = {
        {"typ=tmpfs", "unexpected key 'typ' in 'typ=tmpfs' (did you mean type?)"},
        {"foobarbaz=1", "unexpected key 'foobarbaz' in 'foobarbaz=1'"},
        {"type=tmp", "unsupported mount type \"tmp\" (did you mean tmpfs?)"},
        {"type=cache,target=/x,sharing=x", "unsupported sharing value \"x\""},
        {"type=cache,target=/x,sharing=lock", "unsupported sharing value \"lock\" (did you mean "
                                              "locked?)"},
        {"size=1", "unexpected key 'size' for mount type 'bind'"},
        {"size=1,type=tmpfs", "unexpected key 'size' for mount type 'bind'"},
        {"type=tmpfs,size=x", "invalid value for size: x"},
        {"required", "unexpected key 'required' for mount type 'bind'"},
        {"type=cache,required=true", "unexpected key 'required' for mount type 'cache'"},
        {"type=secret,id=a,required=maybe", "invalid value for required: maybe"},
        {"target=/x,mode=0700", "mode not allowed for \"bind\" type mounts"},
        {"target=/x,uid=1", "uid not allowed for \"bind\" type mounts"},
        {"type=tmpfs,target=/x,gid=1", "gid not allowed for \"tmpfs\" type mounts"},
        {"target=/x,sharing=shared", "invalid cache sharing set for bind mount"},
        {"type=cache,mode=9", "invalid value 9 for mode"},
        {"type=cache,uid=-1", "invalid value -1 for uid"},
        {"type=cache,gid=4294967296", "invalid value 4294967296 for gid"},
        {"type=cache,gid=", "invalid value  for gid"},
        {"target=/", "invalid mount target \"/\""},
        {"type=tmpfs,target=/a/..", "invalid mount target \"/a/..\""},
        {"target", "invalid field 'target' must be a key=value pair"},
        {"", "invalid field '' must be a key=value pair"},
        {"ro=maybe", "invalid value for ro: maybe"},
        {"rw=maybe", "invalid value for rw: maybe"},
        {"from=$stage", "'from' doesn't support variable expansion, define alias stage instead"},
        {"type=secret", "invalid secret mount. one of source, target required"},
        {"type=secret,id=a,src=b", "both source and id can't be set"},
        {"type=secret,id=a,from=b", "secret mount should not have a from"},
        {"type=secret,id=a,sharing=private", "secret mount should not define sharing"},
        {"type=ssh,source=a", "ssh does not support source"},
    };
    for (const Row& row : kRows) {
        SCOPED_TRACE(row.options);
        EXPECT_EQ(mount_error(row.options), row.message);
        EXPECT_EQ(invalid_text([&] { expand_mount(with_spec(row.options), lookup_fixed); }),
                  row.message);
    }
}

TEST(Mount, BooleansOfTheSixSpellings) {
    for (const char* yes : {"1", "t", "T", "true", "TRUE", "True"})
        EXPECT_EQ(written_mount(std::string("target=/x,readonly=") + yes).read_only, true) << yes;
    for (const char* no : {"0", "f", "F", "false", "FALSE", "False"})
        EXPECT_EQ(written_mount(std::string("target=/x,readonly=") + no).read_only, false) << no;
    EXPECT_EQ(written_mount("target=/x,readwrite=false").read_only, true);
    EXPECT_EQ(written_mount("target=/x,readwrite").read_only, false);
}

TEST(Mount, VariablesWaitForExpansion) {
    const auto lookup = [](std::string_view name) -> std::optional<std::string> {
        if (name == "T") return "cache";
        if (name == "DIR") return "/my dir";
        return std::nullopt;
    };
    const Mount written = written_mount("type=$T,target=$DIR,id=${U:-x},sharing=$S,uid=$ID");
    EXPECT_EQ(written.type, MountType::Bind);
    EXPECT_EQ(written.target, "$DIR");
    EXPECT_THROW(expand_mount(written, lookup), Error);  // sharing= is empty
    const Mount mount =
        expand_mount(written_mount("type=$T,target=$DIR,id=${U:-x},mode=0700"), lookup);
    EXPECT_EQ(mount.type, MountType::Cache);
    EXPECT_EQ(mount.target, "/my dir");
    EXPECT_EQ(mount.id, "x");
    EXPECT_EQ(mount.mode, "0700");
}

TEST(Mount, VariablesMayDecideWhetherItIsWrong) {
    // Nothing can be said against these before the variables are known.
    for (const char* options : {"type=$T,required", "type=$T,size=1", "type=secret,id=$A,src=$E",
                                "type=ssh,source=$E", "target=$E,sharing=$E", "target=$A,uid=$E"})
        EXPECT_TRUE(parse(std::string("FROM a\nRUN --mount=") + options + " x").ok()) << options;
    EXPECT_EQ(expand_mount(with_spec("type=secret,id=$A,src=$E"), lookup_fixed).id, "alpha");
    EXPECT_EQ(invalid_text([] { expand_mount(with_spec("target=${U?no}"), lookup_fixed); }),
              "failed to process \"${U?no}\": U: no");
    EXPECT_EQ(invalid_text([] { expand_mount(with_spec("type=${U:-tmp}"), lookup_fixed); }),
              "unsupported mount type \"tmp\" (did you mean tmpfs?)");
}

TEST(Mount, DollarAtTheEndOfFromIsNoVariable) {
    EXPECT_EQ(written_mount("from=a$,target=/x").from, "a$");
}

TEST(Size, Units) {
    struct Row {
        const char* text;
        std::uint64_t bytes;
    };
    constexpr Row kRows[] = {
        {"0", 0},
        {"128", 128},
        {"1b", 1},
        {"1k", 1024},
        {"128m", 128 << 20},
        {"1KB", 1024},
        {"2 GiB", 2ull << 30},
        {"1.5g", 3ull << 29},
        {"1t", 1ull << 40},
        {"1P", 1ull << 50},
        {"0.5k", 512},
    };
    for (const Row& row : kRows) {
        SCOPED_TRACE(row.text);
        EXPECT_EQ(parse_size(row.text), row.bytes);
    }
    for (const char* text : {"", "x", "-1", "1x", "1kk", "k", "1 k b", "1e3", "inf", "nan", "0x10",
                             "99999999999999999999", "9000p", "1bb", " 1"}) {
        SCOPED_TRACE(text);
        EXPECT_EQ(parse_size(text), std::nullopt);
    }
}

}  // namespace
}  // namespace shale::dockerfile
