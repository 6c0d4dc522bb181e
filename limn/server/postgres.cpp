// SPDX-License-Identifier: Apache-2.0
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>

#include <libpq-fe.h>
#include <poll.h>

#include "limn/base/error.h"
#include "limn/server/dialects.h"

namespace limn::server {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

constexpr size_t kMostConnections = 8;
constexpr auto kLongestOutage = 20s;  // of the server, before a call gives up
constexpr int kMostConflicts = 100;
constexpr size_t kMostPayload = 7999;
constexpr const char* kChannel = "limn";

// The server's numbers of types, which its catalogue fixes (pg_type.dat).
constexpr Oid kBool = 16, kBytes = 17, kInt8 = 20, kInt2 = 21, kInt4 = 23, kText = 25, kFloat4 = 700,
              kFloat8 = 701;

/// The connection was lost: everything since BEGIN must be done again on another.
struct Lost {
  std::string problem;
};
/// Another transaction was in the way.
struct Conflict {};

struct Clear {
  void operator()(PGresult* result) const { PQclear(result); }
  void operator()(PGconn* connection) const { PQfinish(connection); }
  void operator()(PGnotify* notification) const { PQfreemem(notification); }
};
using Result = std::unique_ptr<PGresult, Clear>;

std::string first_line(const char* message) {
  const std::string_view text(message);
  return std::string(text.substr(0, text.find('\n')));
}

/// ?1 → $1, outside of quoted text.
std::string numbered(std::string_view sql) {
  std::string out(sql);
  bool quoted = false;
  for (char& c : out) {
    if (c == '\'') quoted = !quoted;
    if (c == '?' && !quoted) c = '$';
  }
  return out;
}

/// Values in the form that PQexecParams takes.
class Parameters {
 public:
  explicit Parameters(const std::vector<SqlValue>& values) {
    texts_.reserve(values.size());
    for (const SqlValue& value : values) add(value);
  }
  int count() const { return static_cast<int>(types_.size()); }
  const Oid* types() const { return types_.data(); }
  const char* const* pointers() const { return pointers_.data(); }
  const int* lengths() const { return lengths_.data(); }
  const int* formats() const { return formats_.data(); }

 private:
  void add(const SqlValue& value) {
    if (const auto* integer = std::get_if<int64_t>(&value)) {
      add(kInt8, std::to_string(*integer).c_str(), 0);
    } else if (const auto* real = std::get_if<double>(&value)) {
      char digits[32];
      std::snprintf(digits, sizeof digits, "%.17g", *real);
      add(kFloat8, digits, 0);
    } else if (const auto* text = std::get_if<std::string>(&value)) {
      check_text(*text);
      put(kText, text->c_str(), 0, /*binary=*/0);
    } else if (const auto* blob = std::get_if<Blob>(&value)) {
      put(kBytes, blob->bytes.data(), static_cast<int>(blob->bytes.size()), /*binary=*/1);
    } else {
      put(0, nullptr, 0, /*binary=*/0);
    }
  }
  void add(Oid type, const char* digits, int length) {
    texts_.emplace_back(digits);
    put(type, texts_.back().c_str(), length, /*binary=*/0);
  }
  void put(Oid type, const char* pointer, int length, int binary) {
    types_.push_back(type);
    pointers_.push_back(pointer);
    lengths_.push_back(length);
    formats_.push_back(binary);
  }

  std::vector<std::string> texts_;  // reserved: pointers into it stay
  std::vector<Oid> types_;
  std::vector<const char*> pointers_;
  std::vector<int> lengths_, formats_;
};

SqlValue value_of(const PGresult* result, int row, int column) {
  if (PQgetisnull(result, row, column)) return std::monostate();
  const char* text = PQgetvalue(result, row, column);
  switch (PQftype(result, column)) {
    case kBool:
      return int64_t{*text == 't'};
    case kInt2:
    case kInt4:
    case kInt8:
      return int64_t{std::stoll(text)};
    case kFloat4:
    case kFloat8:
      return std::stod(text);
    case kBytes: {
      size_t size = 0;
      const std::unique_ptr<unsigned char, decltype(&PQfreemem)> bytes(
          PQunescapeBytea(reinterpret_cast<const unsigned char*>(text), &size), PQfreemem);
      return Blob{std::string(reinterpret_cast<const char*>(bytes.get()), size)};
    }
    default:
      return std::string(text, static_cast<size_t>(PQgetlength(result, row, column)));
  }
}

/// One connection; one thread at a time.
class Connection {
 public:
  /// @throws Lost when there is no server
  explicit Connection(const std::string& url) {
    // What stands before dbname, the URL may say otherwise.
    const char* const names[] = {"connect_timeout",
                                 "keepalives_idle",
                                 "keepalives_interval",
                                 "tcp_user_timeout",
                                 "client_encoding",
                                 "application_name",
                                 "dbname",
                                 nullptr};
    const char* const values[] = {"5", "10", "5", "20000", "UTF8", "limn", url.c_str(), nullptr};
    handle_.reset(PQconnectdbParams(names, values, /*expand_dbname=*/1));
    if (!handle_ || PQstatus(handle_.get()) != CONNECTION_OK)
      throw Lost{handle_ ? first_line(PQerrorMessage(handle_.get())) : "not enough memory"};
    PQsetNoticeProcessor(
        handle_.get(), [](void*, const char*) {}, nullptr);
    // A process that was frozen in a transaction must not hold its locks for longer.
    run("SET idle_in_transaction_session_timeout = '10s'", {});
    // "off" would lose what was acknowledged; whoever runs the server may ask for more than "on".
    run("SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = "
        "'off'",
        {});
  }

  std::vector<SqlRow> run(std::string_view sql, const std::vector<SqlValue>& values) {
    const Parameters p(values);
    const Result result(PQexecParams(handle_.get(), numbered(sql).c_str(), p.count(), p.types(), p.pointers(),
                                     p.lengths(), p.formats(), /*resultFormat=*/0));
    const ExecStatusType status = PQresultStatus(result.get());
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) fail(result.get());
    const char* changed = PQcmdTuples(result.get());
    changed_ = *changed ? std::stoll(changed) : 0;
    std::vector<SqlRow> rows(static_cast<size_t>(PQntuples(result.get())));
    for (size_t row = 0; row < rows.size(); ++row)
      for (int column = 0; column < PQnfields(result.get()); ++column)
        rows[row].push_back(value_of(result.get(), static_cast<int>(row), column));
    return rows;
  }

  int64_t changed() const { return changed_; }

  /// Whether it can be used on: a transaction that is open is undone.
  bool settle() noexcept {
    if (PQstatus(handle_.get()) != CONNECTION_OK) return false;
    if (PQtransactionStatus(handle_.get()) == PQTRANS_IDLE) return true;
    const Result result(PQexec(handle_.get(), "ROLLBACK"));
    return PQtransactionStatus(handle_.get()) == PQTRANS_IDLE;
  }

  /// Hands what was notified to `heard`, waiting at most `wait`. @throws Lost
  void hear(std::chrono::milliseconds wait, const std::function<void(std::string_view)>& heard) {
    pollfd socket{PQsocket(handle_.get()), POLLIN, 0};
    ::poll(&socket, 1, static_cast<int>(wait.count()));
    if (PQconsumeInput(handle_.get()) == 0) throw Lost{first_line(PQerrorMessage(handle_.get()))};
    while (const auto notification = std::unique_ptr<PGnotify, Clear>(PQnotifies(handle_.get())))
      heard(notification->extra);
  }

 private:
  [[noreturn]] void fail(const PGresult* result) const {
    const char* field = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : nullptr;
    const std::string_view state = field ? field : "";
    const std::string problem = first_line(PQerrorMessage(handle_.get()));
    // https://www.postgresql.org/docs/15/errcodes-appendix.html
    if (state == "40001" || state == "40P01") throw Conflict();
    if (PQstatus(handle_.get()) != CONNECTION_OK || state.empty() || state.starts_with("08") ||
        state.starts_with("57P") || state == "25P03")
      throw Lost{problem};
    if (state == "53100" || state == "53200") throw Error(ErrorCode::OutOfMemory, "database", problem);
    if (state == "XX001" || state == "XX002")
      throw Error(ErrorCode::BadFile, "database", problem, "restore it from a backup");
    throw Error(ErrorCode::Internal, "database", problem);
  }

  std::unique_ptr<PGconn, Clear> handle_;
  int64_t changed_ = 0;
};

class PostgresTransaction : public Database::Transaction {
 public:
  explicit PostgresTransaction(Connection& connection) : connection_(connection) {}
  std::vector<SqlRow> run(std::string_view sql, std::vector<SqlValue> values) override {
    return connection_.run(sql, values);
  }
  int64_t changed() const override { return connection_.changed(); }

 private:
  Connection& connection_;
};

/// Sleeps longer each time, up to a limit.
class Patience {
 public:
  explicit Patience(std::chrono::milliseconds most) : most_(most) {}
  void wait() {
    std::this_thread::sleep_for(next_);
    next_ = std::min(2 * next_, most_);
  }

 private:
  std::chrono::milliseconds next_ = 1ms, most_;
};

class Postgres : public Database {
 public:
  explicit Postgres(const std::string& url) : url_(url) {
    try {
      idle_.push_back(std::make_unique<Connection>(url_));
      connections_ = 1;
    } catch (const Lost& lost) {
      throw Error(ErrorCode::NotFound, "database", lost.problem, "is PostgreSQL running, and the URL right?");
    }
  }

  Dialect dialect() const override { return Dialect::Postgres; }

  void transact(const std::function<void(Transaction&)>& work) override {
    keep_trying([&](Connection& connection) {
      PostgresTransaction transaction(connection);
      connection.run("BEGIN", {});
      work(transaction);
      connection.run("COMMIT", {});
    });
  }

  std::vector<SqlRow> read(std::string_view sql, std::vector<SqlValue> values) override {
    std::vector<SqlRow> rows;
    keep_trying([&](Connection& connection) { rows = connection.run(sql, values); });
    return rows;
  }

  void notify(std::string_view payload) override {
    LIMN_CHECK(payload.size() <= kMostPayload, "a notification is too long");
    try {
      Borrowed connection(*this);
      connection->run("SELECT pg_notify(?1, ?2)", {kChannel, std::string(payload)});
    } catch (const Lost&) {
      // Notifications are hints; those who listen are told when their connection was lost.
    }
  }

  void listen(std::function<void(std::string_view)> heard) override {
    LIMN_CHECK(!listener_.joinable(), "listens already");
    std::unique_ptr<Connection> connection;
    keep_trying([&](Connection&) { connection = listening(); });
    listener_ = std::jthread([this, heard = std::move(heard), connection = std::move(connection)](
                                 std::stop_token stop) mutable { listen_on(stop, heard, connection); });
  }

 private:
  /// A connection of the pool, which goes back there if it can be used on.
  class Borrowed {
   public:
    explicit Borrowed(Postgres& database) : database_(database), connection_(database.take()) {
      try {
        if (!connection_) connection_ = std::make_unique<Connection>(database_.url_);
      } catch (...) {
        database_.give_back(nullptr);
        throw;
      }
    }
    ~Borrowed() {
      if (connection_ && !connection_->settle()) connection_.reset();
      database_.give_back(std::move(connection_));
    }
    Borrowed(const Borrowed&) = delete;
    Connection& operator*() { return *connection_; }
    Connection* operator->() { return connection_.get(); }

   private:
    Postgres& database_;
    std::unique_ptr<Connection> connection_;
  };

  /// Does `work` on a connection until nothing is in the way and the connection lasts.
  void keep_trying(const std::function<void(Connection&)>& work) {
    const auto give_up = steady_clock::now() + kLongestOutage;
    Patience conflict(100ms), outage(1000ms);
    for (int conflicts = 0;;) {
      try {
        Borrowed connection(*this);
        return work(*connection);
      } catch (const Conflict&) {
        if (++conflicts == kMostConflicts)
          throw Error(ErrorCode::Busy, "database", "others were in the way each time");
        conflict.wait();
      } catch (const Lost& lost) {
        forget_idle();
        if (steady_clock::now() > give_up)
          throw Error(ErrorCode::Internal, "database", "cannot be reached: " + lost.problem);
        outage.wait();
      }
    }
  }

  std::unique_ptr<Connection> take() {
    std::unique_lock guard(lock_);
    is_free_.wait(guard, [&] { return !idle_.empty() || connections_ < kMostConnections; });
    if (idle_.empty()) {
      ++connections_;
      return nullptr;
    }
    std::unique_ptr<Connection> connection = std::move(idle_.back());
    idle_.pop_back();
    return connection;
  }

  void give_back(std::unique_ptr<Connection> connection) {
    const std::lock_guard guard(lock_);
    if (connection) {
      idle_.push_back(std::move(connection));
    } else {
      --connections_;
    }
    is_free_.notify_one();
  }

  /// Where one connection was lost, the others are not to be trusted.
  void forget_idle() {
    const std::lock_guard guard(lock_);
    connections_ -= idle_.size();
    idle_.clear();
    is_free_.notify_all();
  }

  std::unique_ptr<Connection> listening() const {
    auto connection = std::make_unique<Connection>(url_);
    connection->run(std::string("LISTEN ") + kChannel, {});
    return connection;
  }

  void listen_on(const std::stop_token& stop, const std::function<void(std::string_view)>& heard,
                 std::unique_ptr<Connection>& connection) {
    Patience outage(1000ms);
    while (!stop.stop_requested()) {
      try {
        if (!connection) {
          connection = listening();
          outage = Patience(1000ms);
          heard("");
        }
        connection->hear(250ms, heard);
        continue;
      } catch (const Lost&) {
      } catch (const Error&) {  // a server that will not be listened to now, as one that recovers
      }
      connection.reset();
      outage.wait();
    }
  }

  const std::string url_;
  std::mutex lock_;
  std::condition_variable is_free_;
  size_t connections_ = 0;  // idle and borrowed
  std::vector<std::unique_ptr<Connection>> idle_;
  std::jthread listener_;  // ends first
};

}  // namespace

std::unique_ptr<Database> open_postgres(const std::string& url) { return std::make_unique<Postgres>(url); }

}  // namespace limn::server
