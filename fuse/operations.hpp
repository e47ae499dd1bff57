// The FUSE operations of a read-only, immutable tree.
#pragma once

#include "read_line.hpp"

#include <shale/caller.hpp>
#include <shale/fuse.hpp>

#include <fuse_lowlevel.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>

namespace shale::fuse {

// Bytes per READ request at most: max_pages of the kernel times the page size. Must be told to the
// mount and to libfuse alike, or libfuse 3.14 refuses the connection.
inline constexpr unsigned kMaxRead = 1u << 20;

// What the operations work on; one per mount, used from every serving thread. It has one of the
// two: a view for operations(), contents for content_operations().
class Server {
  public:
    explicit Server(std::shared_ptr<mount::View> view) : view_(std::move(view)) {}
    explicit Server(std::shared_ptr<mount::ContentView> contents)
        : contents_(std::move(contents)) {}
    mount::View& view() { return *view_; }
    // Before serving begins.
    void set_origin(decltype(Options::origin) origin) { origin_ = std::move(origin); }
    const decltype(Options::origin)& origin() const { return origin_; }
    // True if any entry of the tree has an extended attribute of this name.
    bool has_attribute(std::string_view name);
    mount::ContentView& contents() { return *contents_; }
    const fuse_lowlevel_ops& operations() const;
    void count_request() { ++requests_; }
    ReadLine& read_line() { return read_line_; }
    // Whether extended attributes trusted.* are kept from lists.
    bool hides_trusted() const { return hides_trusted_; }
    void count_lookup() { ++lookups_; }
    void count_read() { ++reads_; }
    void count_open() { ++opens_; }
    // Logs the first failure of a file: whoever reads it again learns nothing new, and a program
    // that tries for hours must not fill a disk. Of very many files, only that there are more.
    void report_failure(std::uint64_t inode, const char* what);
    Mounted::Stats stats() const { return {requests_, lookups_, reads_, opens_}; }

  private:
    std::shared_ptr<mount::View> view_;
    decltype(Options::origin) origin_;
    std::once_flag names_once_;
    std::set<std::string, std::less<>> names_;
    std::shared_ptr<mount::ContentView> contents_;
    ReadLine read_line_;
    const bool hides_trusted_ = in_user_namespace();
    std::mutex failed_mutex_;
    std::unordered_set<std::uint64_t> failed_;  // inodes that were reported
    std::atomic<std::uint64_t> requests_{0}, lookups_{0}, reads_{0}, opens_{0};
};

const fuse_lowlevel_ops& operations();          // of a view
const fuse_lowlevel_ops& content_operations();  // of contents by digest

inline const fuse_lowlevel_ops& Server::operations() const {
    return view_ ? fuse::operations() : content_operations();
}

}  // namespace shale::fuse
