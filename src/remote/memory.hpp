// What is remembered of downloads: one small JSON file per URL (docs/formats/store.md, 8).
#pragma once

#include <shale/base.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace shale::remote {

struct Remembered {
    Digest content;
    std::uint64_t size = 0;
    std::string etag;           // as the server wrote it; empty if it gave none
    std::string last_modified;  // the header's text; empty if there was none
    // The server's clock was well past last_modified when it answered, so no later change can bear
    // the same time (RFC 9110, 8.8.2.2).
    bool is_settled = false;
};

class Memory {
  public:
    explicit Memory(std::string directory) : directory_(std::move(directory)) {}
    // nullopt also for a file that cannot be read: then the download is done again. `name` is a URL
    // or a checksum.
    std::optional<Remembered> find(std::string_view name) const;
    void put(std::string_view name, const Remembered& remembered) const;

  private:
    std::string path_of(std::string_view name) const;
    std::string directory_;
};

}  // namespace shale::remote
