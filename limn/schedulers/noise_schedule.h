// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "limn/base/json.h"

namespace limn::schedulers {

/// What a class does with rescale_betas_zero_snr.
enum class ZeroSnr {
  Ignored,
  Exact,   // the last ᾱ becomes 0
  Finite,  // the last ᾱ becomes 2⁻²⁴, so that its σ is 4096 and not infinite
};

/// Where classes differ in what they read and what absent fields mean.
struct NoiseDefaults {
  double beta_start = 0.0001;
  double beta_end = 0.02;
  ZeroSnr zero_snr = ZeroSnr::Ignored;
  std::initializer_list<std::string_view> beta_schedules = {"linear", "scaled_linear", "squaredcos_cap_v2"};
};

/// The forward process a checkpoint was trained with, in the float32 arithmetic of diffusers.
struct NoiseSchedule {
  std::vector<float> alphas_cumprod;  // ᾱ_t, falling, for t = 0 … num_train_timesteps − 1
  std::string beta_schedule;

  int64_t num_train_timesteps() const { return static_cast<int64_t>(alphas_cumprod.size()); }
  /// √((1 − ᾱ) / ᾱ), rising
  std::vector<float> sigmas() const;
};

/// Reads num_train_timesteps, beta_start, beta_end, beta_schedule, trained_betas and, unless ignored,
/// rescale_betas_zero_snr (Lin et al. 2023, algorithm 1), with zero_snr_alpha for another last ᾱ.
/// @throws Error{BadFile} for betas outside (0, 1), Error{Unsupported} for a schedule the class does not know
NoiseSchedule read_noise_schedule(const Fields& config, const NoiseDefaults& defaults);

/// Which training timesteps a run visits: Lin et al. 2023, table 2.
struct TimestepSpacing {
  std::string name;  // "linspace", "leading" or "trailing"
  int64_t steps_offset = 0;
};
TimestepSpacing read_timestep_spacing(const Fields& config, std::string_view fallback);

/// `count` timesteps with both ends of 0 … train − 1 for "linspace", falling; fractions are kept.
/// @throws Error{InvalidArgument} at "num_inference_steps" unless 1 ≤ count ≤ train
std::vector<double> timesteps_to_zero(const TimestepSpacing& spacing, int64_t train, int64_t count);

/// The same of `count` + 1 timesteps without the last, whole numbers: what the multistep solvers use.
/// @param last  the first timestep is below this; train unless the noisy end is clipped
std::vector<double> timesteps_above_zero(const TimestepSpacing& spacing, int64_t train, int64_t last,
                                         int64_t count);

/// @throws Error{InvalidArgument} for fewer steps than 1 or more than `most`, those that were trained
void check_count(int64_t count, int64_t most);

}  // namespace limn::schedulers
