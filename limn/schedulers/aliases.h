// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "limn/base/json.h"
#include "limn/schedulers/scheduler.h"

namespace limn::schedulers {

/// A sampler as another program calls it, and what of ours it is.
struct SamplerAlias {
  std::string_view dialect;    // "a1111", "comfy", "sdcpp", "invokeai"
  std::string_view label;      // "DPM++ 2M"
  std::string_view scheduler;  // a name of all()
  std::string_view
      schedule;  // that program's usual one, a label of schedule_aliases(); empty: "normal" of the dialect
  bool discards_next_to_last = false;
  std::string_view note = {};      // why it only comes near, or empty
  std::string_view settings = {};  // JSON of fields that it sets in our scheduler's configuration, or empty
  double guidance = 1;             // what its guidance scale is multiplied by
};
std::span<const SamplerAlias> sampler_aliases();

/// A schedule as another program calls it: the value of sigma_schedule; empty for diffusers' own fields.
struct ScheduleAlias {
  std::string_view dialect, label, sigma_schedule;
};
std::span<const ScheduleAlias> schedule_aliases();

/// What a program calls one of our samplers or levels; empty when it has neither. Of two that differ only in whose levels
/// they read ("dpmpp_2m", "k_dpmpp_2m") it has one; levels of XL models have the other models' label.
std::string_view label_of_sampler(std::string_view dialect, std::string_view scheduler);
std::string_view label_of_schedule(std::string_view dialect, std::string_view sigma_schedule);

/// A sampler and schedule of another program, found whatever the case of letters. A1111's names of before 1.9
/// ("DPM++ 2M Karras") and stable-diffusion.cpp's ("euler_a karras") hold both.
struct FoundAlias {
  const SamplerAlias* sampler;
  std::string sigma_schedule;  // a name of level_schedules(), or empty where the sampler takes none
};
/// @param schedule  a label; empty or "Automatic": the sampler's usual one
std::optional<FoundAlias> find_alias(std::string_view dialect, std::string_view sampler,
                                     std::string_view schedule = {});

}  // namespace limn::schedulers
