// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "limn/schedulers/alpha_scheduler.h"

namespace limn::schedulers {

/// Strategic stochastic sampling of a trajectory consistency model; η is the paper's γ.
/// Source: Zheng et al. 2024 (TCD), alg. 4.
class Tcd : public AlphaScheduler {
 public:
  static constexpr std::string_view kFields[] = {"num_train_timesteps",
                                                 "beta_start",
                                                 "beta_end",
                                                 "beta_schedule",
                                                 "trained_betas",
                                                 "original_inference_steps",
                                                 "prediction_type",
                                                 "rescale_betas_zero_snr",
                                                 "zero_snr_alpha"};
  Tcd(const Fields& config, const RunSettings& settings);
  at::Tensor step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                  const NoiseSource& noise) override;

 private:
  double eta_;
};

}  // namespace limn::schedulers
