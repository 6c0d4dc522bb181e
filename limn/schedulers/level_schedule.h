// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "limn/base/json.h"
#include "limn/schedulers/sigma_schedule.h"

namespace limn::schedulers {

/// What a schedule of noise levels is made from.
struct LevelRequest {
  const SigmaTable& table;  // of the training
  SigmaRange range;         // the model's, or as the configuration says
  double rho;               // of Karras' and the polyexponential schedule
  int64_t count;            // steps
};

/// One row of the table of schedules that k-diffusion's users know, over the model's whole range. Their levels are not
/// those of diffusers' classes of the same name.
struct LevelScheduleEntry {
  std::string_view name;  // of the configuration's field sigma_schedule
  std::string_view source;
  /// Falling, the last one where the run ends: 0, or for some the least level.
  std::vector<double> (*levels)(const LevelRequest& request);
  bool is_published = false;  // numbers made for Stable Diffusion's range, whatever the model's
};
std::span<const LevelScheduleEntry> level_schedules();

/// Levels of a run, and the standard deviation of its first noise.
struct Levels {
  std::vector<double> sigmas;
  double init_noise_sigma;
};

/// Reads sigma_schedule (a name of level_schedules()) or sigmas (a list), with sigma_min, sigma_max, rho,
/// discard_next_to_last_sigma and init_noise ("sigma_max", A1111's; "variance", √(σ² + 1), ComfyUI's). Nothing when the
/// configuration has neither.
/// @param edm  Karras' preconditioning: the schedule is "karras" unless said, the range kEdmRange
/// @throws Error{BadFile} for levels that do not fall, or are not positive; Error{Unsupported} with edm for schedules that
///         are published numbers
std::optional<Levels> read_level_schedule(const Fields& config, const SigmaTable& table, bool edm,
                                          int64_t count);

}  // namespace limn::schedulers
