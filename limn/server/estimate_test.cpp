// SPDX-License-Identifier: Apache-2.0
#include "limn/server/estimate.h"

#include <gtest/gtest.h>

namespace limn::server {
namespace {

using namespace std::chrono_literals;
const Estimate::Clock::time_point kStart{};

TEST(Estimate, SaysNothingBeforeItKnows) {
  Estimate estimate(1, 1, {});
  EXPECT_FALSE(estimate.seconds_left());
  estimate.note_step(1, 10, kStart + 5s);  // with what came before the first step in it
  EXPECT_FALSE(estimate.seconds_left());
  estimate.note_step(2, 10, kStart + 7s);
  EXPECT_DOUBLE_EQ(estimate.seconds_left().value(), 16);
}

TEST(Estimate, FollowsTheLastSteps) {
  Estimate estimate(1, 1, {});
  auto now = kStart;
  for (int64_t step = 1; step <= 5; ++step) estimate.note_step(step, 30, now += 10s);
  for (int64_t step = 6; step <= 20; ++step) estimate.note_step(step, 30, now += 1s);
  EXPECT_DOUBLE_EQ(estimate.seconds_left().value(), 10);
}

TEST(Estimate, AddsThePicturesThatAreStillToBeDecoded) {
  Estimate estimate(1, 3, 4.0);
  estimate.note_step(1, 2, kStart + 1s);
  estimate.note_step(2, 2, kStart + 2s);
  EXPECT_DOUBLE_EQ(estimate.seconds_left().value(), 12);
  estimate.note_decode(0, kStart + 2s);
  estimate.note_decode(1, kStart + 4s);
  EXPECT_DOUBLE_EQ(estimate.seconds_left().value(), 4);
}

TEST(Estimate, TakesNoDecodingForAStep) {
  Estimate estimate(1, 16, 0.0);
  estimate.note_step(1, 4, kStart + 1s);
  estimate.note_step(2, 4, kStart + 2s);
  estimate.note_decode(0, kStart + 2s);
  estimate.note_step(3, 4, kStart + 60s);
  EXPECT_DOUBLE_EQ(estimate.seconds_left().value(), 1 + 0 * 16);
}

TEST(Estimate, WaitsForTheLastPass) {
  Estimate estimate(2, 1, {});
  for (int64_t step = 1; step <= 4; ++step) estimate.note_step(step, 4, kStart + step * 1s);
  EXPECT_FALSE(estimate.seconds_left());
  estimate.note_step(1, 6, kStart + 7s);
  estimate.note_step(2, 6, kStart + 10s);
  EXPECT_DOUBLE_EQ(estimate.seconds_left().value(), 12);

  Estimate never(0, 1, {});
  for (int64_t step = 1; step <= 4; ++step) never.note_step(step, 4, kStart + step * 1s);
  EXPECT_FALSE(never.seconds_left());
}

}  // namespace
}  // namespace limn::server
