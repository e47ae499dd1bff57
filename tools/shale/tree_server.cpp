#include "tree_server.hpp"

#include <sys/mount.h>

namespace shale::cli {

namespace {

class FuseServer final : public TreeServer {
  public:
    FuseServer(std::shared_ptr<mount::View> view, const std::string& target,
               const fuse::Options& options)
        : mounted_(std::move(view), target, options) {}
    sandbox::OverlayBase base() const override { return {{mounted_.target()}, {}}; }
    void leave_to_overlay() override { ::umount2(mounted_.target().c_str(), MNT_DETACH); }
    void wait() override { mounted_.wait(); }
    void pause() override { mounted_.pause(); }
    void resume(bool after_another) override { mounted_.resume(after_another); }

  private:
    fuse::Mounted mounted_;
};

class ImageServer final : public TreeServer {
  public:
    ImageServer(const std::shared_ptr<mount::View>& view, const std::string& scratch)
        : layers_(view, view->tree(), scratch) {}
    sandbox::OverlayBase base() const override { return {{layers_.lower()}, layers_.data()}; }
    void leave_to_overlay() override { layers_.release(); }
    void wait() override { layers_.wait(); }
    void pause() override { layers_.pause(); }
    void resume(bool after_another) override { layers_.resume(after_another); }

  private:
    fuse::ImageLayers layers_;
};

}  // namespace

const char* name_of(Tier tier) {
    return tier == Tier::Fuse ? "fuse" : "erofs";
}

std::unique_ptr<TreeServer> serve_through_fuse(std::shared_ptr<mount::View> view,
                                               const std::string& target,
                                               const fuse::Options& options) {
    return std::make_unique<FuseServer>(std::move(view), target, options);
}

std::unique_ptr<TreeServer> serve_as_image(std::shared_ptr<mount::View> view,
                                           const std::string& scratch) {
    return std::make_unique<ImageServer>(view, scratch);
}

std::unique_ptr<build::MountedTree> FuseMounter::mount(std::shared_ptr<mount::View> view,
                                                       const std::string& target) {
    fuse::Options options;
    options.allow_set_id_and_devices = true;
    return serve_through_fuse(std::move(view), target, options);
}

TierWish parse_tier(const std::string& text) {
    if (text.empty() || text == "auto") return TierWish::Auto;
    if (text == "fuse") return TierWish::Fuse;
    if (text == "erofs") return TierWish::Erofs;
    if (text == "passthrough")
        fail(ErrorKind::Unsupported,
             "--tier passthrough: contents lie in compressed frames, and the kernel can pass reads "
             "through to plain files only; erofs and fuse are there");
    fail(ErrorKind::Invalid, "--tier is auto, erofs or fuse, not \"" + text + "\"");
}

TierChoice choose_tier(TierWish wish, const TierFacts& facts) {
    if (wish == TierWish::Fuse) return {Tier::Fuse, "--tier"};
    // Measured: an image is made in more time than the first listing of it saves.
    if (wish == TierWish::Auto)
        return {Tier::Fuse, "it answers at once, and files bear their origin"};
    if (!facts.is_root) fail(ErrorKind::Unsupported, "--tier erofs: only root can mount an image");
    if (!facts.has_contents)
        fail(ErrorKind::Unsupported, "--tier erofs: there are no contents to put behind an image");
    return {Tier::Erofs, "--tier"};
}

}  // namespace shale::cli
