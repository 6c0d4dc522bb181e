// SPDX-License-Identifier: Apache-2.0
#include "limn/server/database.h"

#include <atomic>
#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "limn/server/dialects.h"
#include "limn/server/job_store.h"
#include "limn/server/sql_values.h"
#include "limn/server/store_testing.h"
#include "limn/server/tables.h"

namespace limn::server {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class DatabaseTest : public EveryDatabase {
 protected:
  DatabaseTest() {
    const std::string bytes = is_sqlite() ? "BLOB" : "BYTEA";
    run("CREATE TABLE things (name TEXT PRIMARY KEY, number BIGINT, weight DOUBLE PRECISION, bytes " + bytes +
        ")");
  }
  void run(const std::string& sql, std::vector<SqlValue> values = {}) {
    database_->transact([&](Database::Transaction& transaction) { transaction.run(sql, values); });
  }
  int64_t count() { return integer_of(database_->read("SELECT count(*) FROM things").at(0).at(0)); }
};
INSTANTIATE_TEST_SUITE_P(Dialect, DatabaseTest, every_dialect(), name_of_dialect);

TEST_P(DatabaseTest, KeepsEveryKindOfValue) {
  const std::string bytes("\0\xff'\\x", 5), text = "ε'?1\n\\";
  run("INSERT INTO things VALUES (?1, ?2, ?3, ?4)", {text, INT64_MIN, 0.1, Blob{bytes}});
  run("INSERT INTO things VALUES (?1, ?2, ?3, ?4)", {"", SqlValue(), SqlValue(), Blob{}});
  const auto rows =
      database_->read("SELECT name, number, weight, bytes, '?1' FROM things ORDER BY name DESC");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(std::get<std::string>(rows[0][0]), text);
  EXPECT_EQ(std::get<int64_t>(rows[0][1]), INT64_MIN);
  EXPECT_EQ(std::get<double>(rows[0][2]), 0.1);
  EXPECT_EQ(std::get<Blob>(rows[0][3]).bytes, bytes);
  EXPECT_EQ(std::get<std::string>(rows[0][4]), "?1");
  EXPECT_EQ(std::get<std::string>(rows[1][0]), "");
  EXPECT_TRUE(std::holds_alternative<std::monostate>(rows[1][1]));
  EXPECT_EQ(std::get<Blob>(rows[1][3]).bytes, "");
}

TEST_P(DatabaseTest, RefusesTextThatNotBothCanKeep) {
  for (const std::string& text : {std::string("a\0b", 3), std::string("\xff"), std::string("\xc3")})
    EXPECT_EQ(code_of([&] { run("INSERT INTO things (name) VALUES (?1)", {text}); }),
              ErrorCode::InvalidArgument);
  EXPECT_EQ(count(), 0);
}

TEST_P(DatabaseTest, TellsTheTimeInMilliseconds) {
  const auto now = std::chrono::system_clock::now().time_since_epoch() / 1ms;
  EXPECT_NEAR(static_cast<double>(integer_of(database_->read("SELECT limn_now()").at(0).at(0))),
              static_cast<double>(now), 5000);
}

TEST_P(DatabaseTest, ATransactionHappensWholeOrNotAtAll) {
  const auto fill = [&](bool stop) {
    database_->transact([&](Database::Transaction& transaction) {
      transaction.run("INSERT INTO things (name) VALUES ('a'), ('b')");
      EXPECT_EQ(transaction.changed(), 2);
      EXPECT_EQ(integer_of(transaction.run("SELECT count(*) FROM things").at(0).at(0)), 2);
      EXPECT_EQ(count(), 0) << "seen from outside before it is committed";
      if (stop) throw std::runtime_error("stop");
    });
  };
  EXPECT_THROW(fill(true), std::runtime_error);
  EXPECT_EQ(count(), 0);
  fill(false);
  EXPECT_EQ(count(), 2);
}

TEST_P(DatabaseTest, GoesOnAfterAWrongStatement) {
  EXPECT_EQ(code_of([&] { run("INSERT INTO nothing VALUES (1)"); }), ErrorCode::Internal);
  run("INSERT INTO things (name) VALUES ('a')");
  EXPECT_EQ(code_of([&] { run("INSERT INTO things (name) VALUES ('a')"); }), ErrorCode::Internal);
  EXPECT_EQ(code_of([&] { database_->read("SELECT nonsense"); }), ErrorCode::Internal);
  EXPECT_EQ(count(), 1);
}

TEST_P(DatabaseTest, ManyThreadsAddUp) {
  run("INSERT INTO things (name, number) VALUES ('sum', 0)");
  std::vector<std::jthread> threads;
  for (int i = 0; i < 12; ++i)
    threads.emplace_back([&] {
      for (int j = 0; j < 20; ++j) {
        run("UPDATE things SET number = number + 1 WHERE name = 'sum'");
        database_->read("SELECT number FROM things");
      }
    });
  threads.clear();
  EXPECT_EQ(integer_of(database_->read("SELECT number FROM things").at(0).at(0)), 240);
}

TEST_P(DatabaseTest, OpensAgainWithWhatWasThere) {
  run("INSERT INTO things (name) VALUES ('a')");
  database_ = open_database(where_);
  EXPECT_EQ(count(), 1);
  EXPECT_EQ(integer_of(database_->read("SELECT count(*) FROM migrations").at(0).at(0)), 2);
}

TEST_P(DatabaseTest, BringsTablesOfTheFirstFormatUpToDate) {
  EventBus bus;
  const std::string input(64, 'a');
  JobStore(*database_, bus).submit({.request = {{"prompt", "a"}, {"init_image", "input:" + input}}});
  run("DROP TABLE inputs");
  run("DROP TABLE sessions");
  run("CREATE TABLE sessions (token TEXT PRIMARY KEY, key_sha256 TEXT NOT NULL, ends BIGINT NOT NULL)");
  run("INSERT INTO sessions VALUES ('t', 'k', 1)");
  run("DELETE FROM migrations WHERE number > 1");
  database_ = open_database(where_);
  EXPECT_EQ(text_of(database_->read("SELECT blob FROM inputs").at(0).at(0)), input);
  EXPECT_TRUE(database_->read("SELECT * FROM sessions").empty()) << "its times had another unit";
}

TEST_P(DatabaseTest, SeveralMayPrepareTheTablesAtOnce) {
  const std::string fresh =
      is_sqlite() ? (folder_.path() / "new.db").string() : PostgresForTests::get().new_database();
  std::vector<std::jthread> threads;
  std::atomic<int> opened = 0;
  for (int i = 0; i < 6; ++i) threads.emplace_back([&] { opened += open_database(fresh) != nullptr; });
  threads.clear();
  EXPECT_EQ(opened, 6);
}

TEST_P(DatabaseTest, LeavesTablesOfANewerLimnAlone) {
  run("INSERT INTO migrations VALUES (1000, 0)");
  EXPECT_EQ(code_of([&] { open_database(where_); }), ErrorCode::Unsupported);
}

class SqliteTest : public ::testing::Test {
 protected:
  void write(std::streamoff at, const std::string& bytes) {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(at);
    file << bytes;
  }
  TemporaryFolder folder_;
  std::string path_ = (folder_.path() / "deep" / "limn.db").string();
};

TEST_F(SqliteTest, IsDurableAndMakesItsFolder) {
  const auto database = open_database(path_);
  EXPECT_EQ(text_of(database->read("PRAGMA journal_mode").at(0).at(0)), "wal");
  EXPECT_EQ(integer_of(database->read("PRAGMA synchronous").at(0).at(0)), 2);
  EXPECT_EQ(integer_of(database->read("PRAGMA foreign_keys").at(0).at(0)), 1);
  database->transact([](Database::Transaction& transaction) {
    EXPECT_EQ(integer_of(transaction.run("PRAGMA synchronous").at(0).at(0)), 2);
  });
  EXPECT_EQ(code_of([&] { database->read("DELETE FROM queue"); }), ErrorCode::InvalidArgument);
}

TEST_F(SqliteTest, SaysWhenTheFileIsNoDatabase) {
  { open_database(path_); }
  write(0, std::string(100, 'x'));
  EXPECT_EQ(code_of([&] { open_database(path_); }), ErrorCode::BadFile);
  EXPECT_EQ(code_of([&] { open_database("/proc/version"); }), ErrorCode::InvalidArgument);
}

TEST_F(SqliteTest, SaysWhenTheFileIsDamagedWithoutItsPath) {
  {
    const auto database = open_database(path_);
    database->transact([](Database::Transaction& transaction) {
      for (int i = 0; i < 2000; ++i)
        transaction.run("INSERT INTO owners VALUES (?1, 0)", {std::string(100, 'o') + std::to_string(i)});
    });
  }
  // Behind the pages that are read on opening.
  for (std::streamoff page = 60; page < static_cast<std::streamoff>(std::filesystem::file_size(path_) / 4096);
       ++page)
    write(page * 4096, std::string(64, '\xa5'));
  try {
    open_database(path_)->read("SELECT * FROM owners ORDER BY name");
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::BadFile) << error.what();
    EXPECT_EQ(error.where(), "database");
  }
}

/// Stands before the server, and once cuts a connection whose COMMIT the server has answered, before the answer is told.
class CuttingProxy {
 public:
  CuttingProxy(const std::string& from, const std::string& to) : from_(from), to_(to) {
    listener_ = ::socket(AF_UNIX, SOCK_STREAM, 0);
    const sockaddr_un address = address_of(from_);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_, 10), 0);
    thread_ = std::jthread([this](const std::stop_token& stop) { serve(stop); });
  }
  ~CuttingProxy() {
    thread_ = {};
    ::close(listener_);
  }
  std::atomic<bool> armed = false;

 private:
  static sockaddr_un address_of(const std::string& folder) {
    sockaddr_un address{AF_UNIX, {}};
    (folder + "/.s.PGSQL.5432").copy(address.sun_path, sizeof address.sun_path - 1);
    return address;
  }

  void serve(const std::stop_token& stop) {
    std::vector<std::jthread> connections;
    while (!stop.stop_requested()) {
      pollfd ready{listener_, POLLIN, 0};
      if (::poll(&ready, 1, 20) == 1)
        connections.emplace_back(
            [this, stop, client = ::accept(listener_, nullptr, nullptr)] { pass(stop, client); });
    }
  }

  void pass(const std::stop_token& stop, int client) {
    const int server = ::socket(AF_UNIX, SOCK_STREAM, 0);
    const sockaddr_un address = address_of(to_);
    EXPECT_EQ(::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    bool cut = false;
    while (!stop.stop_requested()) {
      pollfd ready[] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
      if (::poll(ready, 2, 20) <= 0) continue;
      char bytes[65536];
      const bool from_client = ready[0].revents != 0;
      const ssize_t size = ::read(from_client ? client : server, bytes, sizeof bytes);
      if (size <= 0 || (cut && !from_client)) break;
      if (from_client &&
          std::string_view(bytes, static_cast<size_t>(size)).find("COMMIT") != std::string_view::npos)
        cut = armed.exchange(false);
      EXPECT_EQ(::write(from_client ? server : client, bytes, static_cast<size_t>(size)), size);
    }
    ::close(client);
    ::close(server);
  }

  const std::string from_, to_;
  int listener_;
  std::jthread thread_;
};

class PostgresTest : public ::testing::Test {
 protected:
  PostgresForTests& server_ = PostgresForTests::get();
  std::string url_ = server_.new_database();
};

TEST_F(PostgresTest, SaysWhenThereIsNoServer) {
  for (const char* url :
       {"postgresql://127.0.0.1:1/limn", "postgresql:///limn?host=/nowhere", "postgresql://%%%"})
    EXPECT_EQ(code_of([&] { open_database(url); }), ErrorCode::NotFound) << url;
}

TEST_F(PostgresTest, DoesNotTrustAServerThatForgets) {
  server_.stop();
  server_.start();
  const auto database = open_database(url_ + "&options=-csynchronous_commit%3Doff");
  EXPECT_EQ(text_of(database->read("SHOW synchronous_commit").at(0).at(0)), "on");
}

TEST_F(PostgresTest, OrdersTextByItsBytes) {
  const auto database = open_database(url_);
  database->transact([](Database::Transaction& transaction) {
    for (const char* name : {"b", "a", "B", "Z", "1"})
      transaction.run("INSERT INTO owners VALUES (?1, 0)", {name});
  });
  std::vector<std::string> names;
  for (const SqlRow& row : database->read("SELECT name FROM owners ORDER BY name"))
    names.push_back(text_of(row[0]));
  EXPECT_THAT(names, ElementsAre("1", "B", "Z", "a", "b"));
}

TEST_F(PostgresTest, GoesOnWhenTheServerIsStartedAgain) {
  const auto database = open_database(url_);
  const auto add = [&](const std::string& name) {
    database->transact([&](Database::Transaction& transaction) {
      transaction.run("INSERT INTO owners VALUES (?1, 0) ON CONFLICT DO NOTHING", {name});
    });
  };
  for (int signal : {SIGINT, SIGQUIT}) {
    add("before" + std::to_string(signal));
    std::vector<std::jthread> threads;
    std::atomic<bool> stop = false;
    for (int i = 0; i < 6; ++i)
      threads.emplace_back([&, i] {
        for (int j = 0; !stop; ++j)
          add(std::to_string(signal) + "-" + std::to_string(i) + "-" + std::to_string(j));
      });
    std::this_thread::sleep_for(100ms);
    server_.stop(signal);
    std::this_thread::sleep_for(200ms);
    server_.start();
    add("after" + std::to_string(signal));
    stop = true;
  }
  EXPECT_EQ(
      integer_of(database->read("SELECT count(*) FROM owners WHERE name LIKE 'before%' OR name LIKE 'after%'")
                     .at(0)
                     .at(0)),
      4);
}

TEST_F(PostgresTest, BeginsAgainWhereTwoAreInEachOthersWay) {
  const auto database = open_database(url_);
  database->transact([](Database::Transaction& transaction) {
    transaction.run("INSERT INTO owners VALUES ('a', 0), ('b', 0)");
  });
  std::atomic<int> begun = 0, runs = 0;
  const auto both = [&](std::string first, std::string second) {
    database->transact([&](Database::Transaction& transaction) {
      ++runs;
      transaction.run("UPDATE owners SET last_served = last_served + 1 WHERE name = ?1", {first});
      ++begun;
      for (int i = 0; i < 100 && begun < 2; ++i) std::this_thread::sleep_for(10ms);
      transaction.run("UPDATE owners SET last_served = last_served + 1 WHERE name = ?1", {second});
    });
  };
  {
    const std::jthread one([&] { both("a", "b"); }), other([&] { both("b", "a"); });
  }
  EXPECT_GE(runs, 3) << "no deadlock was met";
  for (const SqlRow& row : database->read("SELECT last_served FROM owners")) EXPECT_EQ(integer_of(row[0]), 2);
}

TEST_F(PostgresTest, ALostConnectionUndoesAndRepeatsTheTransaction) {
  const auto database = open_database(url_);
  int runs = 0;
  database->transact([&](Database::Transaction& transaction) {
    transaction.run("INSERT INTO owners VALUES ('a', 0)");
    if (++runs == 1) transaction.run("SELECT pg_terminate_backend(pg_backend_pid())");
  });
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(database->read("SELECT * FROM owners").size(), 1u);
}

TEST_F(PostgresTest, ACommitWhoseAnswerIsLostIsBegunAgain) {
  TemporaryFolder folder;
  const std::string host = url_.substr(url_.find("host=") + 5);
  CuttingProxy proxy(folder.path().string(), host);
  const auto database = open_database(url_.substr(0, url_.find("host=")) + "host=" + folder.path().string());
  EventBus bus;
  JobStore store(*database, bus);
  proxy.armed = true;
  const Job job = store.submit({.request = {{"prompt", "a"}}});
  EXPECT_FALSE(proxy.armed);
  EXPECT_EQ(store.counts().queued, 1);
  EXPECT_EQ(store.list({}).at(0).id, job.id);
  const Job claimed = store.claim("w", 1min).value();
  proxy.armed = true;
  EXPECT_TRUE(store.save(claimed, std::vector<std::string>{"a", "b"}).held);
  EXPECT_THAT(store.find(job.id)->checkpoint, ElementsAre("a", "b"));
  proxy.armed = true;
  EXPECT_TRUE(store.finish(claimed, {}, {}));
  EXPECT_FALSE(proxy.armed);
  EXPECT_EQ(store.find(job.id)->state, JobState::Done);
  EXPECT_FALSE(store.finish(claimed, {}, {}));
}

TEST_F(PostgresTest, AFrozenTransactionLosesItsLocks) {
  const auto database = open_database(url_);
  EXPECT_EQ(text_of(database->read("SHOW idle_in_transaction_session_timeout").at(0).at(0)), "10s");
}

TEST_F(PostgresTest, TellsOthersAndSaysWhenSomethingMayHaveBeenMissed) {
  std::mutex lock;
  std::vector<std::string> heard;
  const auto database = open_database(url_), other = open_database(url_);
  database->listen([&](std::string_view payload) {
    const std::lock_guard guard(lock);
    heard.emplace_back(payload);
  });
  const auto wait_for = [&](const std::string& payload) {
    for (int i = 0; i < 1000; ++i) {
      {
        const std::lock_guard guard(lock);
        if (std::erase(heard, payload) > 0) return true;
      }
      std::this_thread::sleep_for(10ms);
    }
    return false;
  };
  other->notify("one");
  EXPECT_TRUE(wait_for("one"));
  database->notify(std::string(7999, 'x'));
  EXPECT_TRUE(wait_for(std::string(7999, 'x')));
  EXPECT_EQ(code_of([&] { other->notify(std::string(8000, 'x')); }), ErrorCode::Internal);
  server_.stop();
  other->notify("lost");
  server_.start();
  EXPECT_TRUE(wait_for(""));
  EXPECT_FALSE(std::ranges::count(heard, "lost"));
  other->notify("two");
  other->notify("two");  // the first found its connection lost
  EXPECT_TRUE(wait_for("two"));
}

}  // namespace
}  // namespace limn::server
