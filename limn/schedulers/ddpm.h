// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "limn/schedulers/alpha_scheduler.h"

namespace limn::schedulers {

/// Denoising diffusion probabilistic models: the posterior's mean plus noise.
/// Source: Ho et al. 2020, equation 7; learned variances: Nichol & Dhariwal 2021, equation 15.
class Ddpm : public AlphaScheduler {
 public:
  static constexpr std::string_view kFields[] = {"num_train_timesteps",
                                                 "beta_start",
                                                 "beta_end",
                                                 "beta_schedule",
                                                 "trained_betas",
                                                 "variance_type",
                                                 "clip_sample",
                                                 "steps_offset",
                                                 "prediction_type",
                                                 "thresholding",
                                                 "sample_max_value",
                                                 "timestep_spacing",
                                                 "dynamic_thresholding_ratio",
                                                 "clip_sample_range",
                                                 "rescale_betas_zero_snr"};
  Ddpm(const Fields& config, const RunSettings& settings);
  /// @param model_output  with a learned variance_type twice the channels of the sample: mean, then variance
  at::Tensor step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                  const NoiseSource& noise) override;

 private:
  bool learns_variance() const { return variance_type_.starts_with("learned"); }
  at::Tensor scaled_noise(const at::Tensor& noise, const at::Tensor& predicted, float small,
                          float large) const;

  SampleLimits limits_;
  std::string variance_type_;
};

}  // namespace limn::schedulers
