// The few SQLite calls that the store needs, with their result codes as Errors.
#include "sqlite.hpp"

#include <fcntl.h>

#include <cerrno>
#include <chrono>
#include <thread>

namespace shale::store {

namespace {
constexpr const char* kBeginWal = "PRAGMA journal_mode = WAL";
}  // namespace

SqliteConnection::SqliteConnection(std::string path, int busy_ms)
    : path_(std::move(path)), busy_ms_(busy_ms) {
    // What builds were told is for their user's eyes. SQLite gives its other files the same mode.
    const UniqueFd made(
        ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    // NOMUTEX: Database has its own lock, which also covers the statements.
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    const int code = sqlite3_open_v2(path_.c_str(), &handle_, flags, nullptr);
    if (code != SQLITE_OK) {
        const std::unique_ptr<sqlite3, decltype(&sqlite3_close)> closer(handle_, sqlite3_close);
        fail_with(code, "open");
    }
    sqlite3_busy_timeout(handle_, busy_ms);
}

SqliteConnection::~SqliteConnection() {
    sqlite3_close_v2(handle_);
}

void SqliteConnection::run(const std::string& statements) {
    const int code = sqlite3_exec(handle_, statements.c_str(), nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) fail_with(code, statements);
}

// The first one to use a file, and the last one to let go of it, lock it in ways in which SQLite
// does not wait, whatever the timeout.
void SqliteConnection::begin_wal() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(busy_ms_);
    constexpr std::chrono::milliseconds kPause(5);
    while (true) {
        const int code = sqlite3_exec(handle_, kBeginWal, nullptr, nullptr, nullptr);
        if (code == SQLITE_OK) return;
        if ((code & 0xff) != SQLITE_BUSY || std::chrono::steady_clock::now() >= deadline)
            fail_with(code, kBeginWal);
        std::this_thread::sleep_for(kPause);
    }
}

void SqliteConnection::use_schema(std::string_view schema, std::int64_t version,
                                  std::string_view what) {
    begin_wal();
    run("PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE;");
    std::int64_t found = 0;
    {
        SqliteStatement query(*this, "PRAGMA user_version");
        query.step();
        found = query.integer(0);
    }
    if (found == 0)
        run(std::string(schema) + "PRAGMA user_version = " + std::to_string(version) + ";");
    run("COMMIT;");
    if (found != 0 && found != version)
        fail(ErrorKind::Unsupported, std::string(what) + " of another version");
}

void SqliteConnection::fail_with(int code, std::string_view doing) const {
    std::string text = "database '" + path_ + "': " + std::string(doing) + ": " +
                       (handle_ ? sqlite3_errmsg(handle_) : sqlite3_errstr(code));
    switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        throw Error(ErrorKind::Corrupt,
                    text +
                        " (the file holds only the build cache: delete it, images are not lost)");
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
        throw Error(ErrorKind::Denied, text);
    case SQLITE_FULL:
        throw Error(ErrorKind::System, text, ENOSPC);
    case SQLITE_BUSY:
        throw Error(ErrorKind::System, text, EBUSY);
    default:
        throw Error(ErrorKind::System, text, sqlite3_system_errno(handle_));
    }
}

SqliteStatement::SqliteStatement(SqliteConnection& connection, std::string_view text)
    : connection_(connection) {
    check(sqlite3_prepare_v3(connection_.get(), text.data(), static_cast<int>(text.size()),
                             SQLITE_PREPARE_PERSISTENT, &handle_, nullptr));
}

SqliteStatement::~SqliteStatement() {
    sqlite3_finalize(handle_);
}

void SqliteStatement::check(int code) const {
    if (code == SQLITE_OK) return;
    const char* text = handle_ ? sqlite3_sql(handle_) : nullptr;
    connection_.fail_with(code, text ? text : "prepare");
}

void SqliteStatement::bind_blob(int parameter, Bytes bytes) {
    // A null pointer would bind NULL; an empty blob is something else.
    const void* data = bytes.empty() ? static_cast<const void*>("") : bytes.data();
    check(sqlite3_bind_blob64(handle_, parameter, data, bytes.size(), nullptr));
}

void SqliteStatement::bind_int(int parameter, std::int64_t value) {
    check(sqlite3_bind_int64(handle_, parameter, value));
}

bool SqliteStatement::step() {
    const int code = sqlite3_step(handle_);
    if (code != SQLITE_ROW && code != SQLITE_DONE) check(code);
    return code == SQLITE_ROW;
}

Bytes SqliteStatement::blob(int column) const {
    const auto* data = static_cast<const std::byte*>(sqlite3_column_blob(handle_, column));
    const int size = sqlite3_column_bytes(handle_, column);
    return data ? Bytes(data, static_cast<std::size_t>(size)) : Bytes();
}

std::int64_t SqliteStatement::integer(int column) const {
    return sqlite3_column_int64(handle_, column);
}

void SqliteStatement::rewind() {
    sqlite3_reset(handle_);
    sqlite3_clear_bindings(handle_);
}

}  // namespace shale::store
