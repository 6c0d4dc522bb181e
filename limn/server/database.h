// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace limn::server {

/// A value of a row or a statement: NULL, integer, real, text, or bytes.
struct Blob {
  std::string bytes;
};
using SqlValue = std::variant<std::monostate, int64_t, double, std::string, Blob>;
using SqlRow = std::vector<SqlValue>;

/// One relational database, behind the few things that both SQLite and PostgreSQL do the same way. Statements are written with
/// ?1, ?2 … and use only what both understand (RETURNING, ON CONFLICT, CTEs); where they differ, dialect() says which it is.
/// limn_now() is the time in both: milliseconds since 1970, by the clock of the database.
/// Safe to share: each call takes a connection of its own from a small pool. A connection that is lost is made anew.
class Database {
 public:
  enum class Dialect { Sqlite, Postgres };
  virtual ~Database() = default;
  virtual Dialect dialect() const = 0;

  /// Statements that happen together or not at all.
  class Transaction {
   public:
    virtual ~Transaction() = default;
    virtual std::vector<SqlRow> run(std::string_view sql, std::vector<SqlValue> values = {}) = 0;
    virtual int64_t changed() const = 0;  // rows that the last statement changed
  };
  /// Runs `work` in a transaction that may write, and commits it; begins again where the database says that another was in
  /// the way, or where the connection was lost. Lost while committing, it may have been committed: `work` must find then
  /// what it has done, or do no harm a second time. What `work` throws undoes it. Not to be called from within `work`.
  /// @throws Error{BadFile} when the file is damaged, OutOfMemory: the disk is full, Busy: another program holds it,
  ///         InvalidArgument: text that is not UTF-8 or holds a zero, Internal: anything else
  virtual void transact(const std::function<void(Transaction&)>& work) = 0;
  /// Reads in one statement.
  virtual std::vector<SqlRow> read(std::string_view sql, std::vector<SqlValue> values = {}) = 0;

  /// PostgreSQL's NOTIFY and LISTEN on one channel; nothing on SQLite, whose only process is this one.
  /// @param payload  under 8000 bytes; dropped when the server cannot be reached
  virtual void notify(std::string_view payload) = 0;
  /// @param heard  called in a thread of the database until that ends; with an empty payload when the connection was lost
  ///               and made anew, so that any number of notifications may have been missed. To be called once.
  virtual void listen(std::function<void(std::string_view payload)> heard) = 0;
};

/// @param where  "postgresql://…", or the path of an SQLite file, which is made (WAL, full synchronisation)
/// Brings its tables to what this limn needs; see tables.h.
/// @throws Error{NotFound} when a server cannot be reached, Error{BadFile} when the file is no database,
///         Error{Unsupported} when a newer limn has been at it
std::unique_ptr<Database> open_database(const std::string& where);

}  // namespace limn::server
