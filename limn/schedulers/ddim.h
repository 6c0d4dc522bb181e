// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "limn/schedulers/alpha_scheduler.h"

namespace limn::schedulers {

/// Denoising diffusion implicit models; η of the run adds noise, 1 being as much as DDPM.
/// Source: Song et al. 2021, equations 12 and 16. a1111_grid: A1111's timesteps, which end at 1 and not at the clean
/// picture; cfg_pp: the noise is that of the unconditional output (Chung et al. 2024, alg. 2).
class Ddim : public AlphaScheduler {
 public:
  static constexpr std::string_view kFields[] = {"num_train_timesteps",
                                                 "beta_start",
                                                 "beta_end",
                                                 "beta_schedule",
                                                 "trained_betas",
                                                 "clip_sample",
                                                 "set_alpha_to_one",
                                                 "steps_offset",
                                                 "prediction_type",
                                                 "thresholding",
                                                 "sample_max_value",
                                                 "timestep_spacing",
                                                 "clip_sample_range",
                                                 "dynamic_thresholding_ratio",
                                                 "rescale_betas_zero_snr",
                                                 "zero_snr_alpha",
                                                 "a1111_grid",
                                                 "cfg_pp"};
  Ddim(const Fields& config, const RunSettings& settings);
  at::Tensor step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                  const NoiseSource& noise) override;
  bool reads_unconditional() const override { return is_cfg_pp_; }
  void set_unconditional(const at::Tensor& unconditional) override { unconditional_ = unconditional; }

 private:
  int64_t timestep_after(size_t i) const;
  at::Tensor noise_of(const at::Tensor& model_output, const at::Tensor& sample, float alpha) const;

  SampleLimits limits_;
  float final_alpha_;
  double eta_;
  bool has_a1111_grid_, is_cfg_pp_;
  at::Tensor unconditional_;
};

}  // namespace limn::schedulers
