// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/aliases.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include <gtest/gtest.h>

#include "limn/base/file.h"
#include "limn/base/named_table.h"
#include "limn/schedulers/level_schedule.h"

namespace limn::schedulers {
namespace {

TEST(Aliases, NameSchedulersAndSchedulesThatThereAre) {
  std::set<std::pair<std::string_view, std::string_view>> names;
  for (const SamplerAlias& alias : sampler_aliases()) {
    EXPECT_TRUE(names.insert({alias.dialect, alias.label}).second) << alias.label;
    const SchedulerEntry* entry = try_find_named(all(), alias.scheduler);
    ASSERT_NE(entry, nullptr) << alias.label;
    const json::value settings = parse_json(alias.settings.empty() ? "{}" : alias.settings, "alias");
    for (const auto& [field, value] : settings.as_object())
      EXPECT_NE(std::ranges::find(entry->fields, std::string_view(field)), entry->fields.end())
          << alias.label << ' ' << field;
    if (alias.schedule != "-" && !alias.schedule.empty())
      EXPECT_NE(try_find_named(level_schedules(), alias.schedule), nullptr) << alias.label;
  }
  for (const ScheduleAlias& alias : schedule_aliases())
    EXPECT_NE(try_find_named(level_schedules(), alias.sigma_schedule), nullptr) << alias.label;
}

struct Expected {
  const char *dialect, *sampler, *schedule, *scheduler, *levels;
  bool discards;
};
class FindAlias : public testing::TestWithParam<Expected> {};

TEST_P(FindAlias, GivesSamplerAndSchedule) {
  const Expected& e = GetParam();
  const auto found = find_alias(e.dialect, e.sampler, e.schedule);
  ASSERT_TRUE(found.has_value()) << e.sampler;
  EXPECT_EQ(found->sampler->scheduler, e.scheduler);
  EXPECT_EQ(found->sigma_schedule, e.levels);
  EXPECT_EQ(found->sampler->discards_next_to_last, e.discards);
}

INSTANTIATE_TEST_SUITE_P(
    Names, FindAlias,
    testing::Values(Expected{"a1111", "DPM++ 2M Karras", "", "k_dpmpp_2m", "karras", false},
                    Expected{"a1111", "DPM++ 2M", "Automatic", "k_dpmpp_2m", "karras", false},
                    Expected{"a1111", "DPM++ 2M", "Uniform", "k_dpmpp_2m", "normal", false},
                    Expected{"a1111", "DPM++ 3M SDE Exponential", "", "dpmpp_3m_sde", "exponential", true},
                    Expected{"a1111", "dpm2 a", "", "dpm2_ancestral", "karras", true},
                    Expected{"a1111", "k_euler_a", "", "euler_ancestral", "normal", false},
                    Expected{"a1111", "Euler", "Beta", "euler", "beta_linear", false},
                    Expected{"a1111", "DDIM", "", "ddim", "", false},
                    Expected{"comfy", "dpm_2", "karras", "dpm2", "karras", true},
                    Expected{"comfy", "dpmpp_3m_sde", "beta", "dpmpp_3m_sde", "beta", false},
                    Expected{"sdcpp", "euler_a karras", "", "euler_ancestral", "karras", false},
                    Expected{"a1111", "DDIM CFG++", "", "ddim", "", false},
                    Expected{"comfy", "dpmpp_2s_ancestral_cfg_pp", "karras", "dpmpp_2s_ancestral_cfg_pp",
                             "karras", false},
                    Expected{"comfy", "ddpm", "simple", "euler_ancestral", "simple", false},
                    Expected{"comfy", "uni_pc_bh2", "", "unipc", "", true},
                    Expected{"invokeai", "dpmpp_2m_sde_k", "", "dpmpp_2m", "", false},
                    Expected{"invokeai", "dpmpp_3m", "", "dpmpp_2m", "", false},
                    Expected{"invokeai", "kdpm_2_a_k", "", "dpm2_ancestral", "", false},
                    Expected{"invokeai", "dpmpp_sde_k", "", "dpmpp_sde", "", false}),
    [](const auto& info) { return "Case" + std::to_string(info.index); });

TEST(Aliases, FindNothingForNamesThatNobodyHas) {
  EXPECT_FALSE(find_alias("a1111", "DPM++ 9X").has_value());
  EXPECT_FALSE(find_alias("a1111", "DPM++ 2M", "Sideways").has_value());
  EXPECT_FALSE(find_alias("nobody", "Euler").has_value());
  EXPECT_FALSE(find_alias("a1111", "").has_value());
}

TEST(Aliases, GiveLabelsBack) {
  EXPECT_EQ(label_of_sampler("a1111", "dpmpp_2m"), "DPM++ 2M");
  EXPECT_EQ(label_of_sampler("a1111", "euler_ancestral"), "Euler a");
  EXPECT_EQ(label_of_sampler("a1111", "lcm"), "LCM");
  EXPECT_EQ(label_of_sampler("comfy", "dpm2"), "dpm_2");
  EXPECT_EQ(label_of_sampler("a1111", "ddpm"), "");
  EXPECT_EQ(label_of_schedule("a1111", "karras"), "Karras");
  EXPECT_EQ(label_of_schedule("a1111", "align_your_steps_xl"), "Align Your Steps");
  EXPECT_EQ(label_of_schedule("a1111", "gits_xl"), "Align Your Steps GITS");
  EXPECT_EQ(label_of_schedule("a1111", "trailing"), "");
}

/// The table of docs/schedulers.md. LIMN_WRITE_DOCS=1 writes it.
std::string table_of_samplers() {
  std::string out = "| name | diffusers' class | A1111 | ComfyUI | source |\n|---|---|---|---|---|\n";
  for (const SchedulerEntry& entry : all()) {
    const auto labels = [&](std::string_view dialect, const char* quote) {
      std::string list;
      for (const SamplerAlias& alias : sampler_aliases())
        if (alias.dialect == dialect && alias.scheduler == entry.name && !alias.label.starts_with("k_"))
          list.append(list.empty() ? "" : ", ").append(quote).append(alias.label).append(quote);
      return list;
    };
    out.append("| `").append(entry.name).append("` | ").append(entry.class_name).append(" | ");
    out.append(labels("a1111", "")).append(" | ").append(labels("comfy", "`")).append(" | ");
    out.append(entry.source).append(" |\n");
  }
  return out;
}

TEST(Aliases, AreThoseOfTheDocumentation) {
  const std::filesystem::path path = std::filesystem::path(LIMN_SOURCE_DIR) / "docs" / "schedulers.md";
  const std::string begin = "<!-- made by schedulers_test -->\n", end = "<!-- end -->\n";
  std::string page = read_file(path, 1 << 20);
  const size_t from = page.find(begin), to = page.find(end);
  ASSERT_TRUE(from != std::string::npos && to != std::string::npos) << path << " lost its marks";
  if (std::getenv("LIMN_WRITE_DOCS")) {
    page.replace(from + begin.size(), to - from - begin.size(), table_of_samplers());
    std::ofstream(path) << page;
  }
  EXPECT_EQ(page.substr(from + begin.size(), page.find(end) - from - begin.size()), table_of_samplers())
      << "make it again: LIMN_WRITE_DOCS=1 schedulers_test";
}

}  // namespace
}  // namespace limn::schedulers
