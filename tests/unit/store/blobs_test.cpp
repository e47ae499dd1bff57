// Blobs, documents, opening and leftovers.
#include "durable.hpp"
#include "reserve.hpp"
#include "store_fixture.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <thread>

namespace shale::store::test {
namespace {

constexpr std::int64_t kMinuteNs = 60ll * 1'000'000'000;

using BlobTest = StoreTest;

TEST_F(BlobTest, BytesComeBackUnderTheirDigest) {
    Store store(root());
    // Several buffers long, and no multiple of anything.
    std::string text(3'000'017, 'x');
    for (std::size_t i = 0; i < text.size(); ++i)
        text[i] = static_cast<char>(i * 31 + i / 977);
    BlobWriter writer = store.new_blob();
    for (std::size_t at = 0, piece = 1; at < text.size(); at += piece, piece = piece * 3 + 1)
        writer.write(as_bytes(std::string_view(text).substr(at, piece)));
    EXPECT_EQ(writer.size(), text.size());
    const Digest digest = writer.commit();
    EXPECT_EQ(digest, codec::sha256(text));
    EXPECT_TRUE(store.has_blob(digest));
    EXPECT_EQ(store.blob_size(digest), text.size());
    EXPECT_EQ(read_file(store.blob_path(digest)), text);
    std::string middle(70'000, '\0');
    store.read_blob(digest, 1'234'567, std::as_writable_bytes(std::span(middle)));
    EXPECT_EQ(middle, text.substr(1'234'567, middle.size()));
}

TEST_F(BlobTest, IsReadableByEveryoneAndLeavesNothingInTmp) {
    Store store(root());
    const ::mode_t before = ::umask(077);
    const Digest digest = store.put_blob(as_bytes("content"));
    ::umask(before);
    struct stat status {};
    ASSERT_EQ(::stat(store.blob_path(digest).c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0644u);
    for (const std::string& session : names_in(root() + "/tmp"))
        EXPECT_EQ(names_in(root() + "/tmp/" + session), std::vector<std::string>{});
}

TEST_F(BlobTest, WrongExpectedDigestIsCorruptAndKeepsNothing) {
    Store store(root());
    const Digest expected = codec::sha256("something else");
    BlobWriter writer = store.new_blob();
    writer.write(as_bytes("content"));
    const std::string text = error_of(ErrorKind::Corrupt, [&] { writer.commit(expected); });
    EXPECT_NE(text.find("digest mismatch"), std::string::npos) << text;
    EXPECT_NE(text.find(expected.str()), std::string::npos) << text;
    EXPECT_NE(text.find(codec::sha256("content").str()), std::string::npos) << text;
    EXPECT_EQ(names_in(root() + "/blobs/sha256").size(), 0u);
}

TEST_F(BlobTest, AbandonedWriterRemovesItsFile) {
    {
        Store store(root());
        BlobWriter writer = store.new_blob();
        writer.write(as_bytes("content"));
    }
    EXPECT_EQ(names_in(root() + "/tmp"), std::vector<std::string>{});
    EXPECT_EQ(names_in(root() + "/blobs/sha256").size(), 0u);
}

TEST_F(BlobTest, ABlobThatIsThereIsNotWrittenAgain) {
    Store store(root());
    const Digest digest = store.put_blob(as_bytes("content"));
    struct stat before {
    }, after{};
    ASSERT_EQ(::stat(store.blob_path(digest).c_str(), &before), 0);
    EXPECT_EQ(store.put_blob(as_bytes("content")), digest);
    BlobWriter writer = store.new_blob();
    writer.write(as_bytes("content"));
    EXPECT_EQ(writer.commit(digest), digest);
    ASSERT_EQ(::stat(store.blob_path(digest).c_str(), &after), 0);
    EXPECT_EQ(before.st_ino, after.st_ino);
}

TEST_F(BlobTest, CommitReplacesAFileThatWasCutShort) {
    Store store(root());
    const Digest digest = store.put_blob(as_bytes("content"));
    std::filesystem::resize_file(store.blob_path(digest), 3);
    EXPECT_EQ(store.blob_size(digest), 3u);  // now held open
    store.put_blob(as_bytes("content"));
    EXPECT_EQ(store.read_document(digest, 100), "content");
}

TEST_F(BlobTest, MissingBlobNamesItsDigest) {
    Store store(root());
    const Digest digest = codec::sha256("absent");
    EXPECT_FALSE(store.has_blob(digest));
    const std::string text = error_of(ErrorKind::NotFound, [&] { store.blob_size(digest); });
    EXPECT_NE(text.find(digest.str()), std::string::npos) << text;
}

TEST_F(BlobTest, ReadingPastTheEndIsCorrupt) {
    Store store(root());
    const Digest digest = store.put_blob(as_bytes("content"));
    std::byte out[4];
    for (const std::uint64_t offset : {std::uint64_t{4}, std::uint64_t{8}, ~std::uint64_t{0}}) {
        const std::string text =
            error_of(ErrorKind::Corrupt, [&] { store.read_blob(digest, offset, out); });
        EXPECT_NE(text.find(digest.hex()), std::string::npos) << text;
        EXPECT_NE(text.find(std::to_string(offset)), std::string::npos) << text;
    }
}

TEST_F(BlobTest, ManyBlobsStayReadableWithABoundedNumberOfDescriptors) {
    Store store(root());
    std::vector<Digest> digests;
    for (int i = 0; i < 400; ++i)
        digests.push_back(store.put_blob(as_bytes("blob " + std::to_string(i))));
    std::vector<std::jthread> readers;
    for (int thread = 0; thread < 4; ++thread)
        readers.emplace_back([&] {
            for (int i = 0; i < 400; ++i) {
                const std::string wanted = "blob " + std::to_string(i);
                std::string text(wanted.size(), '\0');
                store.read_blob(digests[static_cast<std::size_t>(i)], 0,
                                std::as_writable_bytes(std::span(text)));
                ASSERT_EQ(text, wanted);
            }
        });
    readers.clear();
    EXPECT_LT(names_in("/proc/self/fd").size(), 300u);
}

TEST_F(BlobTest, ABlobRemovedWhileOpenStaysReadable) {
    Store store(root());
    const Digest digest = store.put_blob(as_bytes("content"));
    EXPECT_EQ(store.blob_size(digest), 7u);
    std::filesystem::remove(store.blob_path(digest));
    EXPECT_FALSE(store.has_blob(digest));
    std::string text(7, '\0');
    store.read_blob(digest, 0, std::as_writable_bytes(std::span(text)));
    EXPECT_EQ(text, "content");
}

TEST_F(BlobTest, FullDiskFailsCleanly) {
    const int status = run_in_child([&] {
        Store store(root());
        const rlimit limit{1 << 20, 1 << 20};
        std::signal(SIGXFSZ, SIG_IGN);
        if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) throw_errno("setrlimit");
        try {
            store.put_blob(as_bytes(std::string(4 << 20, 'x')));
        } catch (const Error& error) {
            if (error.kind() == ErrorKind::System && error.sys_errno() == EFBIG) return;
        }
        fail(ErrorKind::Invalid, "no error, or another one");
    });
    EXPECT_TRUE(exited_cleanly(status));
    Store store(root());
    EXPECT_EQ(names_in(root() + "/blobs/sha256").size(), 0u);
}

// ---------------------------------------------------------------------------------------------

using DocumentTest = StoreTest;

TEST_F(DocumentTest, DamageNamesDigestAndPath) {
    Store store(root());
    const Digest digest = store.put_blob(as_bytes("{\"a\":1}"));
    EXPECT_EQ(store.read_document(digest, 7), "{\"a\":1}");
    write_file_atomic(store.blob_path(digest), as_bytes("{\"a\":2}"));
    Store other(root());
    const std::string text =
        error_of(ErrorKind::Corrupt, [&] { other.read_document(digest, 100); });
    EXPECT_NE(text.find(digest.str()), std::string::npos) << text;
    EXPECT_NE(text.find(store.blob_path(digest)), std::string::npos) << text;
}

TEST_F(DocumentTest, LargerThanTheLimitIsNotRead) {
    Store store(root());
    const Digest digest = store.put_blob(as_bytes("12345678"));
    const std::string text = error_of(ErrorKind::Invalid, [&] { store.read_document(digest, 7); });
    EXPECT_NE(text.find(digest.hex()), std::string::npos) << text;
}

TEST_F(DocumentTest, ADirectoryInPlaceOfABlobIsCorrupt) {
    Store store(root());
    const Digest digest = codec::sha256("x");
    make_directories(store.blob_path(digest));
    error_of(ErrorKind::Corrupt, [&] { store.read_document(digest, 7); });
}

// ---------------------------------------------------------------------------------------------

using OpenTest = StoreTest;

TEST_F(OpenTest, CreatesAnEmptyImageLayout) {
    Store store(root());
    EXPECT_EQ(read_file(root() + "/oci-layout"), R"({"imageLayoutVersion":"1.0.0"})");
    const oci::Index index = oci::decode_index(read_file(root() + "/index.json"));
    EXPECT_EQ(index.manifests.size(), 0u);
    EXPECT_TRUE(store.images().empty());
    EXPECT_EQ(store.root(), root());
}

TEST_F(OpenTest, ManyProcessesMayCreateTheStoreAtOnce) {
    std::vector<pid_t> children;
    for (int i = 0; i < 8; ++i) {
        const pid_t child = ::fork();
        if (child == 0) {
            try {
                Store store(root());
                StepRecord record;
                record.tree = store.put_tree(snapshot::TreeBuilder().finish());
                store.put_step(codec::sha256(std::to_string(i)), record);
                ::_exit(0);
            } catch (const std::exception& error) {
                std::fprintf(stderr, "child: %s\n", error.what());
                ::_exit(1);
            }
        }
        children.push_back(child);
    }
    for (const pid_t child : children) {
        int status = -1;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        EXPECT_TRUE(exited_cleanly(status));
    }
    Store store(root());
    for (int i = 0; i < 8; ++i)
        EXPECT_TRUE(store.find_step(codec::sha256(std::to_string(i)))) << i;
}

TEST_F(OpenTest, UnknownLayoutVersionIsUnsupported) {
    make_directories(root());
    write_file_atomic(root() + "/oci-layout", as_bytes(R"({"imageLayoutVersion":"2.0.0"})"));
    const std::string text = error_of(ErrorKind::Unsupported, [&] { Store store(root()); });
    EXPECT_NE(text.find("2.0.0"), std::string::npos) << text;
    EXPECT_NE(text.find(root()), std::string::npos) << text;
}

TEST_F(OpenTest, DamagedLayoutMarkerIsCorrupt) {
    for (const char* marker : {"", "[]", "{}", "{\"imageLayoutVersion\":", "nonsense"}) {
        make_directories(root());
        write_file_atomic(root() + "/oci-layout", as_bytes(marker));
        error_of(ErrorKind::Corrupt, [&] { Store store(root()); });
    }
}

std::vector<std::string> tree_listing(const std::string& directory) {
    std::vector<std::string> paths;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory))
        paths.push_back(entry.path());
    std::sort(paths.begin(), paths.end());
    return paths;
}

TEST_F(OpenTest, AnotherUsersStoreCanBeReadOnly) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
    std::filesystem::permissions(std::filesystem::path(root()).parent_path(),
                                 std::filesystem::perms(0755));
    Digest blob;
    {
        Store store(root());
        blob = store.put_blob(as_bytes("blob"));
    }
    const auto before = tree_listing(root());
    const int status = run_in_child([&] {
        if (::setuid(65534) != 0) throw_errno("setuid");
        Store store(root());
        EXPECT_EQ(store.read_document(blob, 100), "blob");
        store.put_tree(snapshot::TreeBuilder().finish());  // what can be made again goes elsewhere
        oci::Descriptor manifest;
        manifest.digest = blob;
        const auto name = oci::Reference::parse("app:1");
        for (const std::function<void()>& writer : std::vector<std::function<void()>>{
                 [&] { store.put_blob(as_bytes("another")); }, [&] { store.tag(name, manifest); },
                 [&] { store.untag(name); }, [&] { store.keep(manifest); },
                 [&] { store.forget(blob); }, [&] { store.collect({}, {}); }})
            EXPECT_NE(error_of(ErrorKind::Denied, writer).find(root()), std::string::npos);
        if (::testing::Test::HasFailure()) fail(ErrorKind::Invalid, "see above");
    });
    EXPECT_TRUE(exited_cleanly(status));
    EXPECT_EQ(tree_listing(root()), before);
}

// A stranger's twin may hold what he likes; it has no digest that anybody knows.
TEST_F(OpenTest, OfAStrangersStoreOnlyBlobsAreTaken) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
    std::filesystem::permissions(std::filesystem::path(root()).parent_path(),
                                 std::filesystem::perms(0755));
    Digest layer;
    {
        Store store(root());
        layer = put_layer(store, compress(codec::StreamFormat::Gzip, make_tar({{"f", "text"}})),
                          oci::media::kLayerGzip)
                    .digest;
        store.content_index({layer});
        ASSERT_TRUE(store.has_twin(layer));
    }
    const auto has_twin_for_another = [&](bool expected) {
        return exited_cleanly(run_in_child([&] {
            if (::setuid(65534) != 0) throw_errno("setuid");
            Store store(root());
            if (!store.has_blob(layer) || store.has_twin(layer) != expected)
                fail(ErrorKind::Failed, "not so");
        }));
    };
    EXPECT_TRUE(has_twin_for_another(true)) << "root's may be believed";
    ASSERT_EQ(::chown(root().c_str(), 1234, 1234), 0);
    EXPECT_TRUE(has_twin_for_another(false));
}

TEST_F(OpenTest, AReserveIsKeptAndGivenUpOnlyWhenTheDiskIsFull) {
    { Store store(root()); }
    const std::string reserve = root() + "/reserve";
    EXPECT_EQ(std::filesystem::file_size(reserve), 512u << 10);
    EXPECT_FALSE(is_full(root()));
    EXPECT_FALSE(use_reserve(root()));
    EXPECT_TRUE(path_exists(reserve));
    std::filesystem::remove(reserve);
    { Store store(root()); }
    EXPECT_TRUE(path_exists(reserve));
}

TEST_F(OpenTest, AStoreInUseKeepsCollectionsOut) {
    { Store store(root()); }
    Store store(root());
    const UniqueFd lock = open_file(root() + "/lock", O_RDWR);
    EXPECT_NE(::flock(lock.get(), LOCK_EX | LOCK_NB), 0) << "a store in use holds the lock";
}

// ---------------------------------------------------------------------------------------------

using LeftoverTest = StoreTest;

void age(const std::string& path, std::int64_t ns) {
    const std::int64_t then = system_clock().now_ns() - ns;
    const timespec times[2] = {{then / 1'000'000'000, 0}, {then / 1'000'000'000, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
}

TEST_F(LeftoverTest, OfDeadProcessesGoOnceOld) {
    { Store store(root()); }
    const std::string tmp = root() + "/tmp";
    for (const char* name : {"old-session", "fresh-session"}) {
        make_directories(tmp + "/" + name + "/deep");
        write_file_atomic(tmp + "/" + name + "/deep/file", as_bytes("x"));
    }
    write_file_atomic(tmp + "/old-file", as_bytes("x"));
    age(tmp + "/old-session", 2 * kMinuteNs);
    age(tmp + "/old-file", 2 * kMinuteNs);
    Store store(root());
    EXPECT_EQ(names_in(tmp), std::vector<std::string>{"fresh-session"});
}

TEST_F(LeftoverTest, OfTheLivingStay) {
    Store store(root());
    const TempDir scratch = store.scratch("run-");
    write_file_atomic(scratch.path() + "/file", as_bytes("x"));
    const std::string session = std::filesystem::path(scratch.path()).parent_path();
    age(session, 10 * kMinuteNs);
    { Store other(root()); }
    EXPECT_EQ(read_file(scratch.path() + "/file"), "x");
}

TEST_F(LeftoverTest, OfAKilledProcessAreFoundOnceOld) {
    const int status = run_in_child([&] {
        Store store(root());
        TempDir scratch = store.scratch("run-");
        write_file_atomic(scratch.path() + "/file", as_bytes("x"));
        BlobWriter writer = store.new_blob();
        writer.write(as_bytes(std::string(1 << 20, 'x')));
        ::raise(SIGKILL);
    });
    EXPECT_TRUE(WIFSIGNALED(status));
    const auto sessions = names_in(root() + "/tmp");
    ASSERT_EQ(sessions.size(), 1u);
    EXPECT_EQ(names_in(root() + "/tmp/" + sessions[0]).size(), 2u);
    age(root() + "/tmp/" + sessions[0], 2 * kMinuteNs);
    Store store(root());
    EXPECT_EQ(names_in(root() + "/tmp").size(), 0u);
}

TEST_F(LeftoverTest, NeverFollowALinkOutOfTheStore) {
    { Store store(root()); }
    const TempDir outside;
    write_file_atomic(outside.path() + "/precious", as_bytes("x"));
    std::filesystem::create_directory_symlink(outside.path(), root() + "/tmp/link");
    Store store(root());
    EXPECT_EQ(read_file(outside.path() + "/precious"), "x");
}

}  // namespace
}  // namespace shale::store::test
