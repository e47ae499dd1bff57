// The schema, its version, and the three tables as functions.
//
// Journal in WAL mode with synchronous=NORMAL: a crash of the process loses nothing, a power loss
// may lose the last records but never the database. Records are written after the files they name
// are durable, and validated by Store when read, so a lost record is a cache miss.
#include "database.hpp"

#include "durable.hpp"
#include "sqlite.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <unordered_map>

namespace shale::store {

namespace {

// Writers hold the database for milliseconds; whoever waits this long faces a stuck process.
constexpr int kBusyMs = 60'000;

// What turns a database of each version into one of the next; 0 is an empty file.
constexpr std::array kMigrations = {
    R"(
    CREATE TABLE steps(key BLOB PRIMARY KEY, tree BLOB NOT NULL, sources BLOB NOT NULL,
                       layer BLOB, diff_id BLOB, created_ns INTEGER NOT NULL, name BLOB NOT NULL);
    CREATE TABLE chains(chain BLOB PRIMARY KEY, tree BLOB NOT NULL);
    CREATE TABLE layers(blob BLOB PRIMARY KEY, diff_id BLOB NOT NULL);
)",
    R"(
    ALTER TABLE steps ADD COLUMN cost_ms INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE steps ADD COLUMN used_ns INTEGER NOT NULL DEFAULT 0;
)",
    R"(
    ALTER TABLE steps ADD COLUMN content BLOB;
)"};
constexpr auto kSchemaVersion = static_cast<std::int64_t>(kMigrations.size());

Bytes bytes_of(const Digest& digest) {
    return std::as_bytes(std::span(digest.bytes));
}

std::optional<Digest> digest_of(Bytes bytes) {
    Digest digest;
    if (bytes.size() != digest.bytes.size()) return std::nullopt;
    std::memcpy(digest.bytes.data(), bytes.data(), bytes.size());
    return digest;
}

std::string join_digests(const std::vector<Digest>& digests) {
    std::string joined;
    for (const Digest& digest : digests)
        joined.append(as_text(bytes_of(digest)));
    return joined;
}

std::optional<std::vector<Digest>> split_digests(Bytes bytes) {
    constexpr std::size_t kSize = sizeof(Digest::bytes);
    if (bytes.size() % kSize != 0) return std::nullopt;
    std::vector<Digest> digests;
    for (std::size_t at = 0; at < bytes.size(); at += kSize)
        digests.push_back(*digest_of(bytes.subspan(at, kSize)));
    return digests;
}

// A descriptor is kept as an index of one: the one text form of descriptors that we have.
std::string encode_layer(const oci::Descriptor& layer) {
    oci::Index index;
    index.manifests.push_back(layer);
    return oci::encode(index);
}

std::optional<oci::Descriptor> decode_layer(Bytes bytes) {
    if (bytes.empty()) return std::nullopt;
    try {
        oci::Index index = oci::decode_index(as_text(bytes));
        if (index.manifests.size() == 1) return std::move(index.manifests.front());
    } catch (const Error&) {  // a damaged row is a cache miss
    }
    return std::nullopt;
}

// Resets the statement whatever happens, so that it neither keeps a read transaction open nor
// points at bytes that are gone.
class Use {
  public:
    explicit Use(SqliteStatement& statement) : statement_(statement) {}
    ~Use() { statement_.rewind(); }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    SqliteStatement* operator->() { return &statement_; }

  private:
    SqliteStatement& statement_;
};

void migrate(SqliteConnection& connection, const std::string& path) {
    SqliteStatement query(connection, "PRAGMA user_version");
    query.step();
    const std::int64_t version = query.integer(0);
    query.rewind();
    if (version > kSchemaVersion)
        fail(ErrorKind::Unsupported, "database '" + path +
                                         "' was written by a newer version (schema " +
                                         std::to_string(version) + "; this program knows up to " +
                                         std::to_string(kSchemaVersion) + ")");
    if (version == kSchemaVersion) return;
    std::string text = "BEGIN IMMEDIATE;";
    for (std::int64_t at = std::max<std::int64_t>(version, 0); at < kSchemaVersion; ++at)
        text += kMigrations[static_cast<std::size_t>(at)];
    connection.run(text + "PRAGMA user_version = " + std::to_string(kSchemaVersion) + "; COMMIT;");
}

}  // namespace

struct Database::State {
    explicit State(const std::string& database_path)
        : path(database_path), connection(database_path, kBusyMs) {
        connection.begin_wal();
        connection.run("PRAGMA synchronous = NORMAL;");
        migrate(connection, path);
        prepare();
    }
    void prepare() {
        const auto statement = [&](const char* text) {
            return std::make_unique<SqliteStatement>(connection, text);
        };
        find_step = statement("SELECT tree, sources, layer, diff_id, created_ns, name, cost_ms, "
                              "content FROM steps WHERE key = ?1");
        put_step =
            statement("REPLACE INTO steps(key, tree, sources, layer, diff_id, created_ns, name, "
                      "cost_ms, used_ns, content) "
                      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)");
        touch_step = statement("UPDATE steps SET used_ns = ?2 WHERE key = ?1");
        find_chain = statement("SELECT tree FROM chains WHERE chain = ?1");
        put_chain = statement("REPLACE INTO chains VALUES (?1, ?2)");
        find_layer = statement("SELECT diff_id FROM layers WHERE blob = ?1");
        put_layer = statement("REPLACE INTO layers VALUES (?1, ?2)");
    }
    std::optional<Digest> find_digest(SqliteStatement& statement, const Digest& key) {
        std::lock_guard lock(mutex);
        Use use(statement);
        use->bind_blob(1, bytes_of(key));
        return use->step() ? digest_of(use->blob(0)) : std::nullopt;
    }
    void put_digest(SqliteStatement& statement, const Digest& key, const Digest& value) {
        announce(DurableStep::Record, path);
        std::lock_guard lock(mutex);
        Use use(statement);
        use->bind_blob(1, bytes_of(key));
        use->bind_blob(2, bytes_of(value));
        use->step();
    }

    void remove_rows(const char* statement, const std::vector<Digest>& keys) {
        SqliteStatement remove(connection, statement);
        for (const Digest& key : keys) {
            Use use(remove);
            use->bind_blob(1, bytes_of(key));
            use->step();
        }
    }
    std::vector<Digest> keys_outside(const char* query, const Digests& kept) {
        SqliteStatement rows(connection, query);
        std::vector<Digest> outside;
        while (rows.step())
            if (const auto key = digest_of(rows.blob(0)); key && !kept.contains(*key))
                outside.push_back(*key);
        return outside;
    }

    std::string path;
    std::mutex mutex;  // guards everything below
    SqliteConnection connection;
    std::unique_ptr<SqliteStatement> find_step, put_step, touch_step, find_chain, put_chain,
        find_layer, put_layer;
    std::unordered_map<Digest, std::int64_t, DigestHash> used;  // step keys, and when
};

namespace {

// Columns from `first` on, in the order of find_step; nullopt if they do not decode.
std::optional<StepRecord> step_at(const SqliteStatement& row, int first) {
    const auto tree = digest_of(row.blob(first));
    auto sources = split_digests(row.blob(first + 1));
    if (!tree || !sources) return std::nullopt;
    StepRecord record;
    record.tree = *tree;
    record.sources = std::move(*sources);
    record.layer = decode_layer(row.blob(first + 2));
    if (record.layer) record.diff_id = digest_of(row.blob(first + 3));
    record.created_ns = row.integer(first + 4);
    record.name = as_text(row.blob(first + 5));
    record.cost_ms = row.integer(first + 6);
    record.content_key = digest_of(row.blob(first + 7));
    return record;
}

// Everything until commit() happens together or not at all.
class Transaction {
  public:
    explicit Transaction(SqliteConnection& connection) : connection_(connection) {
        connection_.run("BEGIN IMMEDIATE");
    }
    ~Transaction() {
        if (!done_) ::sqlite3_exec(connection_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
    }
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;
    void commit() {
        connection_.run("COMMIT");
        done_ = true;
    }

  private:
    SqliteConnection& connection_;
    bool done_ = false;
};

}  // namespace

Database::Database(const std::string& path) : state_(std::make_unique<State>(path)) {}
Database::~Database() {
    if (state_->used.empty()) return;
    try {
        Transaction transaction(state_->connection);
        for (const auto& [key, when] : state_->used) {
            Use use(*state_->touch_step);
            use->bind_blob(1, bytes_of(key));
            use->bind_int(2, when);
            use->step();
        }
        transaction.commit();
    } catch (const Error& error) {  // it only decides what a collection takes first
        log(LogLevel::Warn, error.what());
    }
}

std::optional<StepRecord> Database::find_step(const Digest& key) {
    std::lock_guard lock(state_->mutex);
    Use use(*state_->find_step);
    use->bind_blob(1, bytes_of(key));
    if (!use->step()) return std::nullopt;
    return step_at(*state_->find_step, 0);
}

void Database::touch_step(const Digest& key, std::int64_t now_ns) {
    std::lock_guard lock(state_->mutex);
    state_->used[key] = now_ns;
}

std::vector<StepRow> Database::steps() {
    std::lock_guard lock(state_->mutex);
    SqliteStatement rows(state_->connection,
                         "SELECT key, used_ns, tree, sources, layer, diff_id, created_ns, name, "
                         "cost_ms, content FROM steps ORDER BY key");
    std::vector<StepRow> out;
    while (rows.step()) {
        const auto key = digest_of(rows.blob(0));
        auto record = step_at(rows, 2);
        if (!key || !record) continue;
        const auto noted = state_->used.find(*key);
        const std::int64_t used = noted == state_->used.end() ? rows.integer(1) : noted->second;
        out.push_back({*key, std::move(*record), std::max(used, record->created_ns)});
    }
    return out;
}

void Database::put_step(const Digest& key, const StepRecord& record) {
    announce(DurableStep::Record, state_->path);
    const std::string sources = join_digests(record.sources);
    const std::string layer = record.layer ? encode_layer(*record.layer) : std::string();
    std::lock_guard lock(state_->mutex);
    Use use(*state_->put_step);
    use->bind_blob(1, bytes_of(key));
    use->bind_blob(2, bytes_of(record.tree));
    use->bind_blob(3, as_bytes(sources));
    if (record.layer) use->bind_blob(4, as_bytes(layer));
    if (record.diff_id) use->bind_blob(5, bytes_of(*record.diff_id));
    use->bind_int(6, record.created_ns);
    use->bind_blob(7, as_bytes(record.name));
    use->bind_int(8, record.cost_ms);
    use->bind_int(9, record.created_ns);
    if (record.content_key) use->bind_blob(10, bytes_of(*record.content_key));
    use->step();
}

std::optional<Digest> Database::tree_of_chain(const Digest& chain) {
    return state_->find_digest(*state_->find_chain, chain);
}

void Database::put_chain(const Digest& chain, const Digest& tree) {
    state_->put_digest(*state_->put_chain, chain, tree);
}

std::optional<Digest> Database::diff_id_of(const Digest& blob) {
    return state_->find_digest(*state_->find_layer, blob);
}

void Database::put_diff_id(const Digest& blob, const Digest& diff_id) {
    state_->put_digest(*state_->put_layer, blob, diff_id);
}

std::vector<std::pair<Digest, Digest>> Database::chains() {
    std::lock_guard lock(state_->mutex);
    SqliteStatement rows(state_->connection, "SELECT chain, tree FROM chains");
    std::vector<std::pair<Digest, Digest>> out;
    while (rows.step()) {
        const auto chain = digest_of(rows.blob(0)), tree = digest_of(rows.blob(1));
        if (chain && tree) out.emplace_back(*chain, *tree);
    }
    return out;
}

void Database::forget(const std::vector<Digest>& step_keys, const Digests& chains,
                      const Digests& blobs) {
    std::lock_guard lock(state_->mutex);
    Transaction transaction(state_->connection);
    state_->remove_rows("DELETE FROM steps WHERE key = ?1", step_keys);
    state_->remove_rows("DELETE FROM chains WHERE chain = ?1",
                        state_->keys_outside("SELECT chain FROM chains", chains));
    state_->remove_rows("DELETE FROM layers WHERE blob = ?1",
                        state_->keys_outside("SELECT blob FROM layers", blobs));
    transaction.commit();
    for (const Digest& key : step_keys)
        state_->used.erase(key);
}

}  // namespace shale::store
