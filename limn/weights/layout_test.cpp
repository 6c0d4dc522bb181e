// SPDX-License-Identifier: Apache-2.0
#include "limn/weights/layout.h"

#include <gtest/gtest.h>

namespace limn::weights {
namespace {

using Sizes = std::vector<int64_t>;

TEST(CountElements, MultipliesOrRefuses) {
  EXPECT_EQ(count_elements({}), 1);
  EXPECT_EQ(count_elements(Sizes{2, 3, 4}), 24);
  EXPECT_EQ(count_elements(Sizes{5, 0}), 0);
  EXPECT_EQ(count_elements(Sizes{-1}), std::nullopt);
  EXPECT_EQ(count_elements(Sizes{-1, 0}), std::nullopt);
  EXPECT_EQ(count_elements(Sizes{int64_t{1} << 55, 2}), std::nullopt);
  EXPECT_EQ(count_elements(Sizes{INT64_MAX, 0, INT64_MAX}), std::nullopt);
  EXPECT_EQ(count_elements(Sizes(kMaxRank, 1)), 1);
  EXPECT_EQ(count_elements(Sizes(kMaxRank + 1, 1)), std::nullopt);
}

TEST(Reach, IsOneMoreThanTheFarthestElement) {
  EXPECT_EQ(reach_of({}, {}), 1);
  EXPECT_EQ(reach_of(Sizes{2, 3}, Sizes{3, 1}), 6);
  EXPECT_EQ(reach_of(Sizes{3, 2}, Sizes{1, 10}), 13);
  EXPECT_EQ(reach_of(Sizes{4}, Sizes{0}), 1);
  EXPECT_EQ(reach_of(Sizes{0, 4}, Sizes{4, 1}), 0);
  EXPECT_EQ(reach_of(Sizes{2}, Sizes{-1}), std::nullopt);
  EXPECT_EQ(reach_of(Sizes{2}, Sizes{1, 1}), std::nullopt);
  EXPECT_EQ(reach_of(Sizes{1 << 30, 1 << 20}, Sizes{int64_t{1} << 40, 1}), std::nullopt);
  EXPECT_EQ(reach_of(Sizes{2}, Sizes{INT64_MAX}), std::nullopt);
}

TEST(IsDense, LooksOnlyAtDimensionsThatCount) {
  EXPECT_TRUE(is_dense(Sizes{2, 3}, Sizes{3, 1}));
  EXPECT_TRUE(is_dense(Sizes{1, 5}, Sizes{0, 1}));
  EXPECT_TRUE(is_dense(Sizes{0, 5}, Sizes{9, 9}));
  EXPECT_FALSE(is_dense(Sizes{3, 2}, Sizes{1, 3}));
  EXPECT_FALSE(is_dense(Sizes{2}, Sizes{0}));
}

TEST(Shown, EscapesWhatATerminalWouldObeyAndCutsLongText) {
  EXPECT_EQ(shown("a.weight"), "'a.weight'");
  EXPECT_EQ(shown(std::string("\x1b[2J\n\0é", 8)), "'\\x1b[2J\\x0a\\x00\\xc3\\xa9'");
  EXPECT_EQ(shown(std::string(500, 'x')).size(), 120 + std::string("'…'").size());
}

TEST(IsUtf8, FollowsTheStandard) {
  for (const char* good : {"", "abc", "é", "€", "😀", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf"})
    EXPECT_TRUE(is_utf8(good)) << good;
  for (const char* bad : {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
                          "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xc3", "\xe2\x82", "\xc3\x28"})
    EXPECT_FALSE(is_utf8(bad)) << bad;
}

}  // namespace
}  // namespace limn::weights
