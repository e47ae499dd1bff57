// Every instruction: its forms, its flags, and the texts of its errors.
#include "cases.hpp"

namespace shale::dockerfile {
namespace {

using Words = std::vector<std::string>;

struct Wrong {
    const char* text;
    const char* message;  // behind "dockerfile parse error on line 2: "
};

template <std::size_t N>
void expect_rejected(const Wrong (&rows)[N]) {
    for (const Wrong& row : rows) {
        SCOPED_TRACE(row.text);
        EXPECT_EQ(parse_error(row.text),
                  std::string("dockerfile parse error on line 2: ") + row.message);
    }
}

TEST(Arity, ExactlyOne) {
    constexpr Wrong kRows[] = {
        {"MAINTAINER", "MAINTAINER requires exactly one argument"},
        {"USER ", "USER requires exactly one argument"},
        {"WORKDIR", "WORKDIR requires exactly one argument"},
        {"STOPSIGNAL", "STOPSIGNAL requires exactly one argument"},
    };
    expect_rejected(kRows);
}

TEST(Arity, AtLeastOne) {
    constexpr Wrong kRows[] = {
        {"ENV", "ENV requires at least one argument"},
        {"LABEL", "LABEL requires at least one argument"},
        {"ARG", "ARG requires at least one argument"},
        {"EXPOSE", "EXPOSE requires at least one argument"},
        {"VOLUME", "VOLUME requires at least one argument"},
        {"VOLUME []", "VOLUME requires at least one argument"},
        {"ONBUILD", "ONBUILD requires at least one argument"},
        {"HEALTHCHECK", "HEALTHCHECK requires at least one argument"},
        {"SHELL", "SHELL requires at least one argument"},
        {"SHELL []", "SHELL requires at least one argument"},
    };
    expect_rejected(kRows);
}

TEST(Arity, CopyWantsADestination) {
    constexpr Wrong kRows[] = {
        {"COPY a", "COPY requires at least two arguments, but only one was provided. Destination "
                   "could not be determined"},
        {"ADD [\"a\"]", "ADD requires at least two arguments, but only one was provided. "
                        "Destination could not be determined"},
        {"COPY", "COPY requires at least two arguments, but only one was provided. Destination "
                 "could not be determined"},
    };
    expect_rejected(kRows);
}

TEST(Flags, Errors) {
    constexpr Wrong kRows[] = {
        {"COPY --foo=x a b", "unknown flag: --foo (did you mean from?)"},
        {"COPY --checksum=x a b", "unknown flag: --checksum"},
        {"COPY --keep-git-dir a b", "unknown flag: --keep-git-dir"},
        {"ADD --from=x a b", "unknown flag: --from"},
        {"ADD --parents a b", "unknown flag: --parents"},
        {"RUN --mont=type=bind x", "unknown flag: --mont (did you mean mount?)"},
        {"COPY --chown=a --chown=b a b", "duplicate flag specified: --chown"},
        {"COPY --link --link a b", "duplicate flag specified: --link"},
        {"COPY --from a b", "missing a value on flag: --from"},
        {"COPY --exclude a b", "missing a value on flag: --exclude"},
        {"COPY --link= a b", "missing a value on flag: --link"},
        {"COPY --link=x a b", "expecting boolean value for flag --link, not: x"},
        {"ADD --unpack=1 a b", "expecting boolean value for flag --unpack, not: 1"},
        {"RUN --network=foo x", "invalid network mode \"foo\""},
        {"RUN --network= x", "invalid network mode \"\""},
        {"RUN --security=foo x", "security \"foo\" is not valid"},
        {"RUN --device=a,b x", "invalid field 'b' must be a key=value pair"},
        {"RUN --device=a,name=b x", "device name already set to a"},
        {"RUN --device=a,requird=true x",
         "unexpected key 'requird' in 'requird=true' (did you mean required?)"},
        {"RUN --device=a,required=maybe x", "invalid value for required: maybe"},
        {"ENV --boo a=b", "unknown flag: --boo"},
        {"LABEL --boo a=b", "unknown flag: --boo"},
        {"USER --boo a", "unknown flag: --boo"},
        {"WORKDIR --boo a", "unknown flag: --boo"},
        {"EXPOSE --boo 1", "unknown flag: --boo"},
        {"VOLUME --boo /a", "unknown flag: --boo"},
        {"CMD --boo a", "unknown flag: --boo"},
        {"ENTRYPOINT --boo a", "unknown flag: --boo"},
        {"SHELL --boo [\"a\"]", "unknown flag: --boo"},
        {"ONBUILD --boo RUN x", "unknown flag: --boo"},
        {"MAINTAINER --boo me", "unknown flag: --boo"},
        {"HEALTHCHECK --boo=1 CMD x", "unknown flag: --boo"},
        {"FROM --boo=1 a", "unknown flag: --boo"},
    };
    expect_rejected(kRows);
}

TEST(Flags, ArgAndStopsignalIgnoreThem) {
    EXPECT_EQ(parse_as<Arg>("ARG --boo x").declarations.at(0).name, "x");
    EXPECT_EQ(parse_as<StopSignal>("STOPSIGNAL --boo 9").signal, "9");
}

TEST(Flags, AreReadBeforeTheFirstArgumentOnly) {
    const Copy copy = parse_as<Copy>("COPY a --chown=x b");
    EXPECT_EQ(copy.sources, (Words{"a", "--chown=x"}));
    EXPECT_TRUE(copy.chown.empty());
}

TEST(Flags, BareDashesEndThem) {
    EXPECT_EQ(parse_as<Copy>("COPY --link -- --a b").sources, Words{"--a"});
    EXPECT_EQ(parse_as<RunCommand>("RUN -- --x").command.argv, Words{"--x"});
}

TEST(Flags, QuotesGroupAndEscapesWorkInBothQuotes) {
    EXPECT_EQ(parse_as<Copy>(R"(COPY --from="a b" --chown='c\'d' --chmod=\7 x y)").from, "a b");
    EXPECT_EQ(parse_as<Copy>(R"(COPY --chown='c\'d' x y)").chown, "c'd");
    EXPECT_EQ(parse_as<Copy>(R"(COPY --chmod=\7\5 x y)").chmod, "75");
}

TEST(Flags, BooleansTakeAnyCase) {
    EXPECT_TRUE(parse_as<Copy>("COPY --link=TRUE a b").link);
    EXPECT_FALSE(parse_as<Copy>("COPY --link=False a b").link);
}

TEST(From, Forms) {
    const File file = parse_good("FROM --platform=$P a:b AS Name-1.x_y\nfrom c\nFROM d as e\n");
    ASSERT_EQ(file.stages.size(), 3u);
    EXPECT_EQ(file.stages[0].from.platform, "$P");
    EXPECT_EQ(file.stages[0].from.reference, "a:b");
    EXPECT_EQ(file.stages[0].from.stage_name, "name-1.x_y");
    EXPECT_EQ(file.stages[1].from.stage_name, "");
    EXPECT_EQ(file.stages[1].index, 1u);
    EXPECT_EQ(file.stages[2].from.stage_name, "e");
    EXPECT_EQ(file.stages[2].lines, (LineRange{3, 3}));
}

TEST(From, Errors) {
    constexpr Wrong kRows[] = {
        {"FROM", "FROM requires either one or three arguments"},
        {"FROM a b", "FROM requires either one or three arguments"},
        {"FROM a is b", "FROM requires either one or three arguments"},
        {"FROM a AS b c", "FROM requires either one or three arguments"},
        {"FROM a AS 1x", "invalid name for build stage: \"1x\", name can't start with a number or "
                         "contain symbols"},
        {"FROM a AS a/b", "invalid name for build stage: \"a/b\", name can't start with a number "
                          "or contain symbols"},
        {"FROM a AS $x", "invalid name for build stage: \"$x\", name can't start with a number or "
                         "contain symbols"},
        {"FROM --platform a", "missing a value on flag: --platform"},
    };
    expect_rejected(kRows);
}

TEST(Run, AllFlags) {
    const RunCommand run = parse_as<RunCommand>(
        "RUN --mount=type=cache,target=/c --mount=type=tmpfs,target=/t --network=host "
        "--security=insecure --device=v/c=d --device=name=x,required ls -l");
    EXPECT_EQ(run.mounts.size(), 2u);
    EXPECT_EQ(run.network, "host");
    EXPECT_EQ(run.security, "insecure");
    EXPECT_EQ(run.devices, (Words{"v/c=d", "name=x,required"}));
    EXPECT_EQ(run.command.argv, Words{"ls -l"});
}

TEST(Run, TellsUnsetModesFromDefaultOnes) {
    EXPECT_EQ(parse_as<RunCommand>("RUN x").network, "");
    EXPECT_EQ(parse_as<RunCommand>("RUN x").security, "");
    EXPECT_EQ(parse_as<RunCommand>("RUN --network=default x").network, "default");
}

TEST(Run, ShellTextIsKeptAsWritten) {
    EXPECT_EQ(parse_as<RunCommand>("RUN  echo \"$a\"  'b'\\c  ").command.argv,
              Words{"echo \"$a\"  'b'\\c"});
}

TEST(Run, WithoutTextHasOneEmptyElement) {
    EXPECT_EQ(parse_as<RunCommand>("RUN").command.argv, Words{""});
    EXPECT_EQ(parse_as<RunCommand>("RUN []").command.argv, Words{});
    EXPECT_TRUE(parse_as<RunCommand>("RUN []").command.exec_form);
}

TEST(Copy, AllFlags) {
    const Copy copy = parse_as<Copy>("COPY --from=b --chown=u:g --chmod=u+x --link --parents "
                                     "--exclude=*.o --exclude=!a.o s1 s2 /d/");
    EXPECT_FALSE(copy.is_add);
    EXPECT_EQ(copy.from, "b");
    EXPECT_EQ(copy.chown, "u:g");
    EXPECT_EQ(copy.chmod, "u+x");
    EXPECT_TRUE(copy.link);
    EXPECT_TRUE(copy.parents);
    EXPECT_EQ(copy.excludes, (Words{"*.o", "!a.o"}));
    EXPECT_EQ(copy.sources, (Words{"s1", "s2"}));
    EXPECT_EQ(copy.destination, "/d/");
}

TEST(Add, AllFlags) {
    const Copy add =
        parse_as<Copy>("ADD --checksum=sha256:0 --keep-git-dir --unpack=false --link=false u /d");
    EXPECT_TRUE(add.is_add);
    EXPECT_EQ(add.checksum, "sha256:0");
    EXPECT_EQ(add.keep_git_dir, true);
    EXPECT_EQ(add.unpack, false);
    EXPECT_FALSE(add.link);
    EXPECT_EQ(parse_as<Copy>("ADD u /d").unpack, std::nullopt);
}

TEST(EnvAndLabel, Forms) {
    const Env env = parse_as<Env>("ENV ONE TWO= THREE=world");
    ASSERT_EQ(env.pairs.size(), 1u);
    EXPECT_EQ(env.pairs[0].key, "ONE");
    EXPECT_EQ(env.pairs[0].value, "TWO= THREE=world");
    const Env empty = parse_as<Env>("ENV a= b=''");
    EXPECT_EQ(empty.pairs.at(0).value, "");
    EXPECT_EQ(empty.pairs.at(1).value, "''");
    EXPECT_EQ(parse_as<Env>("ENV a=b=c").pairs.at(0).value, "b=c");
    EXPECT_EQ(parse_as<Env>("ENV a=\"x y\\\" z\" b=1").pairs.at(0).value, "\"x y\\\" z\"");
    EXPECT_EQ(parse_as<Env>("ENV a='x\\' b=1").pairs.size(), 2u);
    EXPECT_EQ(parse_as<Env>("ENV a=x\\").pairs.at(0).value, "x");
    EXPECT_EQ(parse_as<Env>("ENV a=\"open b=1").pairs.at(0).value, "\"open b=1");
}

TEST(EnvAndLabel, Errors) {
    EXPECT_EQ(parse_error("ENV a"), "ENV must have two arguments");
    EXPECT_EQ(parse_error("LABEL a "), "LABEL must have two arguments");
    EXPECT_EQ(parse_error("ENV a=1 b"),
              "Syntax error - can't find = in \"b\". Must be of the form: name=value");
    constexpr Wrong kRows[] = {
        {"ENV =x", "ENV names can not be blank"},
        {"LABEL a=b =x", "LABEL names can not be blank"},
        {"ARG =x", "ARG names can not be blank"},
    };
    expect_rejected(kRows);
}

TEST(Volume, TrimsAndRefusesEmpty) {
    EXPECT_EQ(parse_as<Volume>("VOLUME /a /b").paths, (Words{"/a", "/b"}));
    EXPECT_EQ(parse_error("VOLUME [\"/a\", \" \"]"),
              "dockerfile parse error on line 2: VOLUME specified can not be an empty string");
}

TEST(WholeRest, IsOneArgument) {
    EXPECT_EQ(parse_as<User>("USER a b").user, "a b");
    EXPECT_EQ(parse_as<Workdir>("WORKDIR /a b  ").path, "/a b");
    EXPECT_EQ(parse_as<Maintainer>("MAINTAINER  Me <me@x> ").name, "Me <me@x>");
    EXPECT_EQ(parse_as<StopSignal>("STOPSIGNAL $SIG").signal, "$SIG");
}

TEST(Shell, IsJsonOnly) {
    EXPECT_EQ(parse_as<Shell>("SHELL [\"/bin/bash\", \"-c\"]").argv, (Words{"/bin/bash", "-c"}));
    EXPECT_EQ(parse_error("SHELL bash -c"), "dockerfile parse error on line 2: SHELL requires the "
                                            "arguments to be in JSON form");
}

TEST(Entrypoint, JsonTailMakesItShellForm) {
    const Entrypoint entrypoint = parse_as<Entrypoint>("ENTRYPOINT []random string");
    EXPECT_FALSE(entrypoint.command.exec_form);
    EXPECT_EQ(entrypoint.command.argv, Words{"[]random string"});
    EXPECT_TRUE(parse_as<Entrypoint>("ENTRYPOINT []").command.argv.empty());
}

TEST(Onbuild, KeepsTheTextAndJudgesTheWord) {
    EXPECT_EQ(parse_as<Onbuild>("ONBUILD RUN  echo \"$a\" \\\n b ").text, "RUN  echo \"$a\"  b ");
    EXPECT_EQ(parse_as<Onbuild>("onbuild copy --from=x a b").text, "copy --from=x a b");
    EXPECT_EQ(parse_as<Onbuild>("ONBUILD FOO x").text, "FOO x");
    EXPECT_EQ(parse_error("ONBUILD ENV a"), "ENV must have two arguments");
    constexpr Wrong kRows[] = {
        {"ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"},
        {"ONBUILD from a", "FROM isn't allowed as an ONBUILD trigger"},
        {"ONBUILD Maintainer a", "MAINTAINER isn't allowed as an ONBUILD trigger"},
    };
    expect_rejected(kRows);
}

TEST(Onbuild, ALongChainCostsNoStack) {
    std::string text;
    for (int i = 0; i < 7000; ++i)
        text += "ONBUILD ";
    EXPECT_EQ(parse("FROM a\n" + text + "\\\n" + text).diagnostics.size(), 1u);
}

TEST(Healthcheck, Forms) {
    const Healthcheck shell = parse_as<Healthcheck>(
        "HEALTHCHECK --interval=5m --timeout=3s --start-period=1m30s --start-interval=100ms "
        "--retries=5 CMD curl -f http://localhost || exit 1");
    EXPECT_EQ(shell.test, (Words{"CMD-SHELL", "curl -f http://localhost || exit 1"}));
    EXPECT_EQ(shell.interval_ns, 300'000'000'000);
    EXPECT_EQ(shell.timeout_ns, 3'000'000'000);
    EXPECT_EQ(shell.start_period_ns, 90'000'000'000);
    EXPECT_EQ(shell.start_interval_ns, 100'000'000);
    EXPECT_EQ(shell.retries, 5);
    EXPECT_EQ(parse_as<Healthcheck>("HEALTHCHECK cmd [\"a\", \"b\"]").test,
              (Words{"CMD", "a", "b"}));
    EXPECT_EQ(parse_as<Healthcheck>("HEALTHCHECK CMD x").interval_ns, 0);
}

TEST(Healthcheck, Errors) {
    constexpr Wrong kRows[] = {
        {"HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"},
        {"HEALTHCHECK FOO x", "Unknown type \"FOO\" in HEALTHCHECK (try CMD)"},
        {"HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"},
        {"HEALTHCHECK CMD []", "Missing command after HEALTHCHECK CMD"},
        {"HEALTHCHECK --interval=1us CMD x", "Interval \"interval\" cannot be less than 1ms"},
        {"HEALTHCHECK --timeout=-1s CMD x", "Interval \"timeout\" cannot be less than 1ms"},
        {"HEALTHCHECK --start-period=5 CMD x", "time: missing unit in duration \"5\""},
        {"HEALTHCHECK --start-interval=5x CMD x", "time: unknown unit \"x\" in duration \"5x\""},
        {"HEALTHCHECK --interval=x CMD x", "time: invalid duration \"x\""},
        {"HEALTHCHECK --retries=-1 CMD x", "--retries cannot be negative (-1)"},
        {"HEALTHCHECK --retries=x CMD x", "strconv.ParseInt: parsing \"x\": invalid syntax"},
        {"HEALTHCHECK --retries=3000000000 CMD x",
         "strconv.ParseInt: parsing \"3000000000\": value out of range"},
    };
    expect_rejected(kRows);
}

TEST(Healthcheck, Durations) {
    struct Row {
        const char* text;
        std::int64_t ns;
    };
    constexpr Row kRows[] = {
        {"0", 0},
        {"0s", 0},
        {"1ms", 1'000'000},
        {"1h", 3'600'000'000'000},
        {"1.5h", 5'400'000'000'000},
        {"1h1m1s1ms", 3'661'001'000'000},
        {".5s", 500'000'000},
        {"1.s", 1'000'000'000},
        {"1000us", 1'000'000},
        {"1000\u00b5s", 1'000'000},
        {"1000\u03bcs", 1'000'000},
        {"2000000ns", 2'000'000},
        {"+2s", 2'000'000'000},
        {"0.0000000000000000000001h1s", 1'000'000'000},
        {"9223372036854775807ns", 9'223'372'036'854'775'807},
    };
    for (const Row& row : kRows) {
        SCOPED_TRACE(row.text);
        EXPECT_EQ(
            parse_as<Healthcheck>(std::string("HEALTHCHECK --interval=") + row.text + " CMD x")
                .interval_ns,
            row.ns);
    }
    for (const char* text : {"9223372036854775808ns", "99999999999999999999s", "3000000h", "-", "+",
                             ".", ".s", "1s1", "s", "1.5", "--1s"}) {
        SCOPED_TRACE(text);
        EXPECT_NE(
            parse_error(std::string("HEALTHCHECK --interval=") + text + " CMD x").find("duration"),
            std::string::npos);
    }
}

TEST(Keyword, IsUpperCasedAndTheOriginalIsKept) {
    const Instruction instruction = parse_instruction("  wOrKdIr   /x  ");
    EXPECT_EQ(instruction.keyword, "WORKDIR");
    EXPECT_EQ(instruction.original, "wOrKdIr   /x");
}

}  // namespace
}  // namespace shale::dockerfile
