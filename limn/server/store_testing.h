// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "limn/base/error.h"
#include "limn/server/postgres_testing.h"

namespace limn::server {

/// A folder for one test; in memory where there is one, as flushing to a disk takes most of a test's time.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    const std::filesystem::path memory = "/dev/shm";
    const auto parent = ::access(memory.c_str(), W_OK) == 0 ? memory : std::filesystem::temp_directory_path();
    std::string name = (parent / "limn_server_XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Runs a test with a new database of each dialect.
class EveryDatabase : public ::testing::TestWithParam<Database::Dialect> {
 protected:
  EveryDatabase()
      : where_(GetParam() == Database::Dialect::Sqlite ? (folder_.path() / "limn.db").string()
                                                       : PostgresForTests::get().new_database()),
        database_(open_database(where_)) {}

  bool is_sqlite() const { return GetParam() == Database::Dialect::Sqlite; }
  TemporaryFolder folder_;
  std::string where_;
  std::unique_ptr<Database> database_;
};

inline std::string name_of_dialect(const ::testing::TestParamInfo<Database::Dialect>& info) {
  return info.param == Database::Dialect::Sqlite ? "SQLite" : "PostgreSQL";
}

/// For INSTANTIATE_TEST_SUITE_P.
inline auto every_dialect() {
  return ::testing::Values(Database::Dialect::Sqlite, Database::Dialect::Postgres);
}

/// What an action throws; its code, or nothing when it throws nothing.
template <typename Action>
std::optional<ErrorCode> code_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  return std::nullopt;
}

}  // namespace limn::server
