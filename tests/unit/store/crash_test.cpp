// A process killed at any instant leaves a store that opens and in which everything named is whole.
//
// The durable hook announces each create, fsync, rename and database write. A child runs a fixed
// piece of work and kills itself at the n-th announcement, for every n; after each death the store
// is inspected and the work finished on top of what was left.
#include "durable.hpp"
#include "store_fixture.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

namespace shale::store::test {
namespace {

int steps_until_death = -1;  // never

void die_at_the_step(DurableStep, const std::string&) {
    if (steps_until_death-- == 0) ::raise(SIGKILL);
}

struct Event {
    DurableStep step;
    std::string path;
};
std::vector<Event> events;

void take_note(DurableStep step, const std::string& path) {
    events.push_back({step, path});
}

class CrashTest : public StoreTest {
  protected:
    void TearDown() override { set_durable_hook(nullptr); }

    const std::string tar_ =
        make_tar({{"etc", "", tar::MemberType::Directory}, {"etc/motd", std::string(10'000, 'm')}});
    const oci::Reference old_ = oci::Reference::parse("old:1");
    const oci::Reference new_ = oci::Reference::parse("new:1");
    const Digest key_ = codec::sha256("step");

    // What a pull and a build do to a store.
    void work() {
        Store store(root());
        const TestImage image = put_image_of_tars(store, {tar_});
        store.tag(new_, image.descriptor);
        const ImageTree tree = store.image_tree(image.manifest, image.config);
        StepRecord record;
        record.tree = store.put_tree(*tree.tree);
        record.sources = tree.sources;
        record.layer = image.manifest.layers[0];
        record.diff_id = image.config.diff_ids[0];
        record.name = "RUN true";
        store.put_step(key_, record);
        store.tag(old_, image.descriptor);
        store.untag(oci::Reference::parse("unwanted:1"));
    }
    void inspect() {
        Store store(root());
        for (const std::string& hex : names_in(root() + "/blobs/sha256"))
            EXPECT_EQ(codec::sha256(read_file(root() + "/blobs/sha256/" + hex)).hex(), hex);
        for (const std::string& hex : names_in(root() + "/trees"))
            EXPECT_EQ(store.tree(Digest::from_hex(hex).value())->digest().hex(), hex);
        EXPECT_TRUE(store.resolve(old_)) << "tagged before, never removed";
        for (const ImageRecord& record : store.images()) {
            const oci::Manifest manifest = store.manifest(record.manifest);
            store.image_tree(manifest, store.config(manifest));
        }
        if (const auto step = store.find_step(key_)) {
            EXPECT_EQ(step->name, "RUN true");
            store.content_index(step->sources);
            EXPECT_EQ(store.tree(step->tree)->digest(), step->tree);
        }
    }
    void make_old_store() {
        Store store(root());
        const TestImage image = put_image_of_tars(store, {make_tar({{"old", "old"}})});
        store.tag(old_, image.descriptor);
        store.tag(oci::Reference::parse("unwanted:1"), image.descriptor);
    }
};

TEST_F(CrashTest, AtAnyStepLeavesAWholeStore) {
    int deaths = 0;
    for (bool finished = false; !finished; ++deaths) {
        std::filesystem::remove_all(root());
        make_old_store();
        const int status = run_in_child([&] {
            steps_until_death = deaths;
            set_durable_hook(die_at_the_step);
            work();
        });
        finished = WIFEXITED(status);
        ASSERT_TRUE(exited_cleanly(status) || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
        inspect();
        ASSERT_FALSE(HasFailure()) << "killed at step " << deaths;
    }
    // Three blobs, two index changes, one untag, a twin, a tree, records: each of several steps.
    EXPECT_GT(deaths, 30);

    // And whatever was left behind does not hinder a second attempt.
    for (int death = 0; death < deaths - 1; death += 5) {
        std::filesystem::remove_all(root());
        make_old_store();
        run_in_child([&] {
            steps_until_death = death;
            set_durable_hook(die_at_the_step);
            work();
        });
        work();
        inspect();
        Store store(root());
        EXPECT_TRUE(store.resolve(new_));
        EXPECT_TRUE(store.find_step(key_));
        ASSERT_FALSE(HasFailure()) << "killed at step " << death;
    }
}

TEST_F(CrashTest, WhileTheStoreIsCreatedLeavesAStoreThatOpens) {
    for (int death = 0;; ++death) {
        std::filesystem::remove_all(root());
        const int status = run_in_child([&] {
            steps_until_death = death;
            set_durable_hook(die_at_the_step);
            Store store(root());
        });
        Store store(root());
        EXPECT_TRUE(store.images().empty());
        ASSERT_FALSE(HasFailure()) << "killed at step " << death;
        if (WIFEXITED(status)) {
            EXPECT_GT(death, 5);
            break;
        }
    }
}

TEST_F(CrashTest, DataIsSyncedBeforeItIsNamedAndNamesBeforeTheyAreUsed) {
    make_old_store();
    events.clear();
    set_durable_hook(take_note);
    work();
    set_durable_hook(nullptr);
    int renames = 0;
    for (std::size_t i = 0; i < events.size(); ++i) {
        if (events[i].step != DurableStep::Rename) continue;
        ++renames;
        ASSERT_GE(i, 1u);
        EXPECT_EQ(events[i - 1].step, DurableStep::SyncFile) << events[i].path;
        EXPECT_EQ(std::filesystem::path(events[i - 1].path).parent_path().parent_path(),
                  root() + "/tmp");
        ASSERT_LT(i + 1, events.size());
        EXPECT_EQ(events[i + 1].step, DurableStep::SyncDirectory) << events[i].path;
        EXPECT_EQ(events[i + 1].path, std::filesystem::path(events[i].path).parent_path());
    }
    // config, manifest, layer; twin; tree; index.json thrice
    EXPECT_EQ(renames, 8);
}

TEST_F(CrashTest, KilledAtRandomInstantsLosesNoFinishedTag) {
    make_old_store();
    for (int round = 0; round < 10; ++round) {
        int ends[2];
        ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
        const UniqueFd reader(ends[0]);
        UniqueFd writer(ends[1]);
        const pid_t child = ::fork();
        if (child == 0) {
            try {
                Store store(root());
                const auto manifest = put_image(store, {}, {}).descriptor;
                for (int i = 0;; ++i) {
                    store.tag(oci::Reference::parse("n:" + std::to_string(i)), manifest);
                    if (::write(writer.get(), "x", 1) != 1) ::_exit(1);
                }
            } catch (...) {
                ::_exit(1);
            }
        }
        writer.reset();
        // Killed wherever it happens to be after so many finished tags, different each round.
        char done[16];
        for (int tags = 0; tags <= round; ++tags)
            ASSERT_EQ(::read(reader.get(), done, 1), 1);
        ::kill(child, SIGKILL);
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        Store store(root());
        for (int tag = 0; tag <= round; ++tag)
            EXPECT_TRUE(store.resolve(oci::Reference::parse("n:" + std::to_string(tag)))) << tag;
        inspect();
    }
}

}  // namespace
}  // namespace shale::store::test
