// How a view becomes a directory: through FUSE alone, or as a metadata image that the kernel reads
// by itself, in front of contents that FUSE serves by digest (docs/decisions/mount-tiers.md).
#pragma once

#include <shale/build.hpp>
#include <shale/fuse.hpp>
#include <shale/sandbox.hpp>

#include <memory>
#include <string>

namespace shale::cli {

enum class Tier { Fuse, Erofs };
const char* name_of(Tier tier);

// A view that is served for as long as the object lives, at a place of its own or below an overlay.
class TreeServer : public build::MountedTree {
  public:
    // Only the overlay over it keeps it from now on, so that unmounting that ends it.
    virtual void leave_to_overlay() = 0;
    virtual void wait() = 0;  // until it is gone
    // As fuse::Mounted's.
    virtual void pause() = 0;
    virtual void resume(bool after_another) = 0;
};

std::unique_ptr<TreeServer> serve_through_fuse(std::shared_ptr<mount::View> view,
                                               const std::string& target,
                                               const fuse::Options& options);
// Attached nowhere: an overlay has to be put over it. Of a view of layers. The image is made in
// `scratch`. Unsupported where the kernel cannot do that, or the tree is beyond what it can show.
std::unique_ptr<TreeServer> serve_as_image(std::shared_ptr<mount::View> view,
                                           const std::string& scratch);

// For builds and shells: through FUSE, with set-id bits and devices working.
class FuseMounter final : public build::TreeMounter {
  public:
    std::unique_ptr<build::MountedTree> mount(std::shared_ptr<mount::View> view,
                                              const std::string& target) override;
};

// What a user asks for with --tier.
enum class TierWish { Auto, Fuse, Erofs };
// "" is auto. Invalid for a word that is none of them; Unsupported, with the reason, for
// "passthrough".
TierWish parse_tier(const std::string& text);

// What there is to decide by.
struct TierFacts {
    bool is_root = false;
    bool has_contents = true;  // a snapshot file has none
};
struct TierChoice {
    Tier tier = Tier::Fuse;
    std::string why;
};
// Unsupported for a wish that the facts rule out. What only the kernel can tell is not asked here.
TierChoice choose_tier(TierWish wish, const TierFacts& facts);

}  // namespace shale::cli
