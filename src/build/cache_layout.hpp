// A directory that is an OCI layout, as a place to put caches: several of them by tag, written by
// several builds at a time.
#pragma once

#include <shale/oci.hpp>
#include <shale/store.hpp>

#include <stop_token>
#include <string>

namespace shale::build {

class CacheLayout {
  public:
    // Makes what is missing.
    explicit CacheLayout(std::string directory);

    bool has(const oci::Descriptor& blob) const;
    // Copies what is missing of the image out of the store, then lets the tag name it. `reset`
    // removes the blobs that no tag reaches any more. Waits while another process publishes, until
    // `stop` (Cancelled).
    void publish(const oci::Descriptor& descriptor, const oci::Manifest& manifest,
                 const std::string& tag, bool reset, store::Store& store,
                 const std::stop_token& stop);

  private:
    std::string blob_path(const Digest& blob) const;
    void put(const oci::Descriptor& blob, store::Store& store) const;
    void move_tag(oci::Descriptor descriptor, const std::string& tag) const;
    void remove_unreferenced() const;

    std::string directory_;
};

}  // namespace shale::build
