// For tests that show a directory's tree: the directory, a store with the tree as one layer, and a
// place to mount at.
#pragma once

#include <shale/diff.hpp>
#include <shale/layer.hpp>
#include <shale/mount.hpp>
#include <shale/snapshot.hpp>
#include <shale/store.hpp>

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>

namespace shale::testing {

class MountTest : public ::testing::Test {
  protected:
    void SetUp() override {
        if (::access("/dev/fuse", R_OK | W_OK) != 0 || ::geteuid() != 0)
            GTEST_SKIP() << "needs root and /dev/fuse";
        store = std::make_unique<store::Store>(top.path() + "/store");
        disk = top.path() + "/disk";
        target = top.path() + "/mnt";
        make_directories(disk);
        make_directories(target);
    }

    // The tree of `disk`, as one layer of the store: `blob`.
    std::shared_ptr<mount::View> view_of_disk() {
        auto tree = std::make_shared<snapshot::Tree>(snapshot::scan(disk));
        auto writer = store->new_blob();
        const auto empty = snapshot::TreeBuilder().finish();
        const auto written = layer::write_layer(diff::compare(empty, *tree), *tree,
                                                layer::content_from_directory(disk), {},
                                                [&](Bytes bytes) { writer.write(bytes); });
        blob = writer.commit(written.blob);
        layer::ContentIndex index;
        index.add(blob, written.toc);
        return std::make_shared<mount::View>(tree, std::move(index), *store);
    }

    TempDir top;
    std::unique_ptr<store::Store> store;
    std::string disk, target;
    Digest blob;
};

}  // namespace shale::testing
