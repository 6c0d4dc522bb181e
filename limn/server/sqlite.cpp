// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <mutex>

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include "limn/base/error.h"
#include "limn/server/dialects.h"

namespace limn::server {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMostReaders = 8;
constexpr size_t kMostStatements = 200;  // kept prepared, of each connection
constexpr int kBusyMilliseconds = 10'000;

[[noreturn]] void fail(int code, const char* message, const std::string& where) {
  const std::string problem = message ? message : sqlite3_errstr(code);
  switch (code & 0xff) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      throw Error(ErrorCode::BadFile, where, problem, "restore it from a backup");
    case SQLITE_FULL:
    case SQLITE_NOMEM:
      throw Error(ErrorCode::OutOfMemory, where, problem);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      throw Error(ErrorCode::Busy, where, "another program holds it", "close what has it open");
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      throw Error(ErrorCode::InvalidArgument, where, problem);
    default:
      throw Error(ErrorCode::Internal, where, problem);
  }
}

void limn_now(sqlite3_context* context, int, sqlite3_value**) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  sqlite3_result_int64(context, std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

int bind(sqlite3_stmt* statement, int number, const SqlValue& value) {
  // The bytes outlive the statement's run, so they are not copied.
  if (const auto* integer = std::get_if<int64_t>(&value))
    return sqlite3_bind_int64(statement, number, *integer);
  if (const auto* real = std::get_if<double>(&value)) return sqlite3_bind_double(statement, number, *real);
  if (const auto* text = std::get_if<std::string>(&value)) {
    check_text(*text);
    return sqlite3_bind_text64(statement, number, text->data(), text->size(), SQLITE_STATIC, SQLITE_UTF8);
  }
  if (const auto* blob = std::get_if<Blob>(&value))
    return sqlite3_bind_blob64(statement, number, blob->bytes.data(), blob->bytes.size(), SQLITE_STATIC);
  return sqlite3_bind_null(statement, number);
}

SqlValue column(sqlite3_stmt* statement, int number) {
  const auto bytes = [&](const void* data) {
    const auto size = static_cast<size_t>(sqlite3_column_bytes(statement, number));
    return std::string(static_cast<const char*>(data), size);
  };
  switch (sqlite3_column_type(statement, number)) {
    case SQLITE_INTEGER:
      return int64_t{sqlite3_column_int64(statement, number)};
    case SQLITE_FLOAT:
      return sqlite3_column_double(statement, number);
    case SQLITE_TEXT:
      return bytes(sqlite3_column_text(statement, number));
    case SQLITE_BLOB:
      return Blob{bytes(sqlite3_column_blob(statement, number))};
    default:
      return std::monostate();
  }
}

struct Finalize {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
struct Close {
  void operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }
};

/// One connection; one thread at a time.
class Connection {
 public:
  explicit Connection(const std::string& path) {
    sqlite3* handle = nullptr;
    const int code = sqlite3_open_v2(
        path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
    handle_.reset(handle);
    where_ = path;
    if (code != SQLITE_OK) fail(code, handle ? sqlite3_errmsg(handle) : nullptr, where_);
    sqlite3_extended_result_codes(handle, 1);
    sqlite3_busy_timeout(handle, kBusyMilliseconds);
    sqlite3_create_function(handle, "limn_now", 0, SQLITE_UTF8, nullptr, limn_now, nullptr, nullptr);
    for (const char* pragma : {"PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL",
                               "PRAGMA foreign_keys = ON", "PRAGMA journal_size_limit = 67108864"})
      run(pragma, {});
    where_ = "database";  // from here on errors may be shown to those who use the server
  }

  std::vector<SqlRow> run(std::string_view sql, const std::vector<SqlValue>& values) {
    sqlite3_stmt* statement = prepared(sql);
    struct Reset {
      sqlite3_stmt* statement;
      ~Reset() {
        sqlite3_reset(statement);
        sqlite3_clear_bindings(statement);
      }
    } reset{statement};
    for (size_t i = 0; i < values.size(); ++i) check(bind(statement, static_cast<int>(i) + 1, values[i]));
    std::vector<SqlRow> rows;
    int code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
      SqlRow& row = rows.emplace_back();
      for (int i = 0; i < sqlite3_column_count(statement); ++i) row.push_back(column(statement, i));
    }
    if (code != SQLITE_DONE) check(code);
    return rows;
  }

  int64_t changed() const { return sqlite3_changes64(handle_.get()); }

  /// Undoes what is open, unless SQLite has done so itself.
  void roll_back() noexcept {
    if (!sqlite3_get_autocommit(handle_.get()))
      sqlite3_exec(handle_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  }

 private:
  void check(int code) const {
    if (code != SQLITE_OK) fail(code, sqlite3_errmsg(handle_.get()), where_);
  }

  sqlite3_stmt* prepared(std::string_view sql) {
    if (const auto found = statements_.find(sql); found != statements_.end()) return found->second.get();
    if (statements_.size() >= kMostStatements) statements_.clear();
    sqlite3_stmt* statement = nullptr;
    check(sqlite3_prepare_v3(handle_.get(), sql.data(), static_cast<int>(sql.size()),
                             SQLITE_PREPARE_PERSISTENT, &statement, nullptr));
    return statements_.emplace(sql, statement).first->second.get();
  }

  std::unique_ptr<sqlite3, Close> handle_;
  std::string where_;
  std::map<std::string, std::unique_ptr<sqlite3_stmt, Finalize>, std::less<>> statements_;
};

class SqliteTransaction : public Database::Transaction {
 public:
  explicit SqliteTransaction(Connection& connection) : connection_(connection) {}
  std::vector<SqlRow> run(std::string_view sql, std::vector<SqlValue> values) override {
    return connection_.run(sql, values);
  }
  int64_t changed() const override { return connection_.changed(); }

 private:
  Connection& connection_;
};

/// SQLite has one writer at a time; readers see the last committed state and wait for nobody.
class Sqlite : public Database {
 public:
  explicit Sqlite(const std::string& path) : path_(path), writer_(path) {}

  Dialect dialect() const override { return Dialect::Sqlite; }

  void transact(const std::function<void(Transaction&)>& work) override {
    const std::lock_guard guard(writing_);
    SqliteTransaction transaction(writer_);
    writer_.run("BEGIN IMMEDIATE", {});
    try {
      work(transaction);
      writer_.run("COMMIT", {});
    } catch (...) {
      writer_.roll_back();
      throw;
    }
  }

  std::vector<SqlRow> read(std::string_view sql, std::vector<SqlValue> values) override {
    std::unique_ptr<Connection> reader = take_reader();
    struct GiveBack {
      Sqlite& database;
      std::unique_ptr<Connection>& reader;
      ~GiveBack() { database.give_back(std::move(reader)); }
    } give_back{*this, reader};
    if (!reader) {
      reader = std::make_unique<Connection>(path_);
      reader->run("PRAGMA query_only = ON", {});
    }
    return reader->run(sql, values);
  }

  void notify(std::string_view) override {}
  void listen(std::function<void(std::string_view)>) override {}

 private:
  /// An idle one, or null: one more may be made.
  std::unique_ptr<Connection> take_reader() {
    std::unique_lock guard(reading_);
    reader_is_free_.wait(guard, [&] { return !idle_.empty() || readers_ < kMostReaders; });
    if (idle_.empty()) {
      ++readers_;
      return nullptr;
    }
    std::unique_ptr<Connection> reader = std::move(idle_.back());
    idle_.pop_back();
    return reader;
  }

  void give_back(std::unique_ptr<Connection> reader) {
    const std::lock_guard guard(reading_);
    if (reader) {
      idle_.push_back(std::move(reader));
    } else {
      --readers_;
    }
    reader_is_free_.notify_one();
  }

  const std::string path_;
  std::mutex writing_;
  Connection writer_;
  std::mutex reading_;
  std::condition_variable reader_is_free_;
  size_t readers_ = 0;
  std::vector<std::unique_ptr<Connection>> idle_;
};

/// SQLite makes its files' contents durable, but not that the database is in its folder.
void flush_folder(const fs::path& folder) {
  const int handle = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (handle < 0) return;
  ::fsync(handle);
  ::close(handle);
}

}  // namespace

std::unique_ptr<Database> open_sqlite(const std::string& path) {
  const fs::path folder = fs::absolute(path).parent_path();
  std::error_code code;
  fs::create_directories(folder, code);  // what is wrong with it, SQLite says
  auto database = std::make_unique<Sqlite>(path);
  flush_folder(folder);
  return database;
}

}  // namespace limn::server
