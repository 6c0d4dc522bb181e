// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <string_view>

#include "limn/schedulers/alpha_scheduler.h"

namespace limn::schedulers {

/// Pseudo numerical methods: three Runge-Kutta steps of four model calls (left out with skip_prk_steps), then
/// linear multistep. A run that starts later than at 0 starts the method afresh there, as diffusers does.
/// Source: Liu et al. 2022, equations 9 to 13; with skip_prk_steps the start of Katherine Crowson's PLMS.
class Pndm : public AlphaScheduler {
 public:
  static constexpr std::string_view kFields[] = {
      "num_train_timesteps", "beta_start",       "beta_end",        "beta_schedule",    "trained_betas",
      "skip_prk_steps",      "set_alpha_to_one", "prediction_type", "timestep_spacing", "steps_offset"};
  Pndm(const Fields& config, const RunSettings& settings);
  at::Tensor step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                  const NoiseSource& noise) override;

 private:
  at::Tensor step_runge_kutta(const at::Tensor& model_output, int64_t timestep, const at::Tensor& sample);
  at::Tensor step_multistep(const at::Tensor& model_output, int64_t timestep, const at::Tensor& sample);
  at::Tensor combined(const at::Tensor& model_output) const;
  /// Equation 9: from one timestep to another along an estimate of the noise.
  at::Tensor transfer(const at::Tensor& sample, int64_t from, int64_t to, const at::Tensor& estimate) const;

  float final_alpha_;
  bool skip_prk_steps_;
  int64_t stride_;                  // training timesteps between two steps
  size_t runge_kutta_calls_ = 0;    // of the schedule, 0 or 12
  size_t calls_ = 0;                // so far in this run
  std::deque<at::Tensor> outputs_;  // latest first, at most four
  at::Tensor start_;                // the sample that calls which belong together start from
  at::Tensor weighted_;             // sum of the Runge-Kutta stages so far
};

}  // namespace limn::schedulers
