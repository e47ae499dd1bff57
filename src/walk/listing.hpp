// A directory read, stat'ed and sorted: the unit of work that the walk's threads share.
#pragma once

#include "attributes.hpp"
#include "xattr.hpp"

#include <shale/walk_engine.hpp>

#include <exception>
#include <memory>
#include <string>
#include <vector>

namespace shale::walk {

struct Record {
    std::uint64_t size = 0, dev = 0, ino = 0, blocks = 0;
    std::int64_t mtime_ns = 0, ctime_ns = 0;
    std::uint32_t uid = 0, gid = 0, nlink = 0, device_major = 0, device_minor = 0;
    std::uint32_t name_offset = 0;    // in Listing::text, NUL-terminated
    std::uint32_t target_offset = 0;  // of symlinks, in Listing::text
    std::uint32_t target_bytes = 0;
    std::uint32_t xattrs = 0;  // index into Listing::xattrs, 0 for none
    std::uint16_t mode = 0;
    std::uint16_t name_bytes = 0;
    FileType type = FileType::Regular;
    bool is_mount_point = false;
};

// The names and attributes of one directory, sorted by name; one pool of text, no allocation per
// entry. `fd` stays open for those who open what is below.
struct Listing {
    UniqueFd fd;
    std::string text;
    std::vector<Record> records;
    std::vector<std::vector<Xattr>> xattrs{1};
    bool vanished = false;       // the directory was gone, or no directory any more
    bool blocked = false;        // reading it slept
    std::exception_ptr failure;  // thrown where the stream reaches this directory

    const char* c_name(const Record& record) const { return text.data() + record.name_offset; }
    std::string_view name(const Record& record) const {
        return {c_name(record), record.name_bytes};
    }
    std::string_view target(const Record& record) const {
        return {text.data() + record.target_offset, record.target_bytes};
    }
};

// Reads directories; one per thread, its buffers are reused.
class ListingReader {
  public:
    ListingReader(const Options& options, Engine engine)
        : options_(options), attributes_(create_attribute_reader(engine)),
          xattrs_(options.keep_xattr) {}

    // `path` from the root of the walk, `where` for messages. Never throws for what is wrong with
    // the directory: the listing carries it.
    std::shared_ptr<Listing> read(int parent_fd, const char* name, const std::string& path,
                                  const std::string& where);
    // The entry `name` of `dir_fd` ("" for the directory itself), appended to `listing`. False if
    // it has vanished.
    bool append_record(Listing& listing, int dir_fd, std::uint32_t name_offset,
                       std::uint16_t name_bytes, const std::string& where);
    Stats stats() const;
    std::string_view engine() const { return attributes_->name(); }
    std::uint64_t directories_blocked() const { return directories_blocked_; }

  private:
    struct Name {
        std::uint32_t offset;
        std::uint16_t bytes;
    };
    bool append_record(Listing& listing, int dir_fd, const Name& name, const Attributes& attributes,
                       const std::string& where);
    void fill(Listing& listing, int parent_fd, const char* name, const std::string& path,
              const std::string& where);
    std::vector<Name> read_names(Listing& listing, const std::string& where);
    static Name append_name(Listing& listing, std::string_view name, const std::string& where);
    bool read_target(Listing& listing, Record& record, int dir_fd, const std::string& where);

    const Options& options_;
    std::unique_ptr<AttributeReader> attributes_;
    XattrReader xattrs_;
    std::vector<char> buffer_;
    std::vector<const char*> name_pointers_;
    std::vector<Attributes> batch_;
    Stats stats_;
    std::uint64_t directories_blocked_ = 0;
};

}  // namespace shale::walk
