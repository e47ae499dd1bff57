#include "store_fixture.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

namespace shale::store::test {

std::string error_of(ErrorKind kind, const std::function<void()>& body) {
    try {
        body();
    } catch (const Error& error) {
        EXPECT_EQ(static_cast<int>(error.kind()), static_cast<int>(kind)) << error.what();
        return error.what();
    }
    ADD_FAILURE() << "nothing was thrown";
    return {};
}

int run_in_child(const std::function<void()>& body) {
    const pid_t child = ::fork();
    if (child == 0) {
        try {
            body();
            ::_exit(0);
        } catch (const std::exception& error) {
            std::fprintf(stderr, "child: %s\n", error.what());
        }
        ::_exit(1);
    }
    int status = -1;
    if (child < 0 || ::waitpid(child, &status, 0) != child) throw_errno("fork", "child");
    return status;
}

::testing::AssertionResult exited_cleanly(int status) {
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "wait status " << status;
}

std::vector<std::string> names_in(const std::string& directory) {
    std::vector<std::string> names;
    for (const auto& item : std::filesystem::directory_iterator(directory))
        names.push_back(item.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
}

std::string make_tar(const std::vector<TarFile>& files) {
    std::string archive;
    for (const TarFile& file : files) {
        tar::Member member;
        member.path = file.path;
        member.type = file.type;
        member.mode = 0644;
        if (file.type == tar::MemberType::Directory) member.mode = 0755;
        if (file.type == tar::MemberType::Symlink) member.mode = 0777;
        member.size = file.text.size();
        member.mtime_ns = 1'700'000'000'000'000'000;
        member.link_target = file.link_target;
        archive += tar::encode_header(member) + file.text;
        archive.append(tar::padding(file.text.size()), '\0');
    }
    return archive.append(tar::kTrailerBytes, '\0');
}

std::string compress(codec::StreamFormat format, const std::string& text) {
    std::string compressed;
    codec::StreamCompressor stream(format, 3,
                                   [&](Bytes bytes) { compressed.append(as_text(bytes)); });
    stream.write(as_bytes(text));
    stream.finish();
    return compressed;
}

oci::Descriptor put_layer(Store& store, const std::string& blob, std::string_view media_type) {
    oci::Descriptor layer;
    layer.media_type = media_type;
    layer.digest = store.put_blob(as_bytes(blob));
    layer.size = blob.size();
    return layer;
}

TestImage put_image(Store& store, const std::vector<oci::Descriptor>& layers,
                    const std::vector<Digest>& diff_ids) {
    TestImage image;
    image.config.platform = oci::Platform::host();
    image.config.config.cmd = std::vector<std::string>{"/bin/true"};
    image.config.diff_ids = diff_ids;
    image.manifest.config =
        put_layer(store, oci::encode(image.config), oci::media::kConfig);  // a blob like any other
    image.manifest.layers = layers;
    image.descriptor = put_layer(store, oci::encode(image.manifest), oci::media::kManifest);
    return image;
}

TestImage put_image_of_tars(Store& store, const std::vector<std::string>& tars) {
    std::vector<oci::Descriptor> layers;
    std::vector<Digest> diff_ids;
    for (const std::string& tar : tars) {
        layers.push_back(
            put_layer(store, compress(codec::StreamFormat::Gzip, tar), oci::media::kLayerGzip));
        diff_ids.push_back(codec::sha256(tar));
    }
    return put_image(store, layers, diff_ids);
}

}  // namespace shale::store::test
