// SPDX-License-Identifier: Apache-2.0
#include "limn/base/spelling.h"

#include <gtest/gtest.h>

namespace limn {
namespace {

TEST(EditDistance, CountsTheLeastChanges) {
  EXPECT_EQ(edit_distance("", ""), 0U);
  EXPECT_EQ(edit_distance("fox", "fox"), 0U);
  EXPECT_EQ(edit_distance("", "fox"), 3U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);  // Levenshtein's usual example
  EXPECT_EQ(edit_distance("lerning_rate", "learning_rate"), 1U);
  EXPECT_EQ(edit_distance("bycicle", "bicycle"), 2U);
  EXPECT_EQ(edit_distance("bicycle", "bycicle"), 2U);
}

}  // namespace
}  // namespace limn
