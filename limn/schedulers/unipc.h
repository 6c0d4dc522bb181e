// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "limn/schedulers/multistep_scheduler.h"

namespace limn::schedulers {

/// Unified predictor-corrector: each model call first corrects the step that led to it.
/// Source: Zhao et al. 2023, algorithms 1 and 2, appendix E for coefficients.
class UniPc : public MultistepScheduler {
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
                                                 "predict_x0",
                                                 "solver_type",
                                                 "lower_order_final",
                                                 "disable_corrector",
                                                 "solver_p",
                                                 "use_karras_sigmas",
                                                 "use_exponential_sigmas",
                                                 "use_beta_sigmas",
                                                 "use_flow_sigmas",
                                                 "flow_shift",
                                                 "timestep_spacing",
                                                 "steps_offset",
                                                 "final_sigmas_type",
                                                 "rescale_betas_zero_snr",
                                                 "use_dynamic_shifting",
                                                 "time_shift_type",
                                                 "sigma_min",
                                                 "sigma_max",
                                                 "shift_terminal"};
  UniPc(const Fields& config, const RunSettings& settings);
  at::Tensor step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                  const NoiseSource& noise) override;

 private:
  struct Update;
  Update prepare(size_t from, size_t to, const at::Tensor& sample, int64_t order) const;
  at::Tensor predict(size_t i, const at::Tensor& sample, int64_t order) const;
  at::Tensor correct(size_t i, const at::Tensor& output, int64_t order) const;

  bool predicts_x0_;
  bool is_bh1_;
  std::vector<int64_t> disable_corrector_;  // steps that are not corrected
  at::Tensor last_sample_;                  // what the last step started from
  int64_t last_order_ = 0;
};

}  // namespace limn::schedulers
