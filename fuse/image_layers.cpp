// A metadata image and the contents behind it, both mounted without a place.
#include <shale/erofs.hpp>
#include <shale/fuse.hpp>

namespace shale::fuse {

namespace {

// Of names of contents. A tree cannot have a name like one, and so not bytes for a stranger's file.
std::string new_prefix() {
    return random_hex(16) + "-";
}

UniqueFd mounted_image(const snapshot::Tree& tree, const std::string& scratch,
                       std::string_view prefix) {
    const auto bytes = erofs::image_of(tree, prefix);
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

    State(UniqueFd mounted, std::shared_ptr<mount::View> view, std::string prefix)
        : image(std::move(mounted)),
          contents(std::make_shared<mount::ContentView>(std::move(view), std::move(prefix))),
          contents_mount(contents.release_mount()) {}
};

ImageLayers::ImageLayers(std::shared_ptr<mount::View> view, const snapshot::Tree& tree,
                         const std::string& scratch) {
    auto prefix = new_prefix();
    auto image = mounted_image(tree, scratch, prefix);
    state_ = std::make_unique<State>(std::move(image), std::move(view), std::move(prefix));
}
ImageLayers::~ImageLayers() = default;

std::string ImageLayers::lower() const {
    return path_of(state_->image);
}

std::vector<std::string> ImageLayers::data() const {
    return {path_of(state_->contents_mount)};
}

void ImageLayers::release() {
    state_->image.reset();
    state_->contents_mount.reset();
}

void ImageLayers::wait() {
    state_->contents.wait();
}

void ImageLayers::pause() {
    state_->contents.pause();
}

void ImageLayers::resume(bool after_another) {
    state_->contents.resume(after_another);
}

Mounted::Stats ImageLayers::stats() const {
    return state_->contents.stats();
}

}  // namespace shale::fuse
