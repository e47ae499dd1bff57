// What the store tests share: a store in a temporary directory, and small images to put in it.
#pragma once

#include <shale/base.hpp>
#include <shale/codec.hpp>
#include <shale/oci.hpp>
#include <shale/store.hpp>
#include <shale/tar.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace shale::store::test {

class StoreTest : public ::testing::Test {
  protected:
    std::string root() const { return join_path(directory_.path(), "store"); }

  private:
    TempDir directory_;
};

// Runs `body`, expects an Error of this kind, and returns its text.
std::string error_of(ErrorKind kind, const std::function<void()>& body);

// Runs `body` in a child process and returns its wait status. The child leaves with _exit(0), or
// _exit(1) after printing what was thrown.
int run_in_child(const std::function<void()>& body);
::testing::AssertionResult exited_cleanly(int status);

// Names directly in a directory, sorted.
std::vector<std::string> names_in(const std::string& directory);

// A plain tar of the given files (path -> text); parents are not included.
struct TarFile {
    std::string path, text;
    tar::MemberType type = tar::MemberType::Regular;
    std::string link_target = {};
};
std::string make_tar(const std::vector<TarFile>& files);
std::string compress(codec::StreamFormat format, const std::string& text);

// Puts a blob and describes it.
oci::Descriptor put_layer(Store& store, const std::string& blob, std::string_view media_type);

struct TestImage {
    oci::Descriptor descriptor;
    oci::Manifest manifest;
    oci::ImageConfig config;
};
// Puts config and manifest of an image of these layers.
TestImage put_image(Store& store, const std::vector<oci::Descriptor>& layers,
                    const std::vector<Digest>& diff_ids);
// Gzip layers from tars, in one go.
TestImage put_image_of_tars(Store& store, const std::vector<std::string>& tars);

}  // namespace shale::store::test
