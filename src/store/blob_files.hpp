// Random access to the files of a blob directory, with a bounded set of them kept open.
#pragma once

#include "lru_cache.hpp"

#include <shale/base.hpp>
#include <shale/oci.hpp>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace shale::store {

// Looks for "<directory>/<hex>" in each directory in order. Safe from any thread; reads do not hold
// the lock. A file that is removed while open stays readable, which is what a mount wants.
class BlobFiles final : public oci::BlobSource {
  public:
    explicit BlobFiles(std::vector<std::string> directories);
    std::uint64_t blob_size(const Digest& blob) override;
    void read_blob(const Digest& blob, std::uint64_t offset, MutableBytes out) override;
    // Forgets an open file, after an earlier directory gained a file of this name.
    void forget(const Digest& blob);

  private:
    struct File {
        std::string path;
        UniqueFd fd;
        std::uint64_t bytes = 0;
    };
    std::shared_ptr<const File> open(const Digest& blob);
    std::shared_ptr<const File> open_anew(const Digest& blob) const;

    std::vector<std::string> directories_;
    std::mutex mutex_;
    std::uint64_t forgotten_ = 0;  // how often forget() was called
    LruCache<Digest, std::shared_ptr<const File>, DigestHash> open_files_;
};

}  // namespace shale::store
