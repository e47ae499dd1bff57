// JSON -> Toc, without building a document: a table of contents may be hundreds of megabytes and
// comes from strangers.
//
// The handler follows where it stands in a schema of fixed depth and skips whatever it does not
// know, at any depth, so that keys of other tools do no harm. Values are range-checked where they
// are read; what concerns several values is left to check_toc().
#include "json_names.hpp"
#include "toc_check.hpp"
#include "toc_fields.hpp"
#include "toc_place.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>

namespace shale::layer {

namespace {

std::optional<tar::MemberType> type_of(std::string_view name) {
    using enum tar::MemberType;
    if (name == "reg") return Regular;
    if (name == "dir") return Directory;
    if (name == "symlink") return Symlink;
    if (name == "hardlink") return Hardlink;
    if (name == "char") return CharDevice;
    if (name == "block") return BlockDevice;
    if (name == "fifo") return Fifo;
    return std::nullopt;
}

// "2026-01-02T03:04:05[.123456789]Z" as we write it, several times faster than the general parser,
// which takes over for every other form.
std::optional<std::int64_t> parse_time(std::string_view text) {
    const auto number = [&](std::size_t at, std::size_t digits) {
        int value = 0;
        for (std::size_t i = at; i < at + digits; ++i) {
            if (text[i] < '0' || text[i] > '9') return -1;
            value = value * 10 + (text[i] - '0');
        }
        return value;
    };
    const bool whole = text.size() == 20, fraction = text.size() == 30 && text[19] == '.';
    if ((!whole && !fraction) || text.back() != 'Z') return parse_rfc3339(text);
    const int parts[] = {number(0, 4),
                         number(5, 2),
                         number(8, 2),
                         number(11, 2),
                         number(14, 2),
                         number(17, 2),
                         fraction ? number(20, 9) : 0};
    const std::chrono::year_month_day date{std::chrono::year(parts[0]),
                                           std::chrono::month(static_cast<unsigned>(parts[1])),
                                           std::chrono::day(static_cast<unsigned>(parts[2]))};
    const bool digits =
        std::all_of(std::begin(parts), std::end(parts), [](int p) { return p >= 0; });
    // Near the ends of the range only the general parser minds overflow.
    if (!digits || !date.ok() || parts[0] < 1700 || parts[0] > 2200) return parse_rfc3339(text);
    const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
    return (((days * 24 + parts[3]) * 60 + parts[4]) * 60 + parts[5]) * kNsPerSecond + parts[6];
}

// "./a//b/" -> "a/b", as the tar reader does; what it refuses, check_toc() does.
std::string member_path(std::string_view name) {
    std::string path;
    for (std::size_t begin = 0; begin < name.size();) {
        const std::size_t end = std::min(name.find('/', begin), name.size());
        const std::string_view part = name.substr(begin, end - begin);
        begin = end + 1;
        if (part.empty() || part == ".") continue;
        if (!path.empty()) path.push_back('/');
        path.append(part);
    }
    return path;
}

enum class Level { Outside, Top, Entries, Entry, Xattrs, Frames, Frame };

class TocHandler {
  public:
    // Without `places` the table is one of ours.
    explicit TocHandler(std::vector<TocPlace>* places) : places_(places) {}

    using number_integer_t = nlohmann::json::number_integer_t;
    using number_unsigned_t = nlohmann::json::number_unsigned_t;
    using number_float_t = nlohmann::json::number_float_t;
    using string_t = nlohmann::json::string_t;
    using binary_t = nlohmann::json::binary_t;

    Toc take() {
        const bool second = version_ == 2 && places_ == nullptr;
        if (version_ != 1 && !second) corrupt(fmt::format("version {} is unknown", version_));
        if (version_ == 1 && unplaced_)
            corrupt(fmt::format("entry {} (\"{}\"): has content but no \"tarOffset\"", *unplaced_,
                                toc_.entries[*unplaced_].member.path));
        if (second) give_out_digests();
        return std::move(toc_);
    }

    bool null() { return true; }
    bool boolean(bool) { return true; }
    bool binary(binary_t&) { return true; }
    bool number_integer(number_integer_t) { return reject_number(); }
    bool number_float(number_float_t, const string_t&) { return reject_number(); }

    bool number_unsigned(number_unsigned_t value) {
        if (skip_depth_ > 0) return true;
        if (level_ == Level::Frame) add_frame_number(value);
        if (level_ == Level::Top && key_ == "version") version_ = value;
        if (level_ == Level::Top && key_ == "tarBytes") toc_.tar_bytes = value;
        if (level_ == Level::Entry) set_entry_number(value);
        return true;
    }

    bool string(string_t& value) {
        if (skip_depth_ > 0) return true;
        if (level_ == Level::Entry) set_entry_text(value);
        if (level_ == Level::Top && key_ == "digests") digests_ = std::move(value);
        if (level_ == Level::Xattrs) add_xattr(value);
        if (level_ == Level::Frame) set_frame_digest(value);
        return true;
    }

    bool key(string_t& name) {
        if (skip_depth_ == 0) key_ = std::move(name);
        return true;
    }

    bool start_object(std::size_t) {
        if (skip_depth_ == 0 && level_ == Level::Outside) {
            level_ = Level::Top;
        } else if (skip_depth_ == 0 && level_ == Level::Entries) {
            begin_entry();
        } else if (skip_depth_ == 0 && level_ == Level::Entry && key_ == "xattrs") {
            level_ = Level::Xattrs;
        } else {
            ++skip_depth_;
        }
        return true;
    }

    bool end_object() {
        if (skip_depth_ > 0) {
            --skip_depth_;
        } else if (level_ == Level::Xattrs) {
            level_ = Level::Entry;
        } else if (level_ == Level::Entry) {
            end_entry();
        } else {
            level_ = Level::Outside;
        }
        return true;
    }

    bool start_array(std::size_t) {
        if (skip_depth_ == 0 && level_ == Level::Top && key_ == "entries") {
            level_ = Level::Entries;
        } else if (skip_depth_ == 0 && level_ == Level::Top && key_ == "frames") {
            level_ = Level::Frames;
        } else if (skip_depth_ == 0 && level_ == Level::Frames) {
            level_ = Level::Frame;
            frame_numbers_ = 0;
            frame_digest_ = {};
        } else {
            ++skip_depth_;
        }
        return true;
    }

    bool end_array() {
        if (skip_depth_ > 0) {
            --skip_depth_;
        } else if (level_ == Level::Frame) {
            end_frame();
        } else {
            level_ = Level::Top;
        }
        return true;
    }

    template <typename Exception>
    bool parse_error(std::size_t position, const std::string&, const Exception& exception) {
        corrupt(fmt::format("not JSON at byte {}: {}", position, exception.what()));
        return false;
    }

  private:
    [[noreturn]] void corrupt(const std::string& why) const {
        fail(ErrorKind::Corrupt, "table of contents: " + why);
    }
    [[noreturn]] void corrupt_entry(const std::string& why) const {
        corrupt(fmt::format("entry {} (\"{}\"): {}", toc_.entries.size(), entry_.member.path, why));
    }
    bool reject_number() {
        if (skip_depth_ == 0) corrupt(fmt::format("\"{}\" is no natural number", key_));
        return true;
    }

    void begin_entry() {
        level_ = Level::Entry;
        entry_ = {};
        place_ = {};
        gap_ = kUsualGap;
        typed_ = named_ = placed_ = is_chunk_ = false;
    }
    void end_entry();
    void place_content();
    void give_out_digests();
    void end_chunk();
    void add_place(std::size_t entry);
    void check_entry();
    bool set_place_number(std::uint64_t value);
    void set_entry_number(std::uint64_t value);
    void set_entry_text(std::string& value);
    void set_name(const std::string& value);
    void add_xattr(const std::string& value);
    void add_frame_number(std::uint64_t value);
    void set_frame_digest(const std::string& value);
    void end_frame();
    std::uint32_t small(std::uint64_t value, std::uint32_t limit = UINT32_MAX) const {
        if (value > limit) corrupt_entry(fmt::format("\"{}\" is {}", key_, value));
        return static_cast<std::uint32_t>(value);
    }

    Toc toc_;
    std::vector<TocPlace>* const places_;
    TocPlace place_;
    std::string digests_;                  // hexadecimal, of the contents in their order
    std::uint64_t gap_ = kUsualGap;        // between the content before and this one
    std::uint64_t previous_end_ = 0;       // of the content before, padded
    std::optional<std::size_t> unplaced_;  // the first entry whose place a gap gave
    std::uint64_t version_ = 0;
    Level level_ = Level::Outside;
    std::size_t skip_depth_ = 0;  // containers entered that mean nothing to us
    std::string key_;
    TocEntry entry_;
    bool typed_ = false, named_ = false, placed_ = false, is_chunk_ = false;
    bool directory_name_ = false;  // the name ended in a slash
    std::uint64_t frame_[4] = {};
    std::size_t frame_numbers_ = 0;
    Digest frame_digest_;
};

// Keys that only foreign tables are read by, or that they use otherwise.
bool TocHandler::set_place_number(std::uint64_t value) {
    if (key_ == "mode")
        entry_.member.mode = static_cast<std::uint32_t>(value & 07777);  // types of files, too
    else if (key_ == "offset")
        place_.offset = value;
    else if (key_ == "endOffset")
        place_.end = value;
    else if (key_ == "innerOffset")
        place_.skip = value;
    else if (key_ == "chunkOffset")
        place_.chunk_offset = value;
    else if (key_ == "chunkSize")
        place_.chunk_bytes = value;
    else
        return key_ == "tarOffset";
    return true;
}

void TocHandler::set_entry_number(std::uint64_t value) {
    tar::Member& member = entry_.member;
    if (places_ != nullptr && set_place_number(value)) return;
    if (key_ == "mode")
        member.mode = small(value, 07777);
    else if (key_ == "size")
        member.size = value;
    else if (key_ == "uid")
        member.uid = small(value);
    else if (key_ == "gid")
        member.gid = small(value);
    else if (key_ == "devMajor")
        member.device_major = small(value);
    else if (key_ == "devMinor")
        member.device_minor = small(value);
    else if (key_ == "gap")
        gap_ = value;
    else if (key_ == "tarOffset") {
        entry_.content_offset = value;
        placed_ = true;
    }
}

void TocHandler::set_entry_text(std::string& value) {
    if (key_ == "type") {
        is_chunk_ = value == "chunk";
        const auto type = type_of(value);
        if (!type && !is_chunk_) corrupt_entry(fmt::format("type \"{}\" is unknown", value));
        entry_.member.type = type.value_or(tar::MemberType::Regular);
        typed_ = true;
    } else if (key_ == "name") {
        set_name(value);
    } else if (key_ == "linkName") {
        entry_.member.link_target = bytes_of_json_name(value);
    } else if (key_ == "modtime") {
        // Go's time zero, which the first zstd:chunked wrote for a time that is not given.
        const bool is_unset = places_ != nullptr && value == "0001-01-01T00:00:00Z";
        const auto time = is_unset ? std::optional<std::int64_t>(0) : parse_time(value);
        if (!time) corrupt_entry(fmt::format("\"{}\" is no time", value));
        entry_.member.mtime_ns = *time;
    } else if (key_ == "digest" || (key_ == "chunkDigest" && places_ != nullptr)) {
        const auto hex = std::string_view(value);
        const auto digest =
            hex.starts_with("sha256:") ? Digest::from_hex(hex.substr(7)) : std::optional<Digest>();
        if (!digest) corrupt_entry(fmt::format("\"{}\" is no digest", value));
        (key_ == "digest" ? entry_.content : place_.digest) = *digest;
    }
}

void TocHandler::set_name(const std::string& value) {
    std::string path = bytes_of_json_name(value);
    directory_name_ = path.ends_with('/');
    if (places_ != nullptr) path = member_path(path);
    if (path == "./") path.clear();
    if (!path.empty() && path.back() == '/') path.pop_back();
    entry_.member.path = std::move(path);
    named_ = true;
}

void TocHandler::add_xattr(const std::string& value) {
    Xattr xattr{bytes_of_json_name(key_), {}};
    if (xattr.name.empty() || xattr.name.find('\0') != std::string::npos ||
        !decode_base64(value, xattr.value))
        corrupt_entry(fmt::format("xattr \"{}\" is malformed", key_));
    entry_.member.xattrs.push_back(std::move(xattr));
}

// Chunk entries repeat for other readers what our frame table says.
void TocHandler::end_chunk() {
    if (places_ == nullptr) return;
    if (toc_.entries.empty() || toc_.entries.back().member.path != entry_.member.path)
        corrupt_entry("is a chunk of another file than the one before");
    add_place(toc_.entries.size() - 1);
}

void TocHandler::add_place(std::size_t entry) {
    if (places_->size() == kMaxFrames) corrupt("too many chunks");
    place_.entry = entry;
    places_->push_back(place_);
}

// By its own word, or one gap behind the content before. check_toc() finds places outside the tar.
void TocHandler::place_content() {
    if (!placed_) {
        if (gap_ > INT64_MAX) corrupt_entry(fmt::format("\"gap\" is {}", gap_));
        entry_.content_offset = previous_end_ + gap_;
        if (!unplaced_) unplaced_ = toc_.entries.size();
    }
    const std::uint64_t size = entry_.member.size, at = entry_.content_offset;
    if (size > INT64_MAX || at > INT64_MAX - size)
        corrupt_entry(
            fmt::format("has {} bytes of content at tar offset {}, outside the frames", size, at));
    previous_end_ = std::min<std::uint64_t>(at + size + tar::padding(size), INT64_MAX);
}

void TocHandler::give_out_digests() {
    constexpr std::size_t kDigits = 64;
    std::size_t at = 0;
    for (TocEntry& entry : toc_.entries) {
        if (entry.member.type != tar::MemberType::Regular || entry.member.size == 0) continue;
        const auto hex = std::string_view(digests_).substr(std::min(at, digests_.size()), kDigits);
        const auto digest = Digest::from_hex(hex);
        if (!digest)
            corrupt(fmt::format("\"digests\" holds no digest for \"{}\"", entry.member.path));
        entry.content = *digest;
        at += kDigits;
    }
    if (at != digests_.size()) corrupt("\"digests\" holds more than there are contents");
}

void TocHandler::check_entry() {
    tar::Member& member = entry_.member;
    if (places_ == nullptr && directory_name_ != (member.type == tar::MemberType::Directory))
        corrupt_entry("only names of directories end in a slash");
    if (member.type == tar::MemberType::Regular && member.size == 0) {
        static const Digest empty = codec::sha256("");
        entry_.content = empty;
    } else if (member.type == tar::MemberType::Regular && places_ == nullptr) {
        place_content();
    }
    if (places_ != nullptr && member.type == tar::MemberType::Hardlink)
        member.link_target = member_path(member.link_target);
    std::sort(member.xattrs.begin(), member.xattrs.end());
    const auto same_name = [](const Xattr& a, const Xattr& b) { return a.name == b.name; };
    if (std::adjacent_find(member.xattrs.begin(), member.xattrs.end(), same_name) !=
        member.xattrs.end())
        corrupt_entry("states an xattr twice");
}

void TocHandler::end_entry() {
    level_ = Level::Entries;
    if (!typed_ || !named_) corrupt_entry("has no type or no name");
    if (is_chunk_) return end_chunk();
    check_entry();
    if (toc_.entries.size() == kMaxEntries) corrupt("too many entries");
    if (places_ != nullptr && entry_.member.type == tar::MemberType::Regular &&
        entry_.member.size > 0)
        add_place(toc_.entries.size());
    toc_.entries.push_back(std::move(entry_));
}

void TocHandler::add_frame_number(std::uint64_t value) {
    if (frame_numbers_ == std::size(frame_)) corrupt("a frame has more than four numbers");
    frame_[frame_numbers_++] = value;
}

void TocHandler::set_frame_digest(const std::string& value) {
    const auto digest = Digest::from_hex(value);
    if (!digest || frame_numbers_ != std::size(frame_) || !frame_digest_.is_zero())
        corrupt("a frame's digest is malformed, or not behind its four numbers");
    frame_digest_ = *digest;
}

void TocHandler::end_frame() {
    level_ = Level::Frames;
    if (frame_numbers_ != std::size(frame_)) corrupt("a frame has fewer than four numbers");
    if (toc_.frames.size() == kMaxFrames) corrupt("too many frames");
    toc_.frames.push_back({frame_[0], frame_[1], frame_[2], frame_[3], 0, frame_digest_});
}

}  // namespace

Toc parse_toc(Bytes json, std::vector<TocPlace>* places) {
    if (json.size() > kMaxTocBytes)
        fail(ErrorKind::Corrupt,
             fmt::format("table of contents: {} bytes are too many", json.size()));
    const std::string_view text = as_text(json);
    TocHandler handler(places);
    nlohmann::json::sax_parse(text.begin(), text.end(), &handler);
    return handler.take();
}

Toc decode_toc(Bytes json) {
    Toc toc = parse_toc(json, nullptr);
    check_toc(toc);
    return toc;
}

}  // namespace shale::layer
