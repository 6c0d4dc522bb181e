// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/samplers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace limn::engine {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Not;

const SamplerName* named(const std::vector<SamplerName>& list, std::string_view label) {
  for (const SamplerName& sampler : list)
    if (sampler.label == label) return &sampler;
  return nullptr;
}

TEST(SamplerNames, ListsAProgramsSamplersWithTheirOtherNames) {
  const std::vector<SamplerName> list = sampler_names("a1111");
  EXPECT_EQ(list.front().label, "Euler");
  const SamplerName* multistep = named(list, "DPM++ 2M");
  ASSERT_TRUE(multistep);
  EXPECT_THAT(multistep->aliases, ElementsAre("k_dpmpp_2m"));
  EXPECT_EQ(multistep->schedule, "Karras");
  EXPECT_FALSE(named(list, "k_dpmpp_2m"));
  ASSERT_TRUE(named(list, "DDIM CFG++"));  // another sampler than DDIM, though of the same rule
  EXPECT_FALSE(named(list, "DDIM")->takes_schedule);
}

TEST(SamplerNames, ListsAProgramsSchedules) {
  EXPECT_THAT(schedule_names("a1111"), Contains("SGM Uniform"));
  EXPECT_THAT(schedule_names("a1111"), Not(Contains("sgm_uniform")));
}

TEST(SamplerNames, AreFoundWithTheirScheduleAndWhoeverHasThem) {
  EXPECT_TRUE(find_sampler("a1111", "DPM++ 2M Karras")->takes_schedule);
  EXPECT_TRUE(find_sampler("a1111", "dpmpp_2m_sde_gpu"));  // ComfyUI's
  EXPECT_TRUE(find_sampler("a1111", "euler_ancestral"));   // limn's
  EXPECT_FALSE(find_sampler("a1111", "UniPC")->takes_schedule);
  EXPECT_FALSE(find_sampler("a1111", "DPM++ 2M Sideways"));
  EXPECT_FALSE(find_sampler("a1111", ""));
}

}  // namespace
}  // namespace limn::engine
