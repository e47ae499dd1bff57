// The worked examples of COPY and ADD as whole builds: context f, d/{x,s/y}, links l -> d and
// lf -> f, an archive t.tar; WORKDIR /w. What copy_test.cpp asks of the engine, this asks of the
// instruction.
#include "build_fixture.hpp"

#include <shale/tar.hpp>

#include <sys/stat.h>
#include <unistd.h>

namespace shale::build {
namespace {

using snapshot::kNoNode;

struct CopyRows : testing::Test {
    MemoryRegistry registry;
    Builder machine{registry};

    CopyRows() {
        machine.file("f", "F");
        machine.file("d/x", "X");
        machine.file("d/s/y", "Y");
        const auto& context = machine.context();
        EXPECT_EQ(::symlink("d", (context + "/l").c_str()), 0);
        EXPECT_EQ(::symlink("f", (context + "/lf").c_str()), 0);
        EXPECT_EQ(::chmod((context + "/d").c_str(), 0700), 0);
        EXPECT_EQ(::chmod((context + "/d/s").c_str(), 02711), 0);
        machine.file("t.tar", archive());
    }
    // in/a, 0640, of 7:8; no entry for in/.
    static std::string archive() {
        tar::Member member;
        member.path = "in/a";
        member.mode = 0640;
        member.uid = 7;
        member.gid = 8;
        member.size = 1;
        return tar::encode_header(member) + "A" + std::string(tar::padding(1), '\0') +
               std::string(tar::kTrailerBytes, '\0');
    }
    void run(const std::string& instructions) {
        auto wanted = machine.request("FROM scratch\nWORKDIR /w\n" + instructions);
        wanted.tags = {oci::Reference::parse("it")};
        machine.build(wanted);
        tree = machine.tree("it");
    }
    std::string error_of(const std::string& instructions) {
        return machine.error_of(machine.request("FROM scratch\nWORKDIR /w\n" + instructions));
    }
    // "/a/f /a/x", the files that are not in the root file system's own directories.
    std::string files() const {
        std::string found;
        for (snapshot::NodeId node = 0; node < tree->size(); ++node)
            if (tree->entry(node).type != FileType::Directory)
                found += (found.empty() ? "/" : " /") + tree->path(node);
        return found;
    }
    snapshot::Entry at(const std::string& path) const {
        const auto node = tree->find(path);
        EXPECT_NE(node, kNoNode) << path;
        return tree->entry(node == kNoNode ? 0 : node);
    }
    std::shared_ptr<const snapshot::Tree> tree;
};

TEST_F(CopyRows, FileToAName) {
    run("COPY f /a\n");
    EXPECT_EQ(files(), "/a");
}

TEST_F(CopyRows, FileToANameWithASlash) {
    run("COPY f /a/\n");
    EXPECT_EQ(files(), "/a/f");
    EXPECT_EQ(at("a").mode, 0755u);
}

TEST_F(CopyRows, FileToAnExistingDirectory) {
    run("COPY d /a\nCOPY f /a\n");
    EXPECT_EQ(files(), "/a/f /a/s/y /a/x");
}

TEST_F(CopyRows, FileToTheWorkingDirectory) {
    run("COPY f .\n");
    EXPECT_EQ(files(), "/w/f");
    run("COPY [\"f\", \"\"]\n");
    EXPECT_EQ(files(), "/w/f");
}

TEST_F(CopyRows, FileAboveTheWorkingDirectory) {
    run("COPY f ../z\n");
    EXPECT_EQ(files(), "/z");
}

TEST_F(CopyRows, DirectoryToANewNameHasNeitherModeNorOwnerOfTheSource) {
    run("COPY d /a\n");
    EXPECT_EQ(files(), "/a/s/y /a/x");
    EXPECT_EQ(at("a").mode, 0755u);
    EXPECT_EQ(at("a/s").mode, 02711u);
}

TEST_F(CopyRows, EverySpellingOfADirectoryMeansItsContents) {
    for (const char* source : {"d/", "d/.", "d*", "l"}) {
        run(std::string("COPY ") + source + " /a\n");
        EXPECT_EQ(files(), "/a/s/y /a/x") << source;
    }
}

TEST_F(CopyRows, AStarTakesOperandsDereferenced) {
    run("COPY * /a/\n");
    EXPECT_EQ(files(), "/a/f /a/lf /a/s/y /a/t.tar /a/x");
    EXPECT_EQ(at("a/lf").type, FileType::Regular);
}

TEST_F(CopyRows, ALinkToAFileIsCopiedAsTheFileUnderItsOwnName) {
    run("COPY lf /a/\n");
    EXPECT_EQ(files(), "/a/lf");
    EXPECT_EQ(machine.text("it", "a/lf"), "F");
}

TEST_F(CopyRows, LinksInsideACopiedDirectoryStayLinks) {
    run("COPY . /a\n");
    EXPECT_EQ(at("a/l").type, FileType::Symlink);
    EXPECT_EQ(at("a/l").link_target, "d");
}

TEST_F(CopyRows, SourcesAreCleanedAndClampedToTheRoot) {
    run("COPY d/s/../x /a\nCOPY /f /b\nCOPY ../../f /c\n");
    EXPECT_EQ(files(), "/a /b /c");
}

TEST_F(CopyRows, AWildcardWithoutAMatchIsNoError) {
    run("COPY zz* /a/\n");
    EXPECT_EQ(files(), "");
    EXPECT_NE(error_of("COPY zz /a/\n").find("\"/zz\": not found"), std::string::npos);
}

TEST_F(CopyRows, AFileAndADirectoryToOneNewName) {
    EXPECT_EQ(error_of("COPY f d /a\n"), "cannot copy to non-directory: /a");
}

TEST_F(CopyRows, SeveralFilesToOneNewNameLeaveTheLast) {
    run("COPY f d/x /a\n");
    EXPECT_EQ(machine.text("it", "a"), "X");
}

TEST_F(CopyRows, OctalModeOfCreatedParents) {
    run("COPY --chmod=700 f /n/m/f\n");
    for (const char* path : {"n", "n/m", "n/m/f"})
        EXPECT_EQ(at(path).mode, 0700u) << path;
}

TEST_F(CopyRows, OwnerOfCreatedParents) {
    run("COPY --chown=5 f /n/f\n");
    EXPECT_EQ(at("n").gid, 5u);
    EXPECT_EQ(at("n/f").uid, 5u);
}

TEST_F(CopyRows, OwnerByNameComesFromTheStage) {
    run("COPY <<E /etc/passwd\napp:x:1000:1001::/:/bin/sh\nE\nCOPY --chown=app f /g\n");
    EXPECT_EQ(at("g").uid, 1000u);
    EXPECT_EQ(at("g").gid, 1001u);
}

TEST_F(CopyRows, OwnersOfAStageAreKept) {
    run("COPY --chown=5:6 f /g\nFROM scratch\nCOPY --from=0 /g /g\n");
    EXPECT_EQ(at("g").uid, 5u);
    EXPECT_EQ(at("g").gid, 6u);
}

TEST_F(CopyRows, SourcesOfAStageAreRelativeToItsRoot) {
    run("COPY f .\nFROM scratch\nCOPY --from=0 w/f /g\n");
    EXPECT_EQ(files(), "/g");
}

TEST_F(CopyRows, Parents) {
    run("COPY --parents d/s/y f /a\nCOPY --parents d/./s/y /b\n");
    EXPECT_EQ(files(), "/a/d/s/y /a/f /b/s/y");
}

TEST_F(CopyRows, Excludes) {
    run("COPY --exclude=s d /a\nCOPY --exclude=**/y d /b\nCOPY --exclude=*f [l]* f /c/\n");
    EXPECT_EQ(files(), "/a/x /b/x /c/f /c/s/y /c/x");
    EXPECT_EQ(at("b/s").type, FileType::Directory);
}

TEST_F(CopyRows, SymbolicModes) {
    run("COPY --chmod=u=rwX,go=rX d /a\n");
    EXPECT_EQ(at("a/x").mode, 0644u);
    EXPECT_EQ(at("a/s").mode & 0777u, 0755u);
}

TEST_F(CopyRows, AnArchiveIsUnpackedIntoADirectory) {
    run("ADD t.tar /a\n");
    EXPECT_EQ(files(), "/a/in/a");
    EXPECT_EQ(at("a/in").mode, 0755u);
    EXPECT_EQ(at("a/in/a").mode, 0640u);
    EXPECT_EQ(at("a/in/a").uid, 7u);
}

TEST_F(CopyRows, AnArchiveIsAFileIfThatIsAskedFor) {
    run("ADD --unpack=false t.tar /a\nADD --unpack=true t.tar /b\nCOPY t.tar /c\n");
    EXPECT_EQ(files(), "/a /b/in/a /c");
}

TEST_F(CopyRows, OwnerButNotModeAppliesToWhatAnArchiveHolds) {
    run("ADD --chown=5:6 --chmod=600 --exclude=in t.tar /a\n");
    EXPECT_EQ(at("a/in/a").mode, 0640u);
    EXPECT_EQ(at("a/in/a").gid, 6u);
}

TEST_F(CopyRows, HistoryNamesParentsOwnerAndModeOnly) {
    run("COPY --link --parents --exclude=x --chown=5 d /a\n");
    const auto name = oci::Reference::parse("it");
    const auto config = machine.store.config(machine.store.manifest(*machine.store.resolve(name)));
    EXPECT_EQ(config.history.back().created_by, "COPY --parents --chown=5 d /a # buildkit");
}

// More operands than are looked through by name, directories and files, some with equal contents.
TEST_F(CopyRows, ManyOperandsFindTheirContents) {
    std::string directories, files;
    for (int i = 0; i < 12; ++i) {
        const auto number = std::to_string(i);
        machine.file("many/d" + number + "/in" + number, "content " + number);
        machine.file("many/f" + number, "file " + std::to_string(i % 5));
        directories += " many/d" + number;
    }
    auto wanted = machine.request("FROM scratch\nCOPY" + directories +
                                  " /o/\nCOPY many/f* /p/\nCOPY many /q/\n");
    wanted.tags = {oci::Reference::parse("it")};
    machine.build(wanted);
    for (int i = 0; i < 12; ++i) {
        const auto number = std::to_string(i);
        EXPECT_EQ(machine.text("it", "o/in" + number), "content " + number);
        EXPECT_EQ(machine.text("it", "p/f" + number), "file " + std::to_string(i % 5));
        EXPECT_EQ(machine.text("it", "q/d" + number + "/in" + number), "content " + number);
    }
}

}  // namespace
}  // namespace shale::build
