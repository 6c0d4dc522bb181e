// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace limn::engine {

/// A sampler as another program's users know it.
struct SamplerName {
  std::string_view label;                 // "DPM++ 2M"
  std::vector<std::string_view> aliases;  // other names of the same: "k_dpmpp_2m"
  std::string_view schedule;              // a label, where it has a usual one of its own: "Karras"
  bool takes_schedule = true;
};

/// The samplers of a program, in its order. @param dialect  "a1111", "comfy", "sdcpp", "invokeai"
std::vector<SamplerName> sampler_names(std::string_view dialect);

/// The labels of a program's schedules: "SGM Uniform".
std::vector<std::string_view> schedule_names(std::string_view dialect);

/// What one of limn's own schedulers is called by most people: "DPM++ 2M" of "dpmpp_2m"; empty: nothing else.
std::string_view label_of_scheduler(std::string_view name);

/// Whether a request's `scheduler` may have this name under the program's conventions: its own, with or without a schedule
/// ("DPM++ 2M Karras"), limn's, or another program's; and whether a schedule has an effect there. Empty: nobody's.
struct KnownSampler {
  bool takes_schedule = true;
};
std::optional<KnownSampler> find_sampler(std::string_view dialect, std::string_view name);

}  // namespace limn::engine
