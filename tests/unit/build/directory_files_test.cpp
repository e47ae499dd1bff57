// What a mount of the build context reads: the bytes that were scanned, or nothing.
#include "../../support/error_kind.hpp"
#include "directory_files.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

namespace shale::build {
namespace {

class DirectoryFilesTest : public testing::Test {
  protected:
    DirectoryFilesTest() {
        write("file", "content");
        write("other", "else");
        set_mtime("file", 1'000);
        tree_.emplace(snapshot::scan(directory_.path()));
        files_.emplace(directory_.path(), *tree_);
    }
    std::string path(const std::string& name) const { return join_path(directory_.path(), name); }
    void write(const std::string& name, const std::string& text) {
        write_file_atomic(path(name), as_bytes(text));
    }
    void set_mtime(const std::string& name, std::time_t seconds) {
        const timespec times[2] = {{seconds, 0}, {seconds, 0}};
        ASSERT_EQ(::utimensat(AT_FDCWD, path(name).c_str(), times, 0), 0);
    }
    std::string read(const std::string& name) {
        std::string out(100, '\0');
        out.resize(files_->read(tree_->find(name), 0, std::as_writable_bytes(std::span(out))));
        return out;
    }

    TempDir directory_;
    std::optional<snapshot::Tree> tree_;
    std::optional<DirectoryFiles> files_;
};

TEST_F(DirectoryFilesTest, WhatWasScanned) {
    EXPECT_EQ(read("file"), "content");
    EXPECT_FALSE(files_->failure());
}

TEST_F(DirectoryFilesTest, ATouchedFileIsWhatItWas) {
    set_mtime("file", 2'000);
    EXPECT_EQ(read("file"), "content");
    set_mtime("file", 3'000);
    EXPECT_EQ(read("file"), "content");
    write("other", "else");  // another file of that name, with the same bytes
    EXPECT_EQ(read("other"), "else");
    EXPECT_FALSE(files_->failure());
}

TEST_F(DirectoryFilesTest, AChangedOneIsRefusedAndThatIsRemembered) {
    write("file", "CONTENT");  // of the same size
    EXPECT_EQ(kind_of([&] { read("file"); }), ErrorKind::Corrupt);
    ASSERT_TRUE(files_->failure());
    EXPECT_EQ(*files_->failure(), "/file: the file has changed since the build began");
    write("other", "longer than it was");
    EXPECT_EQ(kind_of([&] { read("other"); }), ErrorKind::Corrupt);
    EXPECT_EQ(files_->failure()->substr(0, 5), "/file") << "the first one";
}

TEST_F(DirectoryFilesTest, AFileThatWasAcceptedIsLookedAtAgainWhenItChanges) {
    set_mtime("file", 2'000);
    EXPECT_EQ(read("file"), "content");
    std::filesystem::resize_file(path("file"), 3);
    EXPECT_EQ(kind_of([&] { read("file"); }), ErrorKind::Corrupt);
}

TEST_F(DirectoryFilesTest, OneThatIsGoneIsNoted) {
    std::filesystem::remove(path("other"));
    EXPECT_THROW(read("other"), Error);
    ASSERT_TRUE(files_->failure());
    EXPECT_EQ(files_->failure()->substr(0, 8), "/other: ");
}

}  // namespace
}  // namespace shale::build
