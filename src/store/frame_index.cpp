// One table, one row per key. Rows are written after the blob they name is committed and read as
// hints: a row that does not decode, or whose blob is gone, is a frame that is not known.
#include "sequential_reader.hpp"
#include "sqlite.hpp"

#include <shale/frame_index.hpp>

#include <cstring>

namespace shale::store {

namespace {

constexpr std::int64_t kVersion = 2;
constexpr int kBusyMs = 60'000;
constexpr const char* kSchema = R"(
    CREATE TABLE frames(key BLOB PRIMARY KEY, blob BLOB NOT NULL, record BLOB NOT NULL,
                        day INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX frames_by_blob ON frames(blob);
    CREATE INDEX frames_by_day ON frames(day);
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
        forget_old = statement("DELETE FROM frames WHERE day < ?1");
        count = statement("SELECT count(*) FROM frames");
        forget_oldest = statement("DELETE FROM frames WHERE key IN "
                                  "(SELECT key FROM frames ORDER BY day LIMIT ?1)");
    }

    SqliteConnection connection;
    std::unique_ptr<SqliteStatement> find, put, forget_blob, forget_old, count, forget_oldest;
};

FrameIndex::FrameIndex(Store& store, std::int64_t most_rows)
    : store_(store), path_(join_path(store.root(), "frame-index.db")), most_rows_(most_rows),
      reader_(std::make_unique<SequentialReader>()) {}
FrameIndex::~FrameIndex() = default;

FrameIndex::State& FrameIndex::state() {
    return open_or_begin_anew(state_, path_);
}

void FrameIndex::drop() {
    begin_anew(state_, path_);
}

std::optional<layer::StoredFrame> FrameIndex::find(const Digest& key) {
    const std::lock_guard lock(mutex_);
    try {
        return look_up(key);
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::Corrupt) throw;
        drop();  // rows are hints: without them frames are compressed again
        return std::nullopt;
    }
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
    {
        const std::lock_guard lock(reading_);
        if (reader_->read(store_.blob_path(frame.blob), frame.frame.blob_offset, out)) return;
    }
    store_.read_blob(frame.blob, frame.frame.blob_offset, out);
}

void FrameIndex::put(const std::vector<std::pair<Digest, layer::StoredFrame>>& frames,
                     std::int64_t day) {
    if (frames.empty()) return;
    const std::lock_guard lock(mutex_);
    try {
        write_rows(frames, day);
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::Corrupt) throw;
        drop();
    }
}

void FrameIndex::write_rows(const std::vector<std::pair<Digest, layer::StoredFrame>>& frames,
                            std::int64_t day) {
    State& index = state();
    const auto run = [](SqliteStatement& statement, std::int64_t number) {
        statement.bind_int(1, number);
        statement.step();
        statement.rewind();
    };
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
        run(*index.forget_old, day - kKeepDays);
        index.count->step();
        const std::int64_t rows = index.count->integer(0);
        index.count->rewind();
        if (rows > most_rows_) run(*index.forget_oldest, rows - most_rows_);
        index.connection.run("COMMIT;");
    } catch (...) {
        index.put->rewind();
        index.count->rewind();
        ::sqlite3_exec(index.connection.get(), "ROLLBACK", nullptr, nullptr, nullptr);
        throw;
    }
}

}  // namespace shale::store
