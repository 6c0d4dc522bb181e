// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "limn/schedulers/alpha_scheduler.h"

namespace limn::schedulers {

/// Timesteps of the schedule that a consistency model was distilled on: `original_inference_steps` even ones, of which a
/// run takes `count`, evenly from the last.
/// @throws Error{InvalidArgument} for more steps than there are
std::vector<double> distilled_timesteps(const Fields& config, int64_t train, int64_t count);

/// Multistep sampling of a latent consistency model: Luo et al. 2023, alg. 1; Song et al. 2023, alg. 1.
class Lcm : public AlphaScheduler {
 public:
  static constexpr std::string_view kFields[] = {"num_train_timesteps",
                                                 "beta_start",
                                                 "beta_end",
                                                 "beta_schedule",
                                                 "trained_betas",
                                                 "original_inference_steps",
                                                 "clip_sample",
                                                 "clip_sample_range",
                                                 "prediction_type",
                                                 "thresholding",
                                                 "dynamic_thresholding_ratio",
                                                 "sample_max_value",
                                                 "timestep_scaling",
                                                 "rescale_betas_zero_snr"};
  Lcm(const Fields& config, const RunSettings& settings);
  at::Tensor step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                  const NoiseSource& noise) override;

 private:
  SampleLimits limits_;
  double timestep_scaling_;
};

}  // namespace limn::schedulers
