// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "limn/schedulers/noise_schedule.h"
#include "limn/schedulers/sample_limits.h"
#include "limn/schedulers/scheduler.h"
#include "limn/schedulers/sigma_schedule.h"

namespace limn::schedulers {

/// Where classes of MultistepScheduler differ in what they read.
struct MultistepDefaults {
  ZeroSnr zero_snr = ZeroSnr::Finite;
  bool reads_lu = false;
  bool reads_lambda_min_clipped = false;
  bool cosine_keeps_fractions = false;  // converted timesteps of the cosine schedule are cut, not rounded
  bool repeats_last_sigma = true;  // a converted schedule that ends at sigma_min repeats its own last level
  bool always_ends_at_sigma_min = false;
};

/// What DPM-Solver, UniPC and DEIS share: samples of unit variance, whole timesteps, levels in λ = log(α /
/// σ).
class MultistepScheduler : public Scheduler {
 public:
  const std::vector<double>& timesteps() const override { return timesteps_; }
  double init_noise_sigma() const override { return 1.0; }
  at::Tensor scale_model_input(const at::Tensor& sample, size_t) const override { return sample; }
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, size_t i) const override;

 protected:
  /// A noise level: sample = alpha · x₀ + sigma · ε.
  struct Level {
    float alpha, sigma, lambda;
    float rho() const { return sigma / alpha; }
  };

  MultistepScheduler(const Fields& config, const RunSettings& settings, const MultistepDefaults& defaults);

  Level level(size_t i) const;  // at most timesteps().size()
  at::Tensor to_original(const at::Tensor& model_output, const at::Tensor& sample, const Level& at) const;
  at::Tensor to_epsilon(const at::Tensor& model_output, const at::Tensor& sample, const Level& at) const;

  /// outputs()[0] is the latest; at most solver_order are kept.
  void remember(const at::Tensor& output);
  const std::deque<at::Tensor>& outputs() const { return outputs_; }
  int64_t solver_order() const { return solver_order_; }
  /// The order of this step: at most that of the solver, of the history, and, in a short run whose last steps
  /// are to be stable (lower_order_final), of what is left.
  int64_t order_of_step(size_t i) const;
  bool lower_order_final() const { return lower_order_final_; }
  bool ends_at_zero() const { return sigmas_.back() == 0; }
  const SampleLimits& limits() const { return limits_; }

 private:
  void fill_tables(const Fields& config, int64_t count, const MultistepDefaults& defaults);

  NoiseSchedule schedule_;
  TimestepSpacing spacing_;
  Prediction prediction_;
  SampleLimits limits_;
  int64_t solver_order_;
  bool lower_order_final_;
  std::vector<double> timesteps_;
  std::vector<float> sigmas_;
  std::deque<at::Tensor> outputs_;
};

}  // namespace limn::schedulers
