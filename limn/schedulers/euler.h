// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "limn/schedulers/sigma_scheduler.h"

namespace limn::schedulers {

/// Euler's method on the probability flow.
/// Source: Karras et al. 2022, algorithm 2 with Euler steps and no churn.
class Euler : public SigmaScheduler {
 public:
  static constexpr std::string_view kFields[] = {"num_train_timesteps",
                                                 "beta_start",
                                                 "beta_end",
                                                 "beta_schedule",
                                                 "trained_betas",
                                                 "prediction_type",
                                                 "interpolation_type",
                                                 "use_karras_sigmas",
                                                 "use_exponential_sigmas",
                                                 "use_beta_sigmas",
                                                 "sigma_min",
                                                 "sigma_max",
                                                 "timestep_spacing",
                                                 "timestep_type",
                                                 "steps_offset",
                                                 "rescale_betas_zero_snr",
                                                 "zero_snr_alpha",
                                                 "final_sigmas_type",
                                                 "sigma_schedule",
                                                 "sigmas",
                                                 "rho",
                                                 "discard_next_to_last_sigma",
                                                 "init_noise",
                                                 "sigma_data"};
  Euler(const Fields& config, const RunSettings& settings);
  at::Tensor step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                  const NoiseSource& noise) override;
};

}  // namespace limn::schedulers
