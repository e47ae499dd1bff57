// A metadata image and the contents behind it, both mounted without a place.
#include <shale/erofs.hpp>
#include <shale/fuse.hpp>

namespace shale::fuse {

namespace {

UniqueFd mounted_image(const snapshot::Tree& tree, const std::string& scratch) {
    const auto bytes = erofs::image_of(tree);
    const auto file = anonymous_file(scratch);
    write_all(file.get(), as_bytes(bytes), "metadata image");
    return erofs::mount_detached(file.get());
}

std::string path_of(const UniqueFd& mount) {
    return "/proc/self/fd/" + std::to_string(mount.get());
}

}  // namespace

struct ImageLayers::State {
    UniqueFd image;
    Mounted contents;
    UniqueFd contents_mount;
    std::vector<std::string> directories;

    State(UniqueFd mounted, std::shared_ptr<mount::View> view, std::vector<std::string> places)
        : image(std::move(mounted)),
          contents(std::make_shared<mount::ContentView>(std::move(view))),
          contents_mount(contents.release_mount()), directories(std::move(places)) {}
};

ImageLayers::ImageLayers(std::shared_ptr<mount::View> view, const snapshot::Tree& tree,
                         const std::string& scratch, std::vector<std::string> directories)
    : state_(std::make_unique<State>(mounted_image(tree, scratch), std::move(view),
                                     std::move(directories))) {}
ImageLayers::~ImageLayers() = default;

std::string ImageLayers::lower() const {
    return path_of(state_->image);
}

std::vector<std::string> ImageLayers::data() const {
    auto all = state_->directories;
    all.push_back(path_of(state_->contents_mount));
    return all;
}

void ImageLayers::release() {
    state_->image.reset();
    state_->contents_mount.reset();
}

void ImageLayers::wait() {
    state_->contents.wait();
}

Mounted::Stats ImageLayers::stats() const {
    return state_->contents.stats();
}

}  // namespace shale::fuse
