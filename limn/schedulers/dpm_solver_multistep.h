// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "limn/schedulers/multistep_scheduler.h"

namespace limn::schedulers {

/// DPM-Solver and DPM-Solver++ of order 1 to 3, as ordinary or stochastic differential equation.
/// Source: Lu et al. 2022, DPM-Solver, appendix B, and DPM-Solver++, algorithm 2 and equations 18 and 19.
class DpmSolverMultistep : public MultistepScheduler {
 public:
  static constexpr std::string_view kFields[] = {"num_train_timesteps",
                                                 "beta_start",
                                                 "beta_end",
                                                 "beta_schedule",
                                                 "trained_betas",
                                                 "solver_order",
                                                 "prediction_type",
                                                 "thresholding",
                                                 "dynamic_thresholding_ratio",
                                                 "sample_max_value",
                                                 "algorithm_type",
                                                 "solver_type",
                                                 "lower_order_final",
                                                 "euler_at_final",
                                                 "use_karras_sigmas",
                                                 "use_exponential_sigmas",
                                                 "use_beta_sigmas",
                                                 "use_lu_lambdas",
                                                 "use_flow_sigmas",
                                                 "flow_shift",
                                                 "final_sigmas_type",
                                                 "lambda_min_clipped",
                                                 "variance_type",
                                                 "timestep_spacing",
                                                 "steps_offset",
                                                 "rescale_betas_zero_snr",
                                                 "use_dynamic_shifting",
                                                 "time_shift_type",
                                                 "sigma_min",
                                                 "sigma_max"};
  DpmSolverMultistep(const Fields& config, const RunSettings& settings);
  at::Tensor step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                  const NoiseSource& noise) override;

 private:
  /// What the terms of one step are multiplied by.
  struct Weights {
    float sample, d0, d1, d2, noise;
  };
  Weights weights(const Level& from, const Level& to, int64_t order) const;
  at::Tensor converted(const at::Tensor& model_output, const at::Tensor& sample, const Level& at) const;

  bool predicts_x0_;    // the "++" kinds
  bool is_stochastic_;  // the "sde-" kinds
  bool is_midpoint_;
  bool euler_at_final_;
  bool learns_variance_;
};

}  // namespace limn::schedulers
