#include "store/database.h"

#include <utility>

#include <sqlite3.h>

#include "base/folder.h"

namespace retort::store {
namespace {

Error database_error(sqlite3* db, const std::string& path, std::string_view what) {
  const int code = db == nullptr ? SQLITE_NOMEM : sqlite3_extended_errcode(db);
  const char* words = db == nullptr ? "out of memory" : sqlite3_errmsg(db);
  switch (code & 0xff) {
    case SQLITE_FULL:
      return fail(Code::Io, "cannot {} in {}: the disk is full; free space and run again, finished work is kept", what,
                  path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return fail(Code::Unavailable, "cannot {} in {}: another process holds it; wait for that run or stop it", what,
                  path);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return fail(Code::Corrupt, "{} is not a sound SQLite database ({}); move it away, or restore it from a copy",
                  path, words);
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_IOERR:
      return fail(Code::Io, "cannot {} in {}: {}; check that its folder exists, is writable and has space", what, path,
                  words);
    default: return fail(Code::Internal, "cannot {} in {}: {}", what, path, words);
  }
}

}  // namespace

Statement::Statement(sqlite3* db, sqlite3_stmt* statement, const std::string* path)
    : db_(db), statement_(statement), path_(path) {}
Statement::Statement(Statement&& other) noexcept
    : db_(other.db_), statement_(std::exchange(other.statement_, nullptr)), path_(other.path_) {}
Statement::~Statement() { sqlite3_finalize(statement_); }

Status Statement::reset() {
  sqlite3_reset(statement_);  // its result repeats the last step's error, which was reported there
  return {};
}

Status Statement::bind_one(int index, int64_t value) {
  if (sqlite3_bind_int64(statement_, index, value) != SQLITE_OK) return database_error(db_, *path_, "bind a value");
  return {};
}
Status Statement::bind_one(int index, std::string_view value) {
  const char* data = value.data() == nullptr ? "" : value.data();
  if (sqlite3_bind_text64(statement_, index, data, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8) != SQLITE_OK)
    return database_error(db_, *path_, "bind a value");
  return {};
}
Status Statement::bind_one(int index, Blob value) {
  const char* data = value.bytes.data() == nullptr ? "" : value.bytes.data();
  if (sqlite3_bind_blob64(statement_, index, data, value.bytes.size(), SQLITE_TRANSIENT) != SQLITE_OK)
    return database_error(db_, *path_, "bind a value");
  return {};
}
Status Statement::bind_one(int index, std::nullptr_t) {
  if (sqlite3_bind_null(statement_, index) != SQLITE_OK) return database_error(db_, *path_, "bind a value");
  return {};
}

Result<bool> Statement::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  Error error = database_error(db_, *path_, "read or write");
  sqlite3_reset(statement_);
  return error;
}

int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_, column); }
std::string Statement::text(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return bytes == nullptr ? std::string() : std::string(static_cast<const char*>(bytes), static_cast<size_t>(size));
}

Database::Database(sqlite3* db, std::unique_ptr<std::string> path) : db_(db), path_(std::move(path)) {}
Database::Database(Database&& other) noexcept : db_(std::exchange(other.db_, nullptr)), path_(std::move(other.path_)) {}
Database::~Database() { sqlite3_close_v2(db_); }
const std::string& Database::path() const { return *path_; }
int64_t Database::last_insert_id() const { return sqlite3_last_insert_rowid(db_); }

Result<Database> Database::open(const std::string& path, DatabaseOptions options) {
  if (!options.read_only) {
    RETORT_ASSIGN(const bool held, claim_name(path));
    (void)held;
  }
  sqlite3* raw = nullptr;
  const int mode = options.read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  const int code = sqlite3_open_v2(path.c_str(), &raw, mode | SQLITE_OPEN_NOMUTEX, nullptr);
  Database db(raw, std::make_unique<std::string>(path));
  if (code != SQLITE_OK) {
    if (options.read_only && code == SQLITE_CANTOPEN) return fail(Code::NotFound, "cannot open the database {}", path);
    return database_error(raw, path, "open the database");
  }
  sqlite3_extended_result_codes(raw, 1);
  sqlite3_busy_timeout(raw, options.busy_timeout_ms);
  RETORT_TRY(db.exec("PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF;"));
  if (!options.read_only) RETORT_TRY(db.exec("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"));
  return db;
}

Status Database::exec(const char* sql) {
  if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) return database_error(db_, *path_, "write");
  return {};
}

Result<Statement> Database::prepare(const char* sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(db_, sql, -1, &statement, nullptr) != SQLITE_OK)
    return database_error(db_, *path_, "prepare a statement");
  return Statement(db_, statement, path_.get());
}

Status Database::transaction(const std::function<Status()>& body) {
  RETORT_TRY(exec("BEGIN IMMEDIATE"));
  Status done = body();
  if (done.ok()) done = exec("COMMIT");
  if (!done.ok() && sqlite3_get_autocommit(db_) == 0) (void)exec("ROLLBACK");
  return done;
}

}  // namespace retort::store
