// SPDX-License-Identifier: Apache-2.0
#include "limn/server/job.h"

#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace limn::server {
namespace {

TEST(JobState, HasANameEach) {
  std::set<std::string_view> names;
  for (JobState state :
       {JobState::Queued, JobState::Running, JobState::Done, JobState::Failed, JobState::Cancelled}) {
    names.insert(name_of(state));
    EXPECT_EQ(job_state_of(name_of(state)), state);
    EXPECT_EQ(has_ended(state), state != JobState::Queued && state != JobState::Running);
  }
  EXPECT_EQ(names.size(), 5u);
  EXPECT_EQ(job_state_of("Queued"), std::nullopt);
  EXPECT_EQ(job_state_of(""), std::nullopt);
}

TEST(NewId, RisesInEveryThreadAndIsNeverGivenTwice) {
  constexpr size_t kEach = 20'000;
  std::vector<std::vector<std::string>> made(4);
  {
    std::vector<std::jthread> threads;
    for (auto& ids : made)
      threads.emplace_back([&ids] {
        for (size_t i = 0; i < kEach; ++i) ids.push_back(new_id());
      });
  }
  std::set<std::string> all;
  for (const auto& ids : made) {
    EXPECT_TRUE(std::ranges::is_sorted(ids));
    all.insert(ids.begin(), ids.end());
  }
  EXPECT_EQ(all.size(), 4 * kEach);
}

TEST(NewId, BeginsWithTheTime) {
  const std::string first = new_id();
  EXPECT_THAT(first, ::testing::MatchesRegex("[0-7][0-9A-HJKMNP-TV-Z]+"));
  EXPECT_EQ(first.size(), 26u);
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_LT(first.substr(0, 10), new_id().substr(0, 10));
}

}  // namespace
}  // namespace limn::server
