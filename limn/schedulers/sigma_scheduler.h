// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "limn/schedulers/noise_schedule.h"
#include "limn/schedulers/scheduler.h"
#include "limn/schedulers/sigma_schedule.h"

namespace limn::schedulers {

/// Where classes of SigmaScheduler differ in what they read.
struct SigmaDefaults {
  NoiseDefaults noise;
  bool reads_sigma_spacing = true;   // use_karras_sigmas and its like
  bool karras_reads_range = true;    // sigma_min and sigma_max hold for Karras, too
  bool reads_interpolation = false;  // interpolation_type
  bool reads_final_sigmas_type = false;
  bool rounds_timesteps = false;     // of converted levels
  bool reads_sigma_schedule = true;  // sigma_schedule, sigmas and what goes with them: see level_schedule.h
  std::initializer_list<std::string_view> predictions = {"epsilon", "v_prediction", "sample"};
};

/// For classes that do not read rescale_betas_zero_snr in diffusers: levels that other programs know hang on it.
ZeroSnr zero_snr_of_levels(const Fields& config);

/// What Euler, Heun and LMS share: samples are x₀ + σ·noise, the model is shown sample / √(σ² + 1).
/// Source: Karras et al. 2022, table 1.
class SigmaScheduler : public Scheduler {
 public:
  const std::vector<double>& timesteps() const override { return timesteps_; }
  double init_noise_sigma() const override;
  at::Tensor scale_model_input(const at::Tensor& sample, size_t i) const override;
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, size_t i) const override;

 protected:
  SigmaScheduler(const Fields& config, const RunSettings& settings, const SigmaDefaults& defaults);

  /// The clean sample that a model output at level σ means.
  at::Tensor to_original(const at::Tensor& model_output, const at::Tensor& sample, float sigma) const;
  /// What the model is shown of a sample at level σ.
  at::Tensor scaled_input(const at::Tensor& sample, double sigma) const;
  /// The timestep the model is asked at for level σ: between those of the training, or ¼ log σ (Karras et al. 2022).
  double timestep_of(double sigma) const;
  /// Whether the levels come from sigma_schedule or sigmas, and not from what diffusers' class does.
  bool follows_levels() const { return init_noise_sigma_.has_value(); }
  /// One more model call, at level σ, before the final level.
  void append_call(double sigma);
  Prediction prediction() const { return prediction_; }
  const std::vector<float>& sigmas() const { return sigmas_; }  // at least one more than timesteps
  void set_tables(std::vector<double> timesteps, std::vector<float> sigmas);

 private:
  void read_levels(const Fields& config, const RunSettings& settings, const SigmaDefaults& defaults);

  NoiseSchedule schedule_;
  TimestepSpacing spacing_;
  Prediction prediction_;
  std::optional<double> sigma_data_;  // with Karras' preconditioning
  SigmaTable table_;
  std::optional<double> init_noise_sigma_;
  std::vector<double> timesteps_;
  std::vector<float> sigmas_;
};

}  // namespace limn::schedulers
