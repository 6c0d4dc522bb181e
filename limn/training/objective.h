// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include "limn/base/json.h"

namespace limn::training {

/// How a denoiser is asked and corrected. A plain value; names are those of the tables below.
struct ObjectiveConfig {
  std::string prediction = "epsilon";
  std::string weighting = "none";
  double snr_gamma = 5;           // of min_snr
  double p2_k = 1, p2_gamma = 1;  // of p2
  std::string timesteps = "uniform";
  double logit_mean = 0, logit_std = 1;  // of logit_normal
  double offset_noise = 0;               // strength
};

/// One row of a table of choices.
struct Choice {
  std::string_view name;
  std::string_view source;  // paper and equation
};
std::span<const Choice> predictions();
std::span<const Choice> loss_weightings();
std::span<const Choice> timestep_samplers();

/// Where one sample is on the way from picture to noise, and what the network should say there.
struct NoisedBatch {
  at::Tensor sample;     // [batch, channels, h, w], the network's input
  at::Tensor timesteps;  // float32 [batch], as the network is told
  at::Tensor target;     // [batch, channels, h, w]
  at::Tensor weights;    // float32 [batch], of each sample's loss
};

/// The picture and the noise that a sample is said to be made of.
struct Meaning {
  at::Tensor latents, noise;  // [batch, channels, h, w]
};

/// The training side of a noise schedule. Immutable.
class Objective {
 public:
  /// @param scheduler_config  as scheduler_config.json: num_train_timesteps, betas, rescale_betas_zero_snr
  /// @throws Error{InvalidArgument} for a name that no table has
  Objective(const ObjectiveConfig& config, const json::object& scheduler_config, const std::string& where);

  /// Levels for samples first … first + count − 1 of a run: timesteps, or σ in (0, 1) for flow matching.
  /// @return  float32 [count]
  at::Tensor draw_levels(uint64_t seed, uint64_t first, int64_t count, int64_t global_batch) const;

  /// Noise of the same samples, with offset noise where it is asked for.
  at::Tensor draw_noise(uint64_t seed, uint64_t first, int64_t count, at::IntArrayRef shape) const;

  /// @param latents, noise  float32 [batch, channels, h, w]
  /// @param levels          of draw_levels
  NoisedBatch noised(const at::Tensor& latents, const at::Tensor& noise, const at::Tensor& levels) const;

  /// The sample that these make at a level.
  at::Tensor mixed_at(const Meaning& meaning, const at::Tensor& levels) const;
  /// What a network's answer to a sample says, by the prediction. Not for flow matching.
  Meaning meaning_of(const at::Tensor& output, const at::Tensor& sample, const at::Tensor& levels) const;

  int64_t num_train_timesteps() const { return alphas_cumprod_.size(0); }
  bool is_flow() const { return flow_; }

 private:
  struct Rates {
    at::Tensor alpha;          // [batch]
    at::Tensor signal, noise;  // √alpha and √(1 − alpha), [batch, 1, 1, 1]
  };
  Rates rates_at(const at::Tensor& levels) const;
  at::Tensor weights_of(const at::Tensor& snr) const;

  ObjectiveConfig config_;
  at::Tensor alphas_cumprod_;  // float32 [timesteps]
  bool flow_ = false;
};

/// Mean over the batch of each sample's weighted mean squared error.
at::Tensor weighted_mse(const at::Tensor& output, const NoisedBatch& batch);

}  // namespace limn::training
