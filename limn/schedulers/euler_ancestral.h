// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "limn/schedulers/sigma_scheduler.h"

namespace limn::schedulers {

/// An Euler step to below the next level, then fresh noise up to it.
/// Source: ancestral sampling of Katherine Crowson's k-diffusion; the split of σ is Song et al. 2021 (SDE),
/// appendix F.
class EulerAncestral : public SigmaScheduler {
 public:
  static constexpr std::string_view kFields[] = {"num_train_timesteps",
                                                 "beta_start",
                                                 "beta_end",
                                                 "beta_schedule",
                                                 "trained_betas",
                                                 "prediction_type",
                                                 "timestep_spacing",
                                                 "steps_offset",
                                                 "rescale_betas_zero_snr",
                                                 "zero_snr_alpha",
                                                 "sigma_schedule",
                                                 "sigmas",
                                                 "sigma_min",
                                                 "sigma_max",
                                                 "rho",
                                                 "discard_next_to_last_sigma",
                                                 "init_noise",
                                                 "sigma_data"};
  EulerAncestral(const Fields& config, const RunSettings& settings);
  at::Tensor step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                  const NoiseSource& noise) override;

 private:
  float eta_;  // share of fresh noise
};

}  // namespace limn::schedulers
