// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "limn/schedulers/multistep_scheduler.h"

namespace limn::schedulers {

/// Diffusion exponential integrator of order 1 to 3: polynomials in log ρ, ρ = σ / α.
/// Source: Zhang & Chen 2023, equations 13 to 15 ("log-rho", tAB-DEIS).
class Deis : public MultistepScheduler {
 public:
  static constexpr std::string_view kFields[] = {"num_train_timesteps",
                                                 "beta_start",
                                                 "beta_end",
                                                 "beta_schedule",
                                                 "trained_betas",
                                                 "solver_order",
                                                 "prediction_type",
                                                 "thresholding",
                                                 "algorithm_type",
                                                 "solver_type",
                                                 "dynamic_thresholding_ratio",
                                                 "sample_max_value",
                                                 "lower_order_final",
                                                 "use_karras_sigmas",
                                                 "use_beta_sigmas",
                                                 "use_exponential_sigmas",
                                                 "use_flow_sigmas",
                                                 "flow_shift",
                                                 "timestep_spacing",
                                                 "steps_offset",
                                                 "use_dynamic_shifting",
                                                 "time_shift_type",
                                                 "sigma_min",
                                                 "sigma_max"};
  Deis(const Fields& config, const RunSettings& settings);
  at::Tensor step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                  const NoiseSource& noise) override;
};

}  // namespace limn::schedulers
