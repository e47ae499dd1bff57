// Sequential decoder: libarchive parses the dialects, this file turns what it says into Members and
// refuses what it lets through.
//
// libarchive converts names of PAX headers from UTF-8 to the thread's locale and, in a UTF-8
// locale, normalises them; names are bytes to us, so every call that parses a header runs in the C
// locale, where a name that is not ASCII fails to convert and is handed over untouched with a
// warning. That one warning is expected. Every other warning means that part of a header was
// ignored, and a header that two readers understand differently is an attack, so it is an error
// here.
#include "acl.hpp"
#include "libarchive.hpp"

#include <shale/tar.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <clocale>
#include <exception>

namespace shale::tar {

namespace {

constexpr std::size_t kInputBytes = 128 << 10;
// A sparse map of a few bytes can declare exabytes of holes, all of which a caller would hash.
constexpr std::uint64_t kMaxSparseBytes = 64ull << 30;

// libarchive's (private) ARCHIVE_ERRNO_FILE_FORMAT on Linux; its other header warnings carry
// ARCHIVE_ERRNO_MISC or EINVAL.
constexpr int kNameNotConverted = EILSEQ;

struct FreeArchive {
    void operator()(archive* reader) const { libarchive().read_free(reader); }
    void operator()(archive_entry* entry) const { libarchive().entry_free(entry); }
};

class InCLocale {
  public:
    InCLocale() {
        static const locale_t plain = ::newlocale(LC_ALL_MASK, "C", nullptr);
        previous_ = ::uselocale(plain);
    }
    ~InCLocale() { ::uselocale(previous_); }
    InCLocale(const InCLocale&) = delete;
    InCLocale& operator=(const InCLocale&) = delete;

  private:
    locale_t previous_;
};

// "./a//b/" -> "a/b". Corrupt for ".." anywhere and for names no file system takes.
std::string clean_member_path(std::string_view raw, std::string_view what) {
    std::string path;
    for (std::size_t begin = 0; begin < raw.size();) {
        const std::size_t end = std::min(raw.find('/', begin), raw.size());
        const std::string_view name = raw.substr(begin, end - begin);
        begin = end + 1;
        if (name.empty() || name == ".") continue;
        if (name == "..")
            fail(ErrorKind::Corrupt, fmt::format("{} \"{}\" escapes the root", what, raw));
        if (name.size() > most_name_bytes(name))
            fail(ErrorKind::Corrupt, fmt::format("{} \"{}...\": a name of {} bytes", what,
                                                 name.substr(0, 64), name.size()));
        if (!path.empty()) path.push_back('/');
        path.append(name);
    }
    if (path.size() > kMaxPathBytes)
        fail(ErrorKind::Corrupt, fmt::format("{} \"{}...\": a path of {} bytes", what,
                                             path.substr(0, 64), path.size()));
    return path;
}

std::int64_t mtime_of(archive_entry* entry) {
    if (!libarchive().entry_mtime_is_set(entry)) return 0;
    const std::int64_t seconds = libarchive().entry_mtime(entry);
    // libarchive negates the seconds of "-1.5" but not the fraction.
    const std::int64_t ns = (seconds < 0 ? -1 : 1) * libarchive().entry_mtime_nsec(entry);
    if (seconds >= INT64_MAX / kNsPerSecond) return INT64_MAX;
    if (seconds <= INT64_MIN / kNsPerSecond) return INT64_MIN;
    return seconds * kNsPerSecond + ns;
}

std::uint32_t id_of(std::int64_t value, const char* field, const std::string& path) {
    if (value < 0 || value > UINT32_MAX)
        fail(ErrorKind::Corrupt,
             fmt::format("archive member \"{}\": {} {} is out of range", path, field, value));
    return static_cast<std::uint32_t>(value);
}

std::vector<Xattr> xattrs_of(archive_entry* entry) {
    std::vector<Xattr> xattrs;
    const char* name = nullptr;
    const void* value = nullptr;
    std::size_t size = 0;
    libarchive().entry_xattr_reset(entry);
    while (libarchive().entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK)
        xattrs.push_back({name, std::string(static_cast<const char*>(value), size)});
    // bsdtar states each attribute twice, in two notations.
    const auto by_name = [](const Xattr& a, const Xattr& b) { return a.name < b.name; };
    const auto same_name = [](const Xattr& a, const Xattr& b) { return a.name == b.name; };
    std::stable_sort(xattrs.begin(), xattrs.end(), by_name);
    xattrs.erase(std::unique(xattrs.begin(), xattrs.end(), same_name), xattrs.end());
    return xattrs;
}

// nullopt for a hardlink to "" and for the rest of a file begun on another volume.
std::optional<MemberType> type_of(archive_entry* entry) {
    if (libarchive().entry_hardlink(entry) != nullptr) return MemberType::Hardlink;
    switch (libarchive().entry_filetype(entry)) {
    case AE_IFREG:
        return MemberType::Regular;
    case AE_IFLNK:
        return MemberType::Symlink;
    case AE_IFDIR:
        return MemberType::Directory;
    case AE_IFCHR:
        return MemberType::CharDevice;
    case AE_IFBLK:
        return MemberType::BlockDevice;
    case AE_IFIFO:
        return MemberType::Fifo;
    default:
        return std::nullopt;
    }
}

std::string link_target_of(archive_entry* entry, MemberType type, const std::string& path) {
    if (type == MemberType::Symlink) {
        const char* target = libarchive().entry_symlink(entry);
        if (target == nullptr || *target == '\0')
            fail(ErrorKind::Corrupt,
                 fmt::format("archive member \"{}\": symlink to nothing", path));
        return target;
    }
    if (type != MemberType::Hardlink) return {};
    const auto target =
        clean_member_path(libarchive().entry_hardlink(entry), "hardlink target of archive member");
    if (target.empty())
        fail(ErrorKind::Corrupt, fmt::format("archive member \"{}\": hardlink to nothing", path));
    return target;
}

}  // namespace

struct Reader::State {
    Source source;
    std::string what;
    std::array<std::byte, kInputBytes> buffer;
    std::exception_ptr source_error;
    std::unique_ptr<archive, FreeArchive> reader{libarchive().read_new()};
    std::unique_ptr<archive_entry, FreeArchive> entry{libarchive().entry_new()};
    bool opened = false, ended = false;
    // Of the current member.
    bool regular = false, sparse = false;
    std::uint64_t sparse_bytes = 0;  // of all sparse files so far
    std::uint64_t header_offset = 0, content_offset = 0;
    bool exhausted = false;
    std::uint64_t size = 0, delivered = 0;
    // Of the last member, also while the next one is looked for.
    bool has_plain_content = false;
    std::uint64_t pulled = 0;  // bytes that libarchive has got

    std::uint64_t position() const {
        return static_cast<std::uint64_t>(libarchive().filter_bytes(reader.get(), 0));
    }
    [[noreturn]] void raise() const {
        if (source_error) std::rethrow_exception(source_error);
        const char* why = libarchive().error_string(reader.get());
        corrupt(why != nullptr ? why : "damaged archive");
    }
    [[noreturn]] void corrupt(std::string_view why) const {
        fail(ErrorKind::Corrupt, fmt::format("{}: {} at tar offset {}", what, why, position()));
    }
    void check(int status) const {
        if (status != ARCHIVE_OK) raise();
    }

    void open();
    bool next_header();
    Member convert();
    std::size_t read_some(MutableBytes out);
    void finish_content();
    std::size_t pull_some();
    static la_ssize_t pull(archive* reader, void* state, const void** bytes) noexcept;
};

void Reader::State::open() {
    if (!reader || !entry) throw std::bad_alloc();
    opened = true;
    check(libarchive().read_support_format_tar(reader.get()));
    check(libarchive().read_support_format_empty(reader.get()));
    check(libarchive().read_open(reader.get(), this, nullptr, &State::pull, nullptr));
}

// An archive may end with the last byte of its last content: umoci's `insert` writes such layers,
// and every other reader takes them. A content that is cut short is not completed.
std::size_t Reader::State::pull_some() {
    std::size_t count = source(buffer);
    const std::uint64_t end = content_offset + size;
    if (count == 0 && has_plain_content && pulled >= end && pulled < end + padding(size)) {
        count = static_cast<std::size_t>(end + padding(size) - pulled);
        std::fill_n(buffer.begin(), count, std::byte{0});
    }
    pulled += count;
    return count;
}

la_ssize_t Reader::State::pull(archive* reader, void* state, const void** bytes) noexcept {
    auto& self = *static_cast<State*>(state);
    try {
        *bytes = self.buffer.data();
        return static_cast<la_ssize_t>(self.pull_some());
    } catch (...) {  // C frames lie between here and our caller; raise() rethrows
        self.source_error = std::current_exception();
        libarchive().set_error(reader, EIO, "reading the archive failed");
        return ARCHIVE_FATAL;
    }
}

bool Reader::State::next_header() {
    const InCLocale c_locale;
    if (!opened) open();
    const int status = libarchive().read_next_header2(reader.get(), entry.get());
    // A source that fails before the first byte looks like an empty archive to libarchive.
    if (source_error) raise();
    if (status == ARCHIVE_EOF) return false;
    const bool only_a_name_not_in_ascii =
        status == ARCHIVE_WARN && libarchive().error_number(reader.get()) == kNameNotConverted;
    if (!only_a_name_not_in_ascii) check(status);
    return true;
}

Member Reader::State::convert() {
    const auto type = type_of(entry.get());
    const char* raw_path = libarchive().entry_pathname(entry.get());
    if (raw_path == nullptr) fail(ErrorKind::Corrupt, "archive member without a name");
    Member member;
    member.path = clean_member_path(raw_path, "archive member");
    if (!type)
        fail(ErrorKind::Corrupt,
             fmt::format("archive member \"{}\" is of no usable type", member.path));
    member.type = *type;
    if (member.path.empty() && *type != MemberType::Directory)
        fail(ErrorKind::Corrupt,
             fmt::format("archive member \"{}\" replaces the root directory", raw_path));
    member.mode = libarchive().entry_perm(entry.get()) & 07777;
    member.uid = id_of(libarchive().entry_uid(entry.get()), "uid", member.path);
    member.gid = id_of(libarchive().entry_gid(entry.get()), "gid", member.path);
    member.mtime_ns = mtime_of(entry.get());
    member.link_target = link_target_of(entry.get(), *type, member.path);
    member.xattrs = xattrs_of(entry.get());
    take_acls(entry.get(), member);
    if (*type == MemberType::CharDevice || *type == MemberType::BlockDevice) {
        member.device_major = static_cast<std::uint32_t>(libarchive().entry_rdevmajor(entry.get()));
        member.device_minor = static_cast<std::uint32_t>(libarchive().entry_rdevminor(entry.get()));
    }
    if (*type == MemberType::Regular) {
        const std::int64_t bytes = libarchive().entry_size(entry.get());
        if (bytes < 0)
            fail(ErrorKind::Corrupt,
                 fmt::format("archive member \"{}\" has a negative size", member.path));
        member.size = static_cast<std::uint64_t>(bytes);
    }
    return member;
}

// `out` is not empty and the member has content left.
std::size_t Reader::State::read_some(MutableBytes out) {
    // At the start of a hole libarchive may return nothing once before it makes up the zeros.
    for (int attempt = 0; attempt < 2; ++attempt) {
        const la_ssize_t made = libarchive().read_data(reader.get(), out.data(), out.size());
        if (made < 0) raise();
        if (made > 0) return static_cast<std::size_t>(made);
    }
    corrupt(fmt::format("member holds {} bytes where its header says {}", delivered, size));
}

// Asks for one byte too many: PAX keywords of sparse dialects can declare a size below that of the
// data. It also moves the stream position past the content and its padding.
void Reader::State::finish_content() {
    std::byte extra;
    const la_ssize_t made = libarchive().read_data(reader.get(), &extra, 1);
    if (made < 0) raise();
    if (made > 0) corrupt(fmt::format("member holds more than the {} bytes it declares", size));
    exhausted = true;
    // No flag tells, but the position does: a header may declare a size above that of its data
    // without any sparse map, and libarchive then makes up zeros.
    if (!sparse && position() != content_offset + size + padding(size))
        corrupt(fmt::format("member declares {} bytes but does not hold them", size));
}

Reader::Reader(Source source, std::string what) : state_(std::make_unique<State>()) {
    state_->source = std::move(source);
    state_->what = std::move(what);
}

Reader::Reader(Reader&&) noexcept = default;
Reader::~Reader() = default;

std::optional<Member> Reader::next() {
    State& state = *state_;
    state.regular = false;
    if (state.ended || !state.next_header()) {
        state.ended = true;
        return std::nullopt;
    }
    state.header_offset =
        static_cast<std::uint64_t>(libarchive().read_header_position(state.reader.get()));
    state.content_offset = state.position();
    const auto where = [&] {
        return fmt::format("{}: tar offset {}", state.what, state.header_offset);
    };
    Member member = in_context(where, [&] { return state.convert(); });
    state.regular = member.type == MemberType::Regular;
    state.sparse = libarchive().entry_sparse_count(state.entry.get()) != 0;
    if (state.sparse && member.size > kMaxSparseBytes - state.sparse_bytes)
        fail(ErrorKind::Unsupported,
             fmt::format("{}: sparse file \"{}\" of {} bytes, behind others of {}", where(),
                         member.path, member.size, state.sparse_bytes));
    if (state.sparse) state.sparse_bytes += member.size;
    state.has_plain_content = state.regular && !state.sparse;
    state.size = member.size;
    state.delivered = 0;
    state.exhausted = false;
    return member;
}

std::size_t Reader::read(MutableBytes out) {
    State& state = *state_;
    const std::uint64_t left = state.size - state.delivered;
    if (!state.regular || state.exhausted || out.empty()) return 0;
    out = out.first(static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), left)));
    const std::size_t made = left == 0 ? 0 : state.read_some(out);
    state.delivered += made;
    if (state.delivered == state.size) state.finish_content();
    return made;
}

std::uint64_t Reader::header_offset() const {
    return state_->header_offset;
}
std::uint64_t Reader::content_offset() const {
    return state_->content_offset;
}

bool Reader::content_is_contiguous() const {
    return !state_->sparse;
}

}  // namespace shale::tar
