// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/plan.h"

#include <filesystem>

#include <c10/util/ThreadLocalDebugInfo.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"
#include "limn/engine/engine.h"
#include "limn/models/allocations_testing.h"

namespace limn::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kMebi = int64_t{1} << 20;

GenerateRequest request_of(const std::string& text) {
  return request_from_json(parse_json(text, "request").as_object());
}

int64_t peak(const std::string& text) { return plan_memory(request_of(text), 2).peak().total(); }

TEST(MemoryLimit, IsReadWithItsUnit) {
  EXPECT_EQ(bytes_of("4GiB", "f"), int64_t{4} << 30);
  EXPECT_EQ(bytes_of("3500MiB", "f"), 3500 * kMebi);
  EXPECT_EQ(bytes_of("1.5 GiB", "f"), 1536 * kMebi);
  EXPECT_EQ(bytes_of("512M", "f"), 512 * kMebi);
  EXPECT_EQ(bytes_of("2GB", "f"), 2'000'000'000);
  EXPECT_EQ(bytes_of("7000000", "f"), 7'000'000);
  for (const char* text :
       {"", "GiB", "4 gib", "-1GiB", "0", "0.5", "nan", "inf", "1e9", "4GiBs", "99999999GiB", "4  GiB"})
    EXPECT_THROW(bytes_of(text, "f"), Error) << text;
}

TEST(Plan, NeverNeedsLessForMore) {
  int64_t before = 0;
  for (const int side : {64, 96, 128, 192, 256, 384, 512, 768, 1024}) {
    const std::string size = std::to_string(side);
    const int64_t now = peak(R"({"width": )" + size + R"(, "height": )" + size + "}");
    EXPECT_GE(now, before) << side;
    EXPECT_LE(now, peak(R"({"count": 2, "width": )" + size + R"(, "height": )" + size + "}")) << side;
    EXPECT_LE(peak(R"({"guidance_scale": 1, "width": )" + size + R"(, "height": )" + size + "}"), now)
        << side;
    before = now;
  }
}

TEST(Plan, ChangesTheLeastThatFits) {
  const std::string asked = R"({"width": 512, "height": 512, "count": 8)";
  const MemoryPlan free = plan_memory(request_of(asked + "}"), 2);
  EXPECT_TRUE(free.warnings.empty());
  const auto within = [&](int64_t bytes) {
    return plan_memory(request_of(asked + R"(, "memory_limit": ")" + std::to_string(bytes) + "\"}"), 2);
  };
  EXPECT_TRUE(within(free.peak().total()).warnings.empty());

  int64_t least = free.peak().total();
  try {
    within(kMebi);
    FAIL() << "fits into 1 MiB";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::OutOfMemory);
    const std::string told = error.problem().substr(error.problem().rfind("is ") + 3);
    least = bytes_of(told, "told");
  }
  const MemoryPlan smallest = within(least);
  EXPECT_LE(smallest.peak().total(), least);
  EXPECT_TRUE(smallest.in_turn);
  EXPECT_EQ(smallest.pictures_at_once, 1);
  EXPECT_GT(smallest.vae_tile, 0);
  EXPECT_THROW(within(least - kMebi), Error);

  int changes = 0;
  for (int64_t limit = free.peak().total(); limit >= least; limit -= 8 * kMebi) {
    const MemoryPlan plan = within(limit);
    EXPECT_LE(plan.peak().total(), limit);
    if (plan.pictures_at_once < 8) EXPECT_TRUE(plan.in_turn);
    EXPECT_GE(static_cast<int>(plan.warnings.size()), changes);
    changes = static_cast<int>(plan.warnings.size());
  }
}

TEST(MemoryLimit, HalvesInTurnGiveTheSameBits) {
  const std::string asked =
      R"({"prompt": "fog", "seed": 3, "steps": 1, "width": 256, "height": 256, "count": 4, "vae_tile": 128)";
  Engine engine;
  const auto generate = [&](const GenerateRequest& request, int64_t& most) {  // most: until it decodes
    const auto allocations = std::make_shared<models::testing::Allocations>();
    const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, allocations);
    return engine.generate(request, {}, [&](const Progress& progress) {
      if (progress.stage == Progress::Stage::Decode && progress.done == 0) most = allocations->most;
    });
  };
  engine.generate(request_of(asked + "}"));  // loads the model
  int64_t at_once = 0, in_turn = 0;
  const std::vector<Picture> free = generate(request_of(asked + "}"), at_once);
  GenerateRequest request = request_of(asked + "}");
  request.memory_limit = plan_memory(request).peak().total() - kMebi;
  const MemoryPlan fitted = plan_memory(request);
  ASSERT_TRUE(fitted.in_turn);
  ASSERT_EQ(fitted.vae_tile, 128);
  const std::vector<Picture> limited = generate(request, in_turn);
  EXPECT_LT(static_cast<double>(in_turn), 0.75 * static_cast<double>(at_once));
  ASSERT_EQ(limited.size(), free.size());
  for (size_t i = 0; i < free.size(); ++i) {
    EXPECT_EQ(limited[i].image.pixels, free[i].image.pixels);
    EXPECT_EQ(limited[i].latents.values, free[i].latents.values);
    EXPECT_THAT(limited[i].record.warnings, ElementsAre(HasSubstr("one half of guidance after the other")));
  }
}

}  // namespace
}  // namespace limn::engine
