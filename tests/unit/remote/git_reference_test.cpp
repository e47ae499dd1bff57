// What is a git repository, and which part of it: as tables.
#include <shale/remote.hpp>

#include <gtest/gtest.h>

namespace shale::remote {
namespace {

GitReference reference(std::string remote, std::string ref = {}, std::string directory = {}) {
    GitReference out;
    out.remote = std::move(remote);
    out.ref = std::move(ref);
    out.directory = std::move(directory);
    return out;
}

std::string error_of(const std::string& text) {
    try {
        parse_git(text);
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::Invalid) << text;
        return error.what();
    }
    ADD_FAILURE() << text << " was accepted";
    return {};
}

TEST(GitReference, WhatIsNoRepositoryIsLeftToOthers) {
    for (const char* text : {"",
                             ".",
                             ".git",
                             "./.git",
                             "../x.git",
                             "file",
                             "dir/x.git",
                             "/abs/x.git",
                             "https://example.com/",
                             "https://example.com/foo",
                             "https://example.com/foo.git/",
                             "https://example.com/foo.git.bar",
                             "https://github.com/moby/buildkit",
                             "http://github.com/docker/docker.git:#branch",
                             "custom.xyz/moby/buildkit.git",
                             "file:///srv/x.git",
                             "ftp://h/x.git",
                             "ext::sh -c x",
                             "https://host.git",
                             "@host:path",
                             "git@host",
                             "git@host:",
                             "a b@host:path",
                             "git@ho st:path",
                             "github.com/moby/buildkit",
                             "C:\\x.git",
                             "://x.git"})
        EXPECT_FALSE(parse_git(text)) << text;
}

TEST(GitReference, EveryFormOfRemoteIsKnown) {
    const std::string bar = "https://github.com/foo/bar.git";
    const std::vector<std::pair<std::string, GitReference>> table = {
        {bar, reference(bar)},
        {"HTTPS://github.com/foo/bar.git", reference(bar)},
        {"http://h:8080/x.git", reference("http://h:8080/x.git")},
        {bar + "#deadbeef", reference(bar, "deadbeef")},
        {bar + "#release/1.2", reference(bar, "release/1.2")},
        {bar + "#baz/qux:quux/quuz", reference(bar, "baz/qux", "quux/quuz")},
        {bar + "#:myfolder", reference(bar, "", "myfolder")},
        {bar + "#main:/a/../b//c/", reference(bar, "main", "b/c")},
        {bar + "#main:../../etc", reference(bar, "main", "etc")},
        {bar + "#", reference(bar)},
        {bar + "#feature%2Fx", reference(bar, "feature/x")},
        {"git://example.com/foo", reference("git://example.com/foo")},
        {"ssh://git@h:22/x", reference("ssh://git@h:22/x")},
        {"https://u:p@github.com/foo/bar.git", reference("https://u:p@github.com/foo/bar.git")},
        {"git@github.com:moby/buildkit", reference("git@github.com:moby/buildkit")},
        {"git@github.com:moby/buildkit.git#v1:sub",
         reference("git@github.com:moby/buildkit.git", "v1", "sub")},
        {"deploy-1@h.lan:x", reference("deploy-1@h.lan:x")},
    };
    for (const auto& [text, wanted] : table)
        EXPECT_EQ(parse_git(text), wanted) << text;
}

TEST(GitReference, TheShortFormIsForContextsOnly) {
    EXPECT_FALSE(parse_git("github.com/a/b"));
    EXPECT_EQ(parse_git("github.com/a/b#v1:d", ShortForm::Accepted),
              reference("https://github.com/a/b", "v1", "d"));
}

TEST(GitReference, AQuerySaysTheSame) {
    const std::string bar = "https://h/bar.git";
    const std::string commit(40, 'a');
    EXPECT_EQ(parse_git(bar + "?ref=v1.0.0&subdir=/subdir"), reference(bar, "v1.0.0", "subdir"));
    EXPECT_EQ(parse_git(bar + "?tag=v1"), reference(bar, "refs/tags/v1"));
    EXPECT_EQ(parse_git(bar + "?tag=refs/tags/v1"), reference(bar, "refs/tags/v1"));
    EXPECT_EQ(parse_git(bar + "?branch=main#refs/heads/main"), reference(bar, "refs/heads/main"));
    EXPECT_EQ(parse_git(bar + "?ref=a#a"), reference(bar, "a"));
    auto wanted = reference(bar, "v1");
    wanted.commit = "abc123";
    EXPECT_EQ(parse_git(bar + "?ref=v1&checksum=ABC123"), wanted);
    wanted.commit = wanted.ref = commit;
    EXPECT_EQ(parse_git(bar + "?commit=" + commit), wanted);
    wanted.fetch_by_commit = true;
    EXPECT_EQ(parse_git(bar + "?commit=" + commit + "&fetch-by-commit"), wanted);
    wanted = reference(bar);
    wanted.keep_git_dir = true;
    wanted.submodules = false;
    wanted.times_of_commit = true;
    EXPECT_EQ(parse_git(bar + "?keep-git-dir&submodules=0&mtime=commit"), wanted);
}

TEST(GitReference, MistakesAreNamed) {
    const std::string bar = "https://h/bar.git";
    const std::vector<std::pair<std::string, std::string>> table = {
        {"?foo=1", "unexpected query \"foo\""},
        {"?ref=a&ref=b", "query \"ref\" has multiple values"},
        {"?ref=", "query \"ref\" has no value"},
        {"?subdir", "query \"subdir\" has no value"},
        {"?ref=a#b", "ref conflicts: \"b\" vs \"a\""},
        {"?tag=a#b", "ref conflicts: \"b\" vs \"refs/tags/a\""},
        {"?tag=a&branch=a", "branch conflicts with tag"},
        {"?subdir=a#:b", "subdir conflicts: \"b\" vs \"a\""},
        {"?keep-git-dir=perhaps", "invalid keep-git-dir value: \"perhaps\""},
        {"?mtime=now", "invalid mtime value: \"now\" (must be \"checkout\" or \"commit\")"},
        {"?commit=foo", "invalid checksum foo for Git URL, expected hex commit hash"},
        {"?fetch-by-commit&ref=a", "fetch-by-commit requires a checksum or a commit SHA ref"},
        {"?fetch-by-commit&commit=abc",
         "fetch-by-commit requires a full commit SHA checksum, got \"abc\""},
    };
    for (const auto& [tail, message] : table)
        EXPECT_EQ(error_of(bar + tail), message);
}

TEST(GitReference, NothingBecomesAnOptionOrARefspec) {
    for (const char* ref : {"-x", "--upload-pack=x", "+main", "a:b", "a b", "a..b", "a~1", "a^",
                            "a*", "a?", "[a", "a\\b", "x.lock", "a%0ab", "a%00b"}) {
        if (std::string_view(ref) == "a:b") continue;  // a subdirectory
        EXPECT_NE(error_of(std::string("https://h/x.git#") + ref).find("invalid git ref"),
                  std::string::npos)
            << ref;
    }
    error_of("ssh://-oProxyCommand=x/y");
    error_of("ssh://git@-oProxyCommand=x/y");
    error_of("https:///x.git");
    error_of("https://h/a b.git");
    error_of("https://h/x.git#" + std::string(20000, 'x'));
}

}  // namespace
}  // namespace shale::remote
