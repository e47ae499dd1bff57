// From what a user typed to a tree and the bytes of its files: an image of the store, of a registry
// or of a file, a step of a build, a snapshot or tar file, a directory, or nothing.
//
// A new kind of reference is one more function that returns a TreeArgument, and one line in
// open_tree_argument(); every command that looks into trees can then read it.
#pragma once

#include "image_lookup.hpp"
#include "workspace.hpp"

#include <shale/layer.hpp>
#include <shale/mount.hpp>
#include <shale/snapshot.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace shale::cli {

using Tables = std::vector<std::shared_ptr<const layer::Toc>>;  // of an image, lowest layer first

// What to fetch of an image that stays in its registry before somebody reads it.
struct FetchAhead {
    bool listed = true;   // what an earlier mount of the repository recorded
    bool rest = false;    // after that, all
    bool record = false;  // note what is read, for later mounts
};

class RemoteImage {
  public:
    virtual ~RemoteImage() = default;
    // Before the first view, and once.
    virtual void prepare(const FetchAhead& wish) = 0;
    // In the process that serves the views, while nobody reads, and once: connections are made
    // anew, and what was wished for is fetched in the background. `after_another`: one that was a
    // copy of the same, and was killed.
    virtual void begin(bool after_another) = 0;
};

struct TreeArgument {
    std::shared_ptr<const snapshot::Tree> tree;
    // Reads the files of the tree from their start; null for a snapshot file, which holds digests
    // and no bytes.
    layer::OpenContent open;
    // Shows this tree, or another that is made of its entries. Null for what cannot be mounted (a
    // directory is there already).
    std::function<std::shared_ptr<mount::View>(std::shared_ptr<const snapshot::Tree>)> view{};
    // The layers of the store that hold the bytes: whoever shows the tree for long pins them.
    std::vector<Digest> sources{};
    std::optional<StoredImage> image{};  // if the reference names one
    // The tables of contents of its layers. Null unless `tree` is what they merge to.
    std::function<Tables()> tables{};
    // Which layer of the image an entry of `tree` comes from, from 0; nullopt: none, or it is not
    // known. Set where `tree` is an arrangement of layers; else `tables` tell. Safe from any
    // thread.
    std::function<std::optional<std::uint32_t>(snapshot::NodeId)> layer_of{};
    std::shared_ptr<RemoteImage> remote{};  // null for what is here
};

// Behind a reference may stand "#layer:N", "#step:N" or "#layers" (layer_views.hpp).
//
// "scratch" and "empty" are the empty tree. An existing path wins over an image of the same name;
// "./scratch" is always a path. NotFound if it is none of these.
TreeArgument open_tree_argument(Workspace& workspace, const std::string& text,
                                const PlatformChoice& platform = {});
// The same for those who look into images: an image comes first, and one that the store lacks is
// pulled. Says which image of an index was taken.
TreeArgument obtain_tree(Workspace& workspace, const std::string& text,
                         const PlatformChoice& platform);

// "app:prod:/etc/passwd", "oci:/srv/layout:v1:/etc/passwd": the path begins at the last ":/".
// Invalid if there is none.
struct PathArgument {
    std::string reference, path;
};
PathArgument split_path(const std::string& text);

// An image whose layers are all in the store.
TreeArgument image_argument(Workspace& workspace, StoredImage image);
// A tree whose bytes lie in these layers of the store.
TreeArgument stored_tree(store::Store& store, std::shared_ptr<const snapshot::Tree> tree,
                         std::vector<Digest> sources);

}  // namespace shale::cli
