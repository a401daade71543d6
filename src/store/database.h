// Database, Statement: SQLite behind Result values, set up so that a committed transaction survives kill -9 and power
// loss (WAL, synchronous=FULL). Why SQLite: one file, no server, and its crash safety is better tested than ours could
// be. Non-goals: an object mapper, other engines (PostgreSQL comes beside this, not under it).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace retort::store {

// A prepared statement. Used by one thread; must not outlive its Database.
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  // Resets the statement and binds its parameters ?1, ?2, ... in order: integers, doubles, text, Blob, nullptr.
  struct Blob {
    std::string_view bytes;
  };
  template <class... Values>
  Status bind(const Values&... values) {
    RETORT_TRY(reset());
    int index = 0;
    Status status;
    ((status.ok() ? void(status = bind_one(++index, values)) : void()), ...);
    return status;
  }
  // Moves to the next row; false at the end.
  Result<bool> step();
  // bind() and step() to the end, for statements without rows.
  template <class... Values>
  Status run(const Values&... values) {
    RETORT_TRY(bind(values...));
    RETORT_TRY(step());
    return reset();
  }
  // Columns of the current row, from 0. Null is 0 or "".
  int64_t integer(int column) const;
  std::string text(int column) const;  // text or blob bytes

 private:
  friend class Database;
  Statement(sqlite3* db, sqlite3_stmt* statement, const std::string* path);
  Status reset();
  Status bind_one(int index, int64_t value);
  Status bind_one(int index, int value) { return bind_one(index, static_cast<int64_t>(value)); }
  Status bind_one(int index, std::string_view value);
  Status bind_one(int index, const std::string& value) { return bind_one(index, std::string_view(value)); }
  Status bind_one(int index, const char* value) { return bind_one(index, std::string_view(value)); }
  Status bind_one(int index, Blob value);
  Status bind_one(int index, std::nullptr_t);

  sqlite3* db_;
  sqlite3_stmt* statement_;
  const std::string* path_;
};

struct DatabaseOptions {
  bool read_only = false;
  int busy_timeout_ms = 10'000;  // how long to wait for another process's transaction
};

// One connection, used by one thread at a time.
class Database {
 public:
  // Creates the file where absent (not under read_only: NotFound). Errors: Io, Corrupt (not a database), Unavailable
  // (locked by another process).
  static Result<Database> open(const std::string& path, DatabaseOptions options = {});
  Database(Database&&) noexcept;
  Database& operator=(Database&&) = delete;
  ~Database();

  // One or more statements without parameters.
  Status exec(const char* sql);
  Result<Statement> prepare(const char* sql);
  // Runs `body` inside one transaction: all of it is durable when this returns ok, none of it otherwise.
  Status transaction(const std::function<Status()>& body);
  int64_t last_insert_id() const;
  const std::string& path() const;

 private:
  Database(sqlite3* db, std::unique_ptr<std::string> path);
  sqlite3* db_;
  std::unique_ptr<std::string> path_;  // its address stays when the Database moves
};

}  // namespace retort::store
