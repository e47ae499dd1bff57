// What a mount says about itself to `shale mounts`, `shale umount` and `shale commit`: one small
// file per mount, by the device number that the kernel gave it, in a runtime directory because it
// means nothing after a reboot.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace shale::cli {

struct MountRecord {
    std::string reference;  // as the user wrote it
    std::string target;     // where it is mounted
    std::string root;       // of the store
    std::string tier;       // how it is served: "fuse", "erofs"
    std::string why;        // and the reason
    std::string manifest;   // digest of the image's manifest; empty if it is no image
    std::string upper;      // where a writable mount keeps what is written; else empty
    std::int64_t pid = 0;   // of the serving process
    // Of the one that has another serve when that is killed; 0: there is none.
    std::int64_t holder = 0;
    std::int64_t since_ns = 0;

    bool is_served() const;  // one of the processes is there
};

// "0:44", as mountinfo has it, of what is mounted at a directory.
std::string device_at(const std::string& target);

// Of what is mounted at `target`: a number may be somebody else's by now. nullopt if there is none,
// or it is damaged, or of a time before the last reboot. `root` is that of the store that is in
// use, where records lie if no better place could be written to.
std::optional<MountRecord> find_record(const std::string& device, const std::string& target,
                                       const std::string& root);
// Of a mount that was unmounted: the record and, unless its server lives and does that itself, what
// was written to the mount.
void remove_remains(const std::string& device, const MountRecord& record) noexcept;

// The record of a mount; what was published goes with the object.
class PublishedRecord {
  public:
    PublishedRecord(std::string device, MountRecord record)
        : device_(std::move(device)), record_(std::move(record)) {}
    PublishedRecord(const PublishedRecord&) = delete;
    ~PublishedRecord();
    // From now on: that this process serves, and `holder` holds.
    void publish(std::int64_t holder);

  private:
    const std::string device_;
    MountRecord record_;
    std::string path_;  // empty if it is nowhere, or there was no place to put it
};

}  // namespace shale::cli
