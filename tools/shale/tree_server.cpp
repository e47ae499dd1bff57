#include "tree_server.hpp"

#include <sys/mount.h>

namespace shale::cli {

namespace {

// Making the image takes about a microsecond and 200 bytes per entry, before anything is shown;
// FUSE shows any tree at once and is asked for each name once.
constexpr std::size_t kMostEntriesAtOnce = 50'000;

class FuseServer final : public TreeServer {
  public:
    FuseServer(std::shared_ptr<mount::View> view, const std::string& target,
               const fuse::Options& options)
        : mounted_(std::move(view), target, options) {}
    sandbox::OverlayBase base() const override { return {{mounted_.target()}, {}}; }
    Tier tier() const override { return Tier::Fuse; }
    void leave_to_overlay() override { ::umount2(mounted_.target().c_str(), MNT_DETACH); }
    void wait() override { mounted_.wait(); }

  private:
    fuse::Mounted mounted_;
};

class ImageServer final : public TreeServer {
  public:
    ImageServer(const std::shared_ptr<mount::View>& view, const std::string& scratch)
        : layers_(view, view->tree(), scratch, {}) {}
    sandbox::OverlayBase base() const override { return {{layers_.lower()}, layers_.data()}; }
    Tier tier() const override { return Tier::Erofs; }
    void leave_to_overlay() override { layers_.release(); }
    void wait() override { layers_.wait(); }

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

TierWish TierWish::parse(const std::string& text) {
    if (text.empty() || text == "auto") return {Kind::Auto};
    if (text == "fuse") return {Kind::Fuse};
    if (text == "erofs") return {Kind::Erofs};
    if (text == "passthrough")
        fail(ErrorKind::Unsupported,
             "--tier passthrough: contents lie in compressed frames, and the kernel can pass reads "
             "through to plain files only; erofs and fuse are there");
    fail(ErrorKind::Invalid, "--tier is auto, erofs or fuse, not \"" + text + "\"");
}

TierChoice choose_tier(TierWish wish, const TierFacts& facts) {
    if (wish.kind == TierWish::Kind::Fuse) return {Tier::Fuse, "--tier"};
    const bool is_wish = wish.kind == TierWish::Kind::Erofs;
    std::string obstacle;
    if (!facts.is_root)
        obstacle = "only root can mount an image";
    else if (!facts.has_contents)
        obstacle = "there are no contents to put behind an image";
    if (!obstacle.empty()) {
        if (is_wish) fail(ErrorKind::Unsupported, "--tier erofs: " + obstacle);
        return {Tier::Fuse, obstacle};
    }
    if (is_wish) return {Tier::Erofs, "--tier"};
    if (facts.wants_origin) return {Tier::Fuse, "files bear their origin (--no-origin)"};
    if (facts.entries > kMostEntriesAtOnce)
        return {Tier::Fuse, "an image of so many entries would have to be made first"};
    return {Tier::Erofs, "the kernel answers for names by itself"};
}

}  // namespace shale::cli
