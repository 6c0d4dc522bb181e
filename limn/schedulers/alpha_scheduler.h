// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "limn/schedulers/noise_schedule.h"
#include "limn/schedulers/sample_limits.h"
#include "limn/schedulers/scheduler.h"

namespace limn::schedulers {

/// What DDIM, DDPM and PNDM share: samples of unit variance, whole timesteps, ᾱ looked up at the timestep.
class AlphaScheduler : public Scheduler {
 public:
  const std::vector<double>& timesteps() const override { return timesteps_; }
  double init_noise_sigma() const override { return 1.0; }
  at::Tensor scale_model_input(const at::Tensor& sample, size_t) const override { return sample; }
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, size_t i) const override;

 protected:
  AlphaScheduler(const Fields& config, const RunSettings& settings, const NoiseDefaults& defaults);

  /// Rounded timesteps, falling.
  std::vector<double> spaced_timesteps() const;
  /// @throws Error{BadFile} when a timestep is outside the table
  void set_timesteps(std::vector<double> timesteps);
  float alpha_at(int64_t timestep) const;
  /// ᾱ at a timestep, `final` below 0.
  float alpha_or(int64_t timestep, float final) const { return timestep < 0 ? final : alpha_at(timestep); }
  /// The clean sample that a model output means, before limits.
  at::Tensor to_original(const at::Tensor& model_output, const at::Tensor& sample, float alpha) const;

  int64_t num_train_timesteps() const { return schedule_.num_train_timesteps(); }
  int64_t num_inference_steps() const { return num_inference_steps_; }
  Prediction prediction() const { return prediction_; }
  float first_alpha() const { return schedule_.alphas_cumprod.front(); }

 private:
  NoiseSchedule schedule_;
  TimestepSpacing spacing_;
  Prediction prediction_;
  int64_t num_inference_steps_;
  std::string where_;
  std::vector<double> timesteps_;
};

/// @throws Error{Unsupported} at "prediction_type" unless it is one of `allowed`
Prediction read_prediction(const Fields& config, std::initializer_list<std::string_view> allowed);

/// @throws Error{Unsupported} unless the model's output has the shape of its input
void check_same_shape(const at::Tensor& model_output, const at::Tensor& sample);

}  // namespace limn::schedulers
