// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "limn/schedulers/sample_limits.h"
#include "limn/schedulers/sigma_scheduler.h"

namespace limn::schedulers {

/// Heun's method on the probability flow: two model calls a step, one for the last.
/// Source: Karras et al. 2022, algorithm 1.
class Heun : public SigmaScheduler {
 public:
  static constexpr std::string_view kFields[] = {"num_train_timesteps",
                                                 "beta_start",
                                                 "beta_end",
                                                 "beta_schedule",
                                                 "trained_betas",
                                                 "prediction_type",
                                                 "use_karras_sigmas",
                                                 "use_exponential_sigmas",
                                                 "use_beta_sigmas",
                                                 "clip_sample",
                                                 "clip_sample_range",
                                                 "timestep_spacing",
                                                 "steps_offset",
                                                 "sigma_min",
                                                 "sigma_max",
                                                 "sigma_schedule",
                                                 "sigmas",
                                                 "rho",
                                                 "discard_next_to_last_sigma",
                                                 "init_noise",
                                                 "sigma_data"};
  Heun(const Fields& config, const RunSettings& settings);
  int64_t order() const override { return 2; }
  at::Tensor step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                  const NoiseSource& noise) override;

 private:
  SampleLimits limits_;
  // Of the step's first call, defined while its second is awaited.
  at::Tensor derivative_, start_;
  float length_ = 0;
};

}  // namespace limn::schedulers
