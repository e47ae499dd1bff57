// base: the toolbox every other module stands on. It knows nothing of containers.
// It is longer than a door should be, in one file because it is many small unrelated tools that
// every module needs most of.
//
// Errors, file descriptors, mappings, temporary directories, byte readers, the SHA-256 digest
// value, a bounded queue, a clock and a log. An item moves in here only when two modules need it.
//
// Thread-safety: free functions are safe from any thread unless they say otherwise; objects are not
// shared between threads unless their class says so.
#pragma once

#include <array>
#include <bit>
#include <chrono>
#include <compare>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <deque>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace shale {

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

inline Bytes as_bytes(std::string_view text) {
    return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view as_text(Bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// ---------------------------------------------------------------------------------------------
// Errors. A failure that stops what the user asked for is an exception of this one type; a normal
// answer (absent, not cached) is an optional or an enum. Code branches on kind(), never on text.

enum class ErrorKind {
    NotFound,     // the named thing does not exist
    Denied,       // permission or authentication
    Invalid,      // the caller or the user gave something malformed (Dockerfile, reference, flag)
    Corrupt,      // foreign bytes contradict their format or their digest
    Unsupported,  // well-formed, but beyond what this program or this kernel does
    Network,      // a remote peer failed, stalled or lied
    Cancelled,    // stopped on request
    Failed,       // a user's command ran and failed (RUN)
    System,       // the operating system refused; sys_errno() tells
};

class Error : public std::runtime_error {
  public:
    Error(ErrorKind kind, const std::string& text, int sys_errno = 0)
        : std::runtime_error(text), kind_(kind), errno_(sys_errno) {}
    ErrorKind kind() const { return kind_; }
    int sys_errno() const { return errno_; }

  private:
    ErrorKind kind_;
    int errno_;
};

[[noreturn]] void fail(ErrorKind kind, const std::string& text);
// Captures errno at once: "openat 'etc/passwd': No such file or directory". ENOENT becomes
// NotFound, EACCES and EPERM become Denied, everything else System.
[[noreturn]] void throw_errno(std::string_view operation, std::string_view subject = {});
[[noreturn]] void throw_errno(int error, std::string_view operation, std::string_view subject);

// Runs `body`; an Error that leaves it gains `describe()` in front: "pulling node:18: HTTP 500".
template <typename Describe, typename Body>
decltype(auto) in_context(Describe&& describe, Body&& body) {
    try {
        return std::forward<Body>(body)();
    } catch (const Error& error) {
        throw Error(error.kind(), describe() + ": " + error.what(), error.sys_errno());
    }
}

[[noreturn]] void ensure_failed(const char* condition, const char* file, int line);
// For our own mistakes only, always on. Foreign bytes are checked and rejected, never asserted.
#define SHALE_ENSURE(condition)                                                                    \
    (static_cast<bool>(condition) ? void(0)                                                        \
                                  : ::shale::ensure_failed(#condition, __FILE__, __LINE__))

// ---------------------------------------------------------------------------------------------
// Digest: a SHA-256 value; the only algorithm we write. Text form "sha256:<64 hex>".

struct Digest {
    std::array<std::uint8_t, 32> bytes{};

    std::string hex() const;
    std::string str() const { return "sha256:" + hex(); }
    std::string short_hex() const { return hex().substr(0, 12); }
    bool is_zero() const { return *this == Digest{}; }
    // Invalid if the text is not "sha256:" and 64 lower-case hex digits; Unsupported for another
    // well-formed algorithm name.
    static Digest parse(std::string_view text);
    static std::optional<Digest> from_hex(std::string_view hex);

    auto operator<=>(const Digest&) const = default;
};

struct DigestHash {
    std::size_t operator()(const Digest& digest) const {
        std::size_t value = 0;
        std::memcpy(&value, digest.bytes.data(), sizeof value);  // already uniformly distributed
        return value;
    }
};

std::string to_hex(Bytes bytes);
// As many of the kernel's random bytes, in hex: a name that nobody else has or can guess.
std::string random_hex(std::size_t bytes);

// ---------------------------------------------------------------------------------------------
// Descriptors, mappings, directories, files.

class UniqueFd {
  public:
    UniqueFd() = default;
    explicit UniqueFd(int fd) : fd_(fd) {}
    UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
    UniqueFd& operator=(UniqueFd&& other) noexcept {
        if (this != &other) reset(other.release());
        return *this;
    }
    ~UniqueFd() { reset(); }

    int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }
    int release() { return std::exchange(fd_, -1); }
    void reset(int fd = -1);
    // Closes and reports what close(2) said; the destructor cannot.
    void close_checked(std::string_view subject);

  private:
    int fd_ = -1;
};

// open(2) with O_CLOEXEC added; throws with the path in the message.
UniqueFd open_file(const std::string& path, int flags, unsigned mode = 0644);
UniqueFd open_file_at(int dir_fd, const std::string& path, int flags, unsigned mode = 0644);

// A read-only private mapping of a whole file. An empty file gives empty bytes.
class Mapping {
  public:
    Mapping() = default;
    explicit Mapping(const std::string& path);
    Mapping(Mapping&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    Mapping& operator=(Mapping&& other) noexcept;
    ~Mapping();
    Bytes bytes() const { return {static_cast<const std::byte*>(data_), size_}; }

  private:
    void* data_ = nullptr;
    std::size_t size_ = 0;
};

// A fresh directory "<parent>/<prefix>XXXXXX", removed with everything below it at destruction.
// Removal never follows symbolic links and never crosses into another mounted file system.
class TempDir {
  public:
    explicit TempDir(const std::string& parent = default_parent(),
                     const std::string& prefix = "shale-");
    TempDir(TempDir&& other) noexcept : path_(std::exchange(other.path_, {})) {}
    TempDir& operator=(TempDir&&) = delete;
    ~TempDir();
    const std::string& path() const { return path_; }
    std::string release() { return std::exchange(path_, {}); }
    static std::string default_parent();  // $TMPDIR or /tmp

  private:
    std::string path_;
};

// Removes a tree like `rm -rf --one-file-system`; a missing path is fine. Never throws; returns
// false if something stayed.
bool remove_tree(const std::string& path) noexcept;

inline constexpr std::uint64_t kMaxSlurpBytes = 64ull << 20;
// Whole file as text. Invalid if it is larger than `limit` bytes.
std::string read_file(const std::string& path, std::uint64_t limit = kMaxSlurpBytes);
// Temporary file in the same directory, write, fsync, rename, fsync of the directory.
// For files of our own: whatever bore the name before, a device too, is replaced. Files that a user
// names are OutputFile's.
void write_file_atomic(const std::string& path, Bytes bytes, unsigned mode = 0644);
void write_all(int fd, Bytes bytes, std::string_view subject);
// Reads exactly `out.size()` bytes at `offset`; Corrupt if the file ends first.
void pread_exact(int fd, MutableBytes out, std::uint64_t offset, std::string_view subject);
void make_directories(const std::string& path, unsigned mode = 0755);
bool path_exists(const std::string& path);  // lstat

// An anonymous file in `directory`: gone when closed, whatever kills the program.
UniqueFd anonymous_file(const std::string& directory);

class UncachedWriter;

// A file that a user named as the place for a result, written as a stream.
// "-" is standard output; an existing device, pipe or /dev/stdout is written directly (a named pipe
// that nobody reads within seconds is an error). Otherwise the bytes go to a temporary file beside
// the target, and commit() gives it the name in one step; without commit() nothing appears.
// Symbolic links are followed. A directory is EISDIR.
class OutputFile {
  public:
    // NotSynced as cp(1) does it: the kernel writes large results when it likes.
    enum class Durability { Synced, NotSynced };

    explicit OutputFile(const std::string& path);
    ~OutputFile();
    OutputFile(const OutputFile&) = delete;
    void write(Bytes bytes);
    void commit(Durability durability = Durability::Synced);
    bool is_stdout() const { return is_stdout_; }  // by the name "-"
    // Whether commit() puts a new file in the place of `path`. Else it is written to as it is.
    bool replaces_file() const { return !target_.empty(); }

  private:
    void create_temporary();
    void publish(Durability durability);

    std::string subject_;    // for messages
    std::string target_;     // what commit() replaces; empty if written directly
    std::string temporary_;  // a name to unlink; empty while the file is anonymous
    UniqueFd fd_;
    std::unique_ptr<UncachedWriter> writer_;  // for a new file
    bool is_stdout_ = false;
};
void write_output_file(const std::string& path, Bytes bytes);  // the whole of an OutputFile

// Lexical path work. Paths are bytes; nothing here touches the disk.
// "/a/./b/../c//" -> "/a/c"; never climbs above "/" ; relative input is taken from "/".
std::string clean_absolute_path(std::string_view path);
std::string join_path(std::string_view base, std::string_view name);

// ---------------------------------------------------------------------------------------------
// Bounded little-endian decoding. Every overrun is Corrupt and names `what` and the offset.

class ByteReader {
  public:
    ByteReader(Bytes bytes, std::string_view what) : bytes_(bytes), what_(what) {}
    std::uint8_t u8() { return static_cast<std::uint8_t>(take(1)[0]); }
    std::uint16_t u16() { return little<std::uint16_t>(); }
    std::uint32_t u32() { return little<std::uint32_t>(); }
    std::uint64_t u64() { return little<std::uint64_t>(); }
    Bytes take(std::uint64_t count);
    std::uint64_t offset() const { return at_; }
    std::uint64_t remaining() const { return bytes_.size() - at_; }
    [[noreturn]] void corrupt(const std::string& why) const;

  private:
    template <typename T>
    T little() {
        T value;
        std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
        return value;
    }
    Bytes bytes_;
    std::uint64_t at_ = 0;
    std::string_view what_;
};

template <typename T>
void put_little(std::string& out, T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
static_assert(std::endian::native == std::endian::little, "byte layouts are written as they lie");

// ---------------------------------------------------------------------------------------------
// Two words that the walker, the tree, the archive and the mount share.

enum class FileType : std::uint8_t {
    Regular,
    Directory,
    Symlink,
    CharDevice,
    BlockDevice,
    Fifo,
    Socket,
};
std::optional<FileType> file_type_of(std::uint32_t st_mode);  // from S_IFMT bits
std::uint32_t mode_bits_of(FileType type);                    // to S_IFMT bits

struct Xattr {
    std::string name;
    std::string value;
    auto operator<=>(const Xattr&) const = default;
};

// ---------------------------------------------------------------------------------------------
// Threads.

// Stages of a pipeline talk through this. push blocks when full; after close, push returns false
// and pop drains what is left, then returns nullopt. Safe from any thread.
template <typename T>
class BoundedQueue {
  public:
    explicit BoundedQueue(std::size_t capacity) : capacity_(capacity) {}

    bool push(T item) {
        std::unique_lock lock(mutex_);
        can_push_.wait(lock, [&] { return closed_ || items_.size() < capacity_; });
        if (closed_) return false;
        items_.push_back(std::move(item));
        can_pop_.notify_one();
        return true;
    }
    std::optional<T> pop() {
        std::unique_lock lock(mutex_);
        can_pop_.wait(lock, [&] { return closed_ || !items_.empty(); });
        if (items_.empty()) return std::nullopt;
        std::optional<T> item(std::move(items_.front()));
        items_.pop_front();
        can_push_.notify_one();
        return item;
    }
    void close() {
        std::lock_guard lock(mutex_);
        closed_ = true;
        can_push_.notify_all();
        can_pop_.notify_all();
    }

  private:
    std::mutex mutex_;
    std::condition_variable can_push_, can_pop_;
    std::deque<T> items_;
    std::size_t capacity_;
    bool closed_ = false;
};

// ---------------------------------------------------------------------------------------------
// Time and log.

// A seam that tests replace.
class Clock {
  public:
    virtual ~Clock() = default;
    virtual std::int64_t now_ns() const = 0;  // since the Unix epoch
};
const Clock& system_clock();

inline constexpr std::int64_t kNsPerSecond = 1'000'000'000;

// Times that do not fit, beyond the year 2262, become the last or first that does: files may have
// any, by the will of whoever made them.
constexpr std::int64_t to_ns(const timespec& time) {
    // From the second nearer to 1970, or else the very first would not come out.
    const bool is_split = time.tv_sec < 0 && time.tv_nsec > 0;
    std::int64_t ns = 0;
    if (__builtin_mul_overflow(time.tv_sec + is_split, kNsPerSecond, &ns) ||
        __builtin_add_overflow(ns, time.tv_nsec - is_split * kNsPerSecond, &ns))
        return time.tv_sec < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}
// Times before 1970 too: the fraction is never negative.
constexpr timespec to_timespec(std::int64_t ns) {
    const bool borrows = ns % kNsPerSecond < 0;
    return {ns / kNsPerSecond - borrows, ns % kNsPerSecond + borrows * kNsPerSecond};
}
// The last whole second not after `ns`, in nanoseconds; of times before any that fits, `ns`.
constexpr std::int64_t whole_seconds(std::int64_t ns) {
    const std::int64_t fraction = (ns % kNsPerSecond + kNsPerSecond) % kNsPerSecond;
    return ns < INT64_MIN + fraction ? ns : ns - fraction;
}
// "2026-01-02T03:04:05.000000006Z"; whole seconds print no fraction.
std::string format_rfc3339(std::int64_t ns_since_epoch);
// nullopt if the text is not an RFC 3339 time.
std::optional<std::int64_t> parse_rfc3339(std::string_view text);

enum class LogLevel { Error, Warn, Info, Debug };
void set_log_level(LogLevel level);
// One line to stderr: "shale: warning: text". Modules up to `layer` do not log.
void log(LogLevel level, const std::string& text);

// "1.5 GB", "312 kB": powers of 1000, as docker prints sizes.
std::string format_size(std::uint64_t bytes);

// Levenshtein distance <= 2, case-insensitive; the nearest candidate or empty. Used for
// "did you mean" hints.
std::string nearest_match(std::string_view word, std::span<const std::string> candidates);

}  // namespace shale
