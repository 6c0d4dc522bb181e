// SPDX-License-Identifier: Apache-2.0
#include "limn/base/error.h"

#include <set>

#include <gtest/gtest.h>

#include "limn/base/named_table.h"

namespace limn {
namespace {

TEST(Error, SaysWhereWhatAndHint) {
  const Error error(ErrorCode::BadFile, "a.safetensors @8", "expected 4 bytes, found 2", "download it again");
  EXPECT_STREQ(error.what(), "a.safetensors @8: expected 4 bytes, found 2 (download it again)");
  EXPECT_EQ(error.code(), ErrorCode::BadFile);
  EXPECT_EQ(error.where(), "a.safetensors @8");
  EXPECT_EQ(error.problem(), "expected 4 bytes, found 2");
  EXPECT_EQ(error.hint(), "download it again");
}

TEST(Error, LeavesOutWhatIsEmpty) {
  EXPECT_STREQ(Error(ErrorCode::Cancelled, "", "stopped").what(), "stopped");
  EXPECT_STREQ(Error(ErrorCode::Cancelled, "job", "stopped").what(), "job: stopped");
  EXPECT_STREQ(Error(ErrorCode::Cancelled, "", "stopped", "by you").what(), "stopped (by you)");
}

TEST(Statuses, AreDifferentForEveryCodeAndNeverSuccess) {
  std::set<int> exits, https;
  std::set<std::string_view> names;
  for (const Status& status : all_statuses()) {
    EXPECT_EQ(status_of(status.code).name, status.name);
    EXPECT_GT(status.exit_status, 0);
    EXPECT_LT(status.exit_status, 126);  // the shell's own begin there
    EXPECT_GE(status.http_status, 400);
    EXPECT_LT(status.http_status, 600);
    exits.insert(status.exit_status);
    https.insert(status.http_status);
    names.insert(status.name);
  }
  EXPECT_EQ(all_statuses().size(), 9u);
  EXPECT_EQ(exits.size(), 9u);
  EXPECT_EQ(https.size(), 9u);
  EXPECT_EQ(names.size(), 9u);
}

TEST(Check, ThrowsInternalWithFileAndLineOnlyWhenFalse) {
  EXPECT_NO_THROW(LIMN_CHECK(1 + 1 == 2, "arithmetic"));
  try {
    LIMN_CHECK(1 + 1 == 3, "arithmetic");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::Internal);
    EXPECT_NE(error.where().find("error_test.cpp:"), std::string::npos);
    EXPECT_EQ(error.problem(), "arithmetic");
  }
}

struct Row {
  std::string_view name;
  int value;
};
constexpr Row kRows[] = {{"one", 1}, {"two", 2}};
const std::span<const Row> kTable = kRows;

TEST(NamedTable, FindsRowsAndListsNamesWhenThereIsNone) {
  EXPECT_EQ(names_of(kTable), "one, two");
  EXPECT_EQ(names_of(std::span<const Row>()), "");
  EXPECT_EQ(find_named(kTable, "two", "number").value, 2);
  EXPECT_EQ(try_find_named(kTable, "three"), nullptr);
  try {
    find_named(kTable, "three", "number");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::InvalidArgument);
    EXPECT_STREQ(error.what(), "number: no 'three' (known: one, two)");
  }
}

}  // namespace
}  // namespace limn
