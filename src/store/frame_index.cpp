// Two tables, one row per key. Rows are written after the blob they name is committed and read as
// hints: a row that does not decode, or whose blob is gone, is a frame that is not known.
#include "section_record.hpp"
#include "sequential_reader.hpp"
#include "sqlite.hpp"

#include <shale/frame_index.hpp>

#include <cstring>

namespace shale::store {

namespace {

constexpr std::int64_t kVersion = 3;
constexpr int kBusyMs = 60'000;
constexpr const char* kSchema = R"(
    CREATE TABLE frames(key BLOB PRIMARY KEY, blob BLOB NOT NULL, record BLOB NOT NULL,
                        day INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX frames_by_blob ON frames(blob);
    CREATE INDEX frames_by_day ON frames(day);
    CREATE TABLE sections(key BLOB PRIMARY KEY, record BLOB NOT NULL, day INTEGER NOT NULL)
        WITHOUT ROWID;
    CREATE INDEX sections_by_day ON sections(day);
)";

Bytes bytes_of(const Digest& digest) {
    return std::as_bytes(std::span(digest.bytes));
}

std::optional<Digest> digest_of(Bytes bytes) {
    Digest digest;
    if (bytes.size() != digest.bytes.size()) return std::nullopt;
    std::memcpy(digest.bytes.data(), bytes.data(), bytes.size());
    return digest;
}

std::string encode(const layer::StoredFrame& frame) {
    std::string record;
    put_little(record, frame.frame.blob_offset);
    put_little(record, frame.frame.blob_bytes);
    put_little(record, frame.frame.tar_bytes);
    put_little(record, frame.check.low);
    put_little(record, frame.check.high);
    record.append(as_text(bytes_of(frame.frame.blob_digest)));
    record.append(as_text(bytes_of(frame.prefix)));
    record.append(as_text(frame.tar_state));
    put_little(record, codec::xxh3_64(as_bytes(record)));
    return record;
}

std::optional<layer::StoredFrame> decode(Bytes record) {
    constexpr std::size_t kChecked =
        5 * 8 + 2 * sizeof(Digest::bytes) + codec::Sha256Stream::kStateBytes;
    if (record.size() != kChecked + 8) return std::nullopt;
    layer::StoredFrame frame;
    ByteReader reader(record, "frame record");
    frame.frame.blob_offset = reader.u64();
    frame.frame.blob_bytes = reader.u64();
    frame.frame.tar_bytes = reader.u64();
    frame.check.low = reader.u64();
    frame.check.high = reader.u64();
    frame.frame.blob_digest = *digest_of(reader.take(sizeof(Digest::bytes)));
    frame.prefix = *digest_of(reader.take(sizeof(Digest::bytes)));
    const Bytes state = reader.take(codec::Sha256Stream::kStateBytes);
    std::copy(state.begin(), state.end(), frame.tar_state.begin());
    if (reader.u64() != codec::xxh3_64(record.first(kChecked))) return std::nullopt;
    return frame;
}

// What is done to either table after rows were put into it.
struct Eviction {
    Eviction(SqliteConnection& connection, const std::string& table)
        : forget_old(connection, "DELETE FROM " + table + " WHERE day < ?1"),
          count(connection, "SELECT count(*) FROM " + table),
          forget_oldest(connection, "DELETE FROM " + table + " WHERE key IN (SELECT key FROM " +
                                        table + " ORDER BY day LIMIT ?1)") {}

    void run(std::int64_t oldest_day, std::int64_t most_rows) {
        run(forget_old, oldest_day);
        count.step();
        const std::int64_t rows = count.integer(0);
        count.rewind();
        if (rows > most_rows) run(forget_oldest, rows - most_rows);
    }

    void rewind() {
        for (SqliteStatement* statement : {&forget_old, &count, &forget_oldest})
            statement->rewind();
    }

  private:
    static void run(SqliteStatement& statement, std::int64_t number) {
        statement.bind_int(1, number);
        statement.step();
        statement.rewind();
    }
    SqliteStatement forget_old, count, forget_oldest;
};

}  // namespace

struct FrameIndex::State {
    explicit State(const std::string& path) : connection(path, kBusyMs) {
        connection.use_schema(kSchema, kVersion, "frame index");
        const auto statement = [&](const char* text) {
            return std::make_unique<SqliteStatement>(connection, text);
        };
        find = statement("SELECT blob, record FROM frames WHERE key = ?1");
        put = statement("REPLACE INTO frames VALUES (?1, ?2, ?3, ?4)");
        forget_blob = statement("DELETE FROM frames WHERE blob = ?1");
        find_section = statement("SELECT record FROM sections WHERE key = ?1");
        put_section = statement("REPLACE INTO sections VALUES (?1, ?2, ?3)");
        frames = std::make_unique<Eviction>(connection, "frames");
        sections = std::make_unique<Eviction>(connection, "sections");
    }

    SqliteConnection connection;
    std::unique_ptr<SqliteStatement> find, put, forget_blob, find_section, put_section;
    std::unique_ptr<Eviction> frames, sections;
};

FrameIndex::FrameIndex(Store& store, std::int64_t most_rows)
    : store_(store), path_(join_path(store.root(), "frame-index.db")),
      most_rows_(most_rows), readers_{std::make_unique<SequentialReader>(),
                                      std::make_unique<SequentialReader>()} {}
FrameIndex::~FrameIndex() = default;

FrameIndex::State& FrameIndex::state() {
    return open_or_begin_anew(state_, path_);
}

void FrameIndex::drop() {
    begin_anew(state_, path_);
}

// Rows are hints: without them frames are compressed again.
template <typename LookUp>
auto FrameIndex::or_drop(const LookUp& look_up) -> decltype(look_up()) {
    const std::lock_guard lock(mutex_);
    try {
        return look_up();
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::Corrupt) throw;
        drop();
        return decltype(look_up())();
    }
}

std::optional<layer::StoredFrame> FrameIndex::find(const Digest& key) {
    return or_drop([&] { return look_up(key); });
}

std::optional<layer::StoredSection> FrameIndex::find_section(const Digest& key) {
    return or_drop([&] {
        SqliteStatement& query = *state().find_section;
        query.bind_blob(1, bytes_of(key));
        std::optional<layer::StoredSection> section;
        if (query.step()) section = decode_section(query.blob(0));
        query.rewind();
        return section;
    });
}

std::optional<layer::StoredFrame> FrameIndex::look_up(const Digest& key) {
    SqliteStatement& query = *state().find;
    query.bind_blob(1, bytes_of(key));
    std::optional<layer::StoredFrame> frame;
    std::optional<Digest> blob;
    if (query.step()) {
        blob = digest_of(query.blob(0));
        frame = decode(query.blob(1));
    }
    query.rewind();
    if (!frame || !blob) return std::nullopt;
    frame->blob = *blob;
    try {
        store_.blob_size(*blob);
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::NotFound) throw;
        SqliteStatement& forget = *state().forget_blob;
        forget.bind_blob(1, bytes_of(*blob));
        forget.step();
        forget.rewind();
        return std::nullopt;
    }
    return frame;
}

void FrameIndex::read(const layer::StoredFrame& frame, MutableBytes out) {
    const std::string path = store_.blob_path(frame.blob);
    const std::uint64_t offset = frame.frame.blob_offset;
    {
        const std::lock_guard lock(reading_);
        // The one that came by here, or else the one that was not needed for longer.
        if (!readers_[0]->is_near(path, offset)) std::swap(readers_[0], readers_[1]);
        if (readers_[0]->read(path, offset, out)) return;
    }
    store_.read_blob(frame.blob, offset, out);
}

void FrameIndex::put(const Frames& frames, const Sections& sections, std::int64_t day) {
    if (frames.empty() && sections.empty()) return;
    or_drop([&] { write_rows(frames, sections, day); });
}

void FrameIndex::write_rows(const Frames& frames, const Sections& sections, std::int64_t day) {
    State& index = state();
    index.connection.run("BEGIN IMMEDIATE;");
    try {
        for (const auto& [key, frame] : frames) {
            const std::string record = encode(frame);
            index.put->bind_blob(1, bytes_of(key));
            index.put->bind_blob(2, bytes_of(frame.blob));
            index.put->bind_blob(3, as_bytes(record));
            index.put->bind_int(4, day);
            index.put->step();
            index.put->rewind();
        }
        for (const auto& [key, section] : sections) {
            const std::string record = encode_section(section);
            index.put_section->bind_blob(1, bytes_of(key));
            index.put_section->bind_blob(2, as_bytes(record));
            index.put_section->bind_int(3, day);
            index.put_section->step();
            index.put_section->rewind();
        }
        index.frames->run(day - kKeepDays, most_rows_);
        index.sections->run(day - kKeepDays, most_rows_);
        index.connection.run("COMMIT;");
    } catch (...) {
        index.put->rewind();
        index.put_section->rewind();
        index.frames->rewind();
        index.sections->rewind();
        ::sqlite3_exec(index.connection.get(), "ROLLBACK", nullptr, nullptr, nullptr);
        throw;
    }
}

}  // namespace shale::store
