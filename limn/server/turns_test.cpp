// SPDX-License-Identifier: Apache-2.0
#include "limn/server/turns.h"

#include <algorithm>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace limn::server {
namespace {

TEST(Turns, OwnersOfAPriorityTakeTurns) {
  const Turns turns({{0, "a", 3, 7}, {0, "b", 1, 2}, {0, "c", 2, 0}});
  // c b a, c a, a
  EXPECT_EQ(turns.place(0, "c", 1), 1);
  EXPECT_EQ(turns.place(0, "b", 1), 2);
  EXPECT_EQ(turns.place(0, "a", 1), 3);
  EXPECT_EQ(turns.place(0, "c", 2), 4);
  EXPECT_EQ(turns.place(0, "a", 2), 5);
  EXPECT_EQ(turns.place(0, "a", 3), 6);
}

TEST(Turns, HigherPrioritiesGoFirstAndCountAsTurns) {
  const Turns turns({{0, "a", 1, 0}, {0, "b", 1, 0}, {5, "a", 1, 0}, {-5, "b", 1, 0}});
  EXPECT_EQ(turns.place(5, "a", 1), 1);
  EXPECT_EQ(turns.place(0, "b", 1), 2);
  EXPECT_EQ(turns.place(0, "a", 1), 3);
  EXPECT_EQ(turns.place(-5, "b", 1), 4);
}

TEST(Turns, WhatIsNotThereHasNoPlace) {
  const Turns turns({{0, "a", 2, 0}});
  EXPECT_EQ(turns.place(0, "a", 3), 0);
  EXPECT_EQ(turns.place(0, "b", 1), 0);
  EXPECT_EQ(turns.place(1, "a", 1), 0);
  EXPECT_EQ(Turns({}).place(0, "a", 1), 0);
}

/// Claims job by job, as the store does; @return the groups that were served, in order
std::vector<std::pair<int64_t, std::string>> claim_all(std::vector<Turns::Group> groups) {
  std::vector<std::pair<int64_t, std::string>> out;
  for (int64_t now = 1000;; ++now) {
    const auto next = std::ranges::min_element(groups, {}, [](const Turns::Group& g) {
      return std::tuple(g.jobs == 0, -g.priority, g.last_served, g.owner);
    });
    if (next == groups.end() || next->jobs == 0) return out;
    --next->jobs;
    out.emplace_back(next->priority, next->owner);
    for (Turns::Group& group : groups)
      if (group.owner == next->owner) group.last_served = now;
  }
}

TEST(Turns, AreThoseOfClaimingOneByOne) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    std::vector<Turns::Group> groups;
    for (int owner = 0; owner < 5; ++owner) {
      const auto served = static_cast<int64_t>(random() % 4);
      for (int64_t priority : {0, 1, 2})
        if (random() % 3)
          groups.push_back({priority, std::string(1, static_cast<char>('a' + owner)),
                            1 + static_cast<int64_t>(random() % 4), served});
    }
    const Turns turns(groups);
    std::map<std::pair<int64_t, std::string>, int64_t> ranks;
    int64_t place = 0;
    for (const auto& group : claim_all(groups))
      ASSERT_EQ(turns.place(group.first, group.second, ++ranks[group]), ++place) << "round " << round;
  }
}

}  // namespace
}  // namespace limn::server
