// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "limn/schedulers/scheduler.h"

namespace limn::schedulers {

/// Samplers for models that predict noise minus picture: samples are (1 − σ)·x₀ + σ·noise, timesteps 1000·σ.
/// Source: Lipman et al. 2023, eq. 23; the shift is Esser et al. 2024, eq. 23.
class FlowMatch : public Scheduler {
 public:
  const std::vector<double>& timesteps() const override { return timesteps_; }
  double init_noise_sigma() const override { return 1; }
  at::Tensor scale_model_input(const at::Tensor& sample, size_t) const override { return sample; }
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, size_t i) const override;

 protected:
  FlowMatch(const Fields& config, const RunSettings& settings);
  std::vector<double> timesteps_;
  std::vector<float> sigmas_;  // one more than steps; ends at 0
};

/// Euler's method.
class FlowMatchEuler : public FlowMatch {
 public:
  static constexpr std::string_view kFields[] = {
      "num_train_timesteps",    "shift",           "use_dynamic_shifting",
      "shift_terminal",         "invert_sigmas",   "use_karras_sigmas",
      "use_exponential_sigmas", "use_beta_sigmas", "stochastic_sampling"};
  FlowMatchEuler(const Fields& config, const RunSettings& settings);
  at::Tensor step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                  const NoiseSource& noise) override;

 private:
  bool stochastic_;  // fresh noise at each step, instead of what is left of the old
};

/// Heun's method: two calls a step, but for the last.
class FlowMatchHeun : public FlowMatch {
 public:
  static constexpr std::string_view kFields[] = {"num_train_timesteps", "shift"};
  FlowMatchHeun(const Fields& config, const RunSettings& settings);
  int64_t order() const override { return 2; }
  at::Tensor step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                  const NoiseSource& noise) override;

 private:
  at::Tensor velocity_, start_;  // of the step that is half done
  float length_ = 0;
};

}  // namespace limn::schedulers
