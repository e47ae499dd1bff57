// The schema, its version, and the three tables as functions.
//
// Journal in WAL mode with synchronous=NORMAL: a crash of the process loses nothing, a power loss
// may lose the last records but never the database. Records are written after the files they name
// are durable, and validated by Store when read, so a lost record is a cache miss.
#include "database.hpp"

#include "durable.hpp"
#include "sqlite.hpp"

#include <cstring>
#include <mutex>

namespace shale::store {

namespace {

constexpr std::int64_t kSchemaVersion = 1;
// Writers hold the database for milliseconds; whoever waits this long faces a stuck process.
constexpr int kBusyMs = 60'000;

constexpr const char* kSchema = R"(
    CREATE TABLE steps(key BLOB PRIMARY KEY, tree BLOB NOT NULL, sources BLOB NOT NULL,
                       layer BLOB, diff_id BLOB, created_ns INTEGER NOT NULL, name BLOB NOT NULL);
    CREATE TABLE chains(chain BLOB PRIMARY KEY, tree BLOB NOT NULL);
    CREATE TABLE layers(blob BLOB PRIMARY KEY, diff_id BLOB NOT NULL);
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
    connection.run("BEGIN IMMEDIATE;" + std::string(kSchema) +
                   "PRAGMA user_version = " + std::to_string(kSchemaVersion) + "; COMMIT;");
}

}  // namespace

struct Database::State {
    explicit State(const std::string& database_path)
        : path(database_path), connection(database_path, kBusyMs) {
        connection.run("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;");
        migrate(connection, path);
        prepare();
    }
    void prepare() {
        const auto statement = [&](const char* text) {
            return std::make_unique<SqliteStatement>(connection, text);
        };
        find_step = statement("SELECT tree, sources, layer, diff_id, created_ns, name FROM steps "
                              "WHERE key = ?1");
        put_step = statement("REPLACE INTO steps VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
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

    std::string path;
    std::mutex mutex;  // guards everything below
    SqliteConnection connection;
    std::unique_ptr<SqliteStatement> find_step, put_step, find_chain, put_chain, find_layer,
        put_layer;
};

Database::Database(const std::string& path) : state_(std::make_unique<State>(path)) {}
Database::~Database() = default;

std::optional<StepRecord> Database::find_step(const Digest& key) {
    std::lock_guard lock(state_->mutex);
    Use use(*state_->find_step);
    use->bind_blob(1, bytes_of(key));
    if (!use->step()) return std::nullopt;
    const auto tree = digest_of(use->blob(0));
    auto sources = split_digests(use->blob(1));
    if (!tree || !sources) return std::nullopt;
    StepRecord record;
    record.tree = *tree;
    record.sources = std::move(*sources);
    record.layer = decode_layer(use->blob(2));
    if (record.layer) record.diff_id = digest_of(use->blob(3));
    record.created_ns = use->integer(4);
    record.name = as_text(use->blob(5));
    return record;
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

}  // namespace shale::store
