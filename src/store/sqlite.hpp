// SQLite in RAII form, for the databases of the store; sqlite3.h stays behind it.
#pragma once

#include <shale/base.hpp>

#include <sqlite3.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace shale::store {

// One connection. Used by one thread at a time.
class SqliteConnection {
  public:
    // Waits up to `busy_ms` for other processes in every statement.
    SqliteConnection(std::string path, int busy_ms);
    SqliteConnection(const SqliteConnection&) = delete;
    SqliteConnection& operator=(const SqliteConnection&) = delete;
    ~SqliteConnection();
    void run(const std::string& statements);
    // Writers do not wait for readers from here on.
    void begin_wal();
    // As begin_wal(), and of a file without tables makes it one of this version. Unsupported,
    // naming `what`, if it is of another one.
    void use_schema(std::string_view schema, std::int64_t version, std::string_view what);
    sqlite3* get() const { return handle_; }
    // Turns a result code into an Error that names the file and says what to do.
    [[noreturn]] void fail_with(int code, std::string_view doing) const;

  private:
    std::string path_;
    int busy_ms_;
    sqlite3* handle_ = nullptr;
};

// A prepared statement. bind() ..., then step() until false, then rewind().
class SqliteStatement {
  public:
    SqliteStatement(SqliteConnection& connection, std::string_view text);
    SqliteStatement(const SqliteStatement&) = delete;
    SqliteStatement& operator=(const SqliteStatement&) = delete;
    ~SqliteStatement();

    // Parameters count from 1. Blobs are not copied: they must live until rewind().
    void bind_blob(int parameter, Bytes bytes);
    void bind_int(int parameter, std::int64_t value);
    bool step();  // true if there is a row
    // Columns count from 0; the bytes are valid until the next step or rewind.
    Bytes blob(int column) const;
    std::int64_t integer(int column) const;
    void rewind();  // drops bindings too; safe after an error

  private:
    void check(int code) const;
    SqliteConnection& connection_;
    sqlite3_stmt* handle_ = nullptr;
};

// ---------------------------------------------------------------------------------------------
// Databases whose rows are only ever a saving: opened when first needed, and begun anew when the
// file is damaged or of another version. `State` holds the connection and is made from the path.

template <typename State>
void begin_anew(std::unique_ptr<State>& state, const std::string& path) {
    state.reset();
    for (const char* suffix : {"", "-wal", "-shm"})
        ::unlink((path + suffix).c_str());
}

template <typename State>
State& open_or_begin_anew(std::unique_ptr<State>& state, const std::string& path) {
    if (state) return *state;
    try {
        state = std::make_unique<State>(path);
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::Corrupt && error.kind() != ErrorKind::Unsupported) throw;
        begin_anew(state, path);
        state = std::make_unique<State>(path);
    }
    return *state;
}

}  // namespace shale::store
