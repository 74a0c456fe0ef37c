#include "engine/base/database.h"

#include <fcntl.h>
#include <sqlite3.h>

#include "engine/base/failpoint.h"
#include "engine/base/sys.h"

namespace mydocker {
namespace {

Error database_error(sqlite3* db, std::string_view doing) {
  const int code = ::sqlite3_errcode(db);
  const bool taken = code == SQLITE_CONSTRAINT;
  return Error(taken ? ErrorKind::conflict : ErrorKind::internal,
               concat("database: ", doing, ": ", ::sqlite3_errmsg(db)), code == SQLITE_FULL ? ENOSPC : 0);
}

void check(sqlite3* db, int result, std::string_view doing) {
  if (result != SQLITE_OK) throw database_error(db, doing);
}

}  // namespace

Statement::~Statement() {
  ::sqlite3_reset(statement_);
  ::sqlite3_clear_bindings(statement_);
}

Statement& Statement::bind(std::string_view text) {
  // A null pointer would bind NULL: the empty view means the empty text.
  const char* const data = text.data() != nullptr ? text.data() : "";
  check(db_, ::sqlite3_bind_text64(statement_, next_parameter_++, data, text.size(), SQLITE_TRANSIENT, SQLITE_UTF8),
        "bind");
  return *this;
}

Statement& Statement::bind(std::int64_t number) {
  check(db_, ::sqlite3_bind_int64(statement_, next_parameter_++, number), "bind");
  return *this;
}

Statement& Statement::bind_blob(std::string_view bytes) {
  check(db_, ::sqlite3_bind_blob64(statement_, next_parameter_++, bytes.data(), bytes.size(), SQLITE_TRANSIENT),
        "bind");
  return *this;
}

Statement& Statement::bind_null() {
  check(db_, ::sqlite3_bind_null(statement_, next_parameter_++), "bind");
  return *this;
}

bool Statement::step() {
  const int result = ::sqlite3_step(statement_);
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) return false;
  throw database_error(db_, "step");
}

std::string Statement::text(int column) const {
  const void* data = ::sqlite3_column_blob(statement_, column);
  const auto size = static_cast<std::size_t>(::sqlite3_column_bytes(statement_, column));
  return data == nullptr ? std::string() : std::string(static_cast<const char*>(data), size);
}

std::int64_t Statement::integer(int column) const { return ::sqlite3_column_int64(statement_, column); }
bool Statement::is_null(int column) const { return ::sqlite3_column_type(statement_, column) == SQLITE_NULL; }

Statement Connection::prepare(std::string_view sql) {
  for (const auto& [text, statement] : cache_) {
    // A statement in use (a nested query with the same text) cannot be shared.
    if (text == sql && ::sqlite3_stmt_busy(statement) == 0) return {db_, statement};
  }
  sqlite3_stmt* statement = nullptr;
  check(db_,
        ::sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &statement,
                             nullptr),
        sql);
  cache_.emplace_back(std::string(sql), statement);
  return {db_, statement};
}

void Connection::execute(std::string_view sql) {
  check(db_, ::sqlite3_exec(db_, std::string(sql).c_str(), nullptr, nullptr, nullptr), sql);
}

Database::Database(const std::string& path) {
  open_file(path, O_RDWR | O_CREAT, 0600).reset();  // SQLite itself would make it 0644
  check(connection_.db_,
        ::sqlite3_open_v2(path.c_str(), &connection_.db_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr),
        concat("open ", path));
  connection_.execute("PRAGMA journal_mode=WAL");
  connection_.execute("PRAGMA synchronous=FULL");
  connection_.execute("PRAGMA foreign_keys=ON");
  connection_.execute("PRAGMA busy_timeout=5000");
}

Database::~Database() {
  for (const auto& [text, statement] : connection_.cache_) ::sqlite3_finalize(statement);
  ::sqlite3_close(connection_.db_);
}

void Database::begin(Durability durability) {
  if (depth_ == 0) {
    if (durability != durability_) {
      // NORMAL with a write-ahead log: no sync now; the next durable commit syncs this one, too.
      connection_.execute(durability == Durability::crash ? "PRAGMA synchronous=NORMAL" : "PRAGMA synchronous=FULL");
      durability_ = durability;
    }
    connection_.execute("BEGIN IMMEDIATE");
    doomed_ = false;
  }
  ++depth_;
}

void Database::commit() {
  if (depth_ == 1) {
    if (doomed_) throw Error(ErrorKind::internal, "database: a part of the transaction had failed");
    failpoint("database.commit");
    connection_.execute("COMMIT");
  }
  --depth_;
}

void Database::rollback() noexcept {
  doomed_ = true;
  if (--depth_ == 0) ::sqlite3_exec(connection_.db_, "ROLLBACK", nullptr, nullptr, nullptr);
}

}  // namespace mydocker
