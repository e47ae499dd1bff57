// Reading the host: mount table, resolver configuration, remembered findings.
#include "cgroup.hpp"
#include "mount_table.hpp"
#include "network.hpp"
#include "probe.hpp"
#include "trial.hpp"

#include <elf.h>
#include <gtest/gtest.h>

#include <cstring>

namespace shale::sandbox {
namespace {

constexpr const char* kMountInfo =
    "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
    "35 31 0:32 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices\n"
    "40 27 0:40 / /build/one\\040two rw shared:7 - overlay overlay rw,lowerdir=/a\n"
    "41 27 0:41 / /lower rw - fuse.shale shale rw,user_id=0\n"
    "42 27 0:42 / /lower-not rw - fuse.shale shale rw,user_id=0\n"
    "broken line\n";

TEST(MountTable, ReadsTargetTypeAndOptions) {
    const auto mounts = parse_mounts(kMountInfo);
    ASSERT_EQ(mounts.size(), 5u);
    EXPECT_EQ(mounts[0].target, "/");
    EXPECT_EQ(mounts[1].type, "cgroup");
    EXPECT_TRUE(has_option(mounts[1], "devices"));
    EXPECT_FALSE(has_option(mounts[1], "device"));
    EXPECT_EQ(mounts[2].target, "/build/one two");
    EXPECT_EQ(mounts[3].type, "fuse.shale");
}

TEST(MountTable, OwnMountIsReadable) {
    bool has_root = false;
    for (const MountEntry& mount : read_mounts())
        has_root = has_root || mount.target == "/";
    EXPECT_TRUE(has_root);
}

TEST(MountTable, MountsOfOtherStepsAreForeign) {
    const auto mounts = parse_mounts(kMountInfo);
    EXPECT_EQ(foreign_mounts(mounts, {"/build/one two", "/lower/etc/file"}),
              (std::vector<std::string>{"/lower-not"}));
    EXPECT_EQ(foreign_mounts(mounts, {"/elsewhere"}),
              (std::vector<std::string>{"/build/one two", "/lower", "/lower-not"}));
}

TEST(MountTable, MountsBelowANeededPathAreNeeded) {
    EXPECT_EQ(foreign_mounts(parse_mounts(kMountInfo), {"/build", "/lower", "/lower-not"}),
              std::vector<std::string>());
}

TEST(Controllers, ThoseOfEitherKindOfHierarchyCount) {
    const TempDir directory("/tmp", "controllers-");
    write_file_atomic(join_path(directory.path(), "cgroup.controllers"),
                      as_bytes("cpuset cpu io memory\n"));
    std::vector<MountEntry> mounts(2);
    mounts[0] = {directory.path(), "cgroup2", "rw"};
    mounts[1] = {"/nowhere", "cgroup", "rw,pids"};
    Resources limits;
    limits.processes = 10;
    limits.memory_bytes = limits.cpu_quota_us = 1;
    EXPECT_NO_THROW(require_controllers(mounts, limits));
    mounts.pop_back();
    try {
        require_controllers(mounts, limits);
        FAIL() << "no controller of processes, and nobody says so";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::Unsupported);
        EXPECT_NE(std::string(error.what()).find("no pids controller"), std::string::npos);
    }
    limits.processes = 0;
    EXPECT_NO_THROW(require_controllers(mounts, limits));
    limits.cpus = "0";
    mounts.clear();
    EXPECT_THROW(require_controllers(mounts, limits), Error);
}

TEST(ResolvConf, LoopbackServersGiveWayToTheForwarder) {
    EXPECT_EQ(container_resolv_conf("# stub\nnameserver 127.0.0.53\nnameserver ::1\n"
                                    "options edns0\n",
                                    Network::Private),
              "# stub\nnameserver 10.0.2.3\noptions edns0\n");
}

TEST(ResolvConf, ReachableServersStay) {
    const std::string text = "search example.org\nnameserver 10.1.2.3\n";
    EXPECT_EQ(container_resolv_conf(text, Network::Private), text);
}

TEST(ResolvConf, NoServerMeansTheForwarder) {
    EXPECT_EQ(container_resolv_conf("", Network::Private), "nameserver 10.0.2.3\n");
    EXPECT_EQ(container_resolv_conf("search x", Network::Private),
              "search x\nnameserver 10.0.2.3\n");
}

TEST(ResolvConf, HostNetworkSeesTheHostsFile) {
    const std::string text = "nameserver 127.0.0.53\n";
    EXPECT_EQ(container_resolv_conf(text, Network::Host), text);
}

TEST(Hosts, NameTheContainer) {
    EXPECT_EQ(default_hosts("builder"), "127.0.0.1\tlocalhost builder\n"
                                        "::1\tlocalhost ip6-localhost ip6-loopback\n");
}

TEST(NetworkMode, Names) {
    EXPECT_EQ(parse_network("default"), Network::Private);
    EXPECT_EQ(parse_network("none"), Network::None);
    EXPECT_EQ(parse_network("host"), Network::Host);
    try {
        parse_network("bridge");
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::Invalid);
        EXPECT_STREQ(error.what(), "invalid network mode \"bridge\"");
    }
}

Findings some_findings() {
    Findings findings;
    findings.engine = {"/usr/bin/crun", "crun", "crun 1.8.1", true, "QUJD", true};
    findings.explanation = "using crun 1.8.1";
    findings.slirp_program = "/usr/bin/slirp4netns";
    findings.network_note = "note";
    return findings;
}

TEST(Findings, RoundTrip) {
    const auto read = decode_findings(encode_findings(some_findings(), "here"), "here");
    ASSERT_TRUE(read);
    EXPECT_EQ(read->engine.program, "/usr/bin/crun");
    EXPECT_EQ(read->engine.family, "crun");
    EXPECT_EQ(read->engine.version, "crun 1.8.1");
    EXPECT_TRUE(read->engine.own_cgroup);
    EXPECT_TRUE(read->engine.no_cgroup);
    EXPECT_EQ(read->engine.seccomp_base64, "QUJD");
    EXPECT_EQ(read->explanation, "using crun 1.8.1");
    EXPECT_EQ(read->slirp_program, "/usr/bin/slirp4netns");
    EXPECT_EQ(read->network_note, "note");
}

TEST(Findings, AnotherMachineOrDamageMeansProbingAgain) {
    const std::string text = encode_findings(some_findings(), "here");
    EXPECT_FALSE(decode_findings(text, "there"));
    EXPECT_FALSE(decode_findings("", "here"));
    EXPECT_FALSE(decode_findings("[]", "here"));
    EXPECT_FALSE(decode_findings(text.substr(0, text.size() / 2), "here"));
    EXPECT_FALSE(decode_findings(R"({"fingerprint":"here","program":1})", "here"));
}

TEST(Trial, ProgramIsACompleteElf) {
    const std::string program = trial_program();
    Elf64_Ehdr header;
    Elf64_Phdr segment;
    ASSERT_GT(program.size(), sizeof header + sizeof segment);
    ASSERT_LT(program.size(), 256u);
    std::memcpy(&header, program.data(), sizeof header);
    std::memcpy(&segment, program.data() + header.e_phoff, sizeof segment);
    EXPECT_EQ(segment.p_filesz, program.size());
    EXPECT_GE(header.e_entry, segment.p_vaddr);
    EXPECT_LT(header.e_entry, segment.p_vaddr + segment.p_memsz);
}

}  // namespace
}  // namespace shale::sandbox
