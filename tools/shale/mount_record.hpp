// What a mount says about itself to `shale mounts`, `shale umount` and `shale commit`: one small
// file per mount, by the device number that the kernel gave it, beside no store because it means
// nothing after a reboot.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace shale::cli {

struct MountRecord {
    std::string reference;  // as the user wrote it
    std::string target;     // where it is mounted
    std::string root;       // of the store
    std::string tier;       // how it is served: "fuse"
    std::string manifest;   // digest of the image's manifest; empty if it is no image
    std::string upper;      // where a writable mount keeps what is written; else empty
    std::int64_t pid = 0;   // of the serving process
    std::int64_t since_ns = 0;

    bool is_served() const;  // the process is there
};

// "0:44", as mountinfo has it, of what is mounted at a directory.
std::string device_at(const std::string& target);

// nullopt if there is none, or it is damaged.
std::optional<MountRecord> find_record(const std::string& device);
void remove_record(const std::string& device) noexcept;

// The record of a mount that this process serves; it goes with the object. Without a place to put
// it (no XDG_RUNTIME_DIR for a user) nothing is written.
class PublishedRecord {
  public:
    PublishedRecord(std::string device, const MountRecord& record);
    PublishedRecord(const PublishedRecord&) = delete;
    ~PublishedRecord();

  private:
    std::string device_;
};

}  // namespace shale::cli
