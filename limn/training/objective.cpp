// SPDX-License-Identifier: Apache-2.0
#include "limn/training/objective.h"

#include <algorithm>
#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/tensor.h>

#include "limn/base/named_table.h"
#include "limn/schedulers/noise_schedule.h"
#include "limn/training/random.h"

namespace limn::training {
namespace {

constexpr Choice kPredictions[] = {
    {"epsilon", "Ho et al. 2020, eq. 14"},
    {"v_prediction", "Salimans & Ho 2022, eq. 11"},
    {"sample", "Ho et al. 2020, §3.2: the clean picture"},
    {"flow", "Lipman et al. 2023, eq. 23; Esser et al. 2024, eq. 13: noise minus picture"},
};
constexpr Choice kWeightings[] = {
    {"none", "every noise level the same"},
    {"min_snr", "Hang et al. 2023, §3.4"},
    {"p2", "Choi et al. 2022, eq. 8"},
    {"debiased", "Yu et al. 2023, eq. 9"},
};
constexpr Choice kSamplers[] = {
    {"uniform", "each sample by itself"},
    {"low_discrepancy", "Kingma et al. 2021, appendix I.1: spread evenly over the batch"},
    {"logit_normal", "Esser et al. 2024, eq. 19"},
};
constexpr double kDebiasedMaxSnr = 1000;

/// Φ⁻¹ by Newton's method on erfc: smooth and exact to double precision, which is all that is needed here.
double normal_quantile(double p) {
  double x = 0;
  for (int i = 0; i < 60; ++i) {
    const double error = 0.5 * std::erfc(-x / std::sqrt(2.0)) - p;
    const double density = std::exp(-x * x / 2) / std::sqrt(2 * 3.141592653589793);
    const double step = error / std::max(density, 1e-12);
    x -= std::clamp(step, -1.0, 1.0);
    if (std::abs(step) < 1e-13) break;
  }
  return x;
}

at::Tensor per_sample(const at::Tensor& values) { return values.view({-1, 1, 1, 1}); }

}  // namespace

std::span<const Choice> predictions() { return kPredictions; }
std::span<const Choice> loss_weightings() { return kWeightings; }
std::span<const Choice> timestep_samplers() { return kSamplers; }

Objective::Objective(const ObjectiveConfig& config, const json::object& scheduler_config,
                     const std::string& where)
    : config_(config) {
  find_named(predictions(), config.prediction, "objective.prediction");
  find_named(loss_weightings(), config.weighting, "objective.weighting");
  find_named(timestep_samplers(), config.timesteps, "objective.timesteps");
  flow_ = config.prediction == "flow";
  if (flow_ && config.weighting != "none")
    throw Error(ErrorCode::InvalidArgument, "objective.weighting",
                "'" + config.weighting +
                    "' weighs by the signal-to-noise ratio of a diffusion; flow matching has none",
                "use objective.timesteps = \"logit_normal\"");
  if (config.prediction == "epsilon" && config.weighting == "min_snr" &&
      Fields(scheduler_config, where).boolean("rescale_betas_zero_snr", false))
    throw Error(ErrorCode::InvalidArgument, "objective.prediction",
                "epsilon cannot be learnt at zero terminal SNR, where the input is noise alone (Lin et al. "
                "2023, §3.2)",
                "use v_prediction or sample");
  const auto schedule = schedulers::read_noise_schedule(
      Fields(scheduler_config, where),
      {.beta_start = 0.00085, .beta_end = 0.012, .zero_snr = schedulers::ZeroSnr::Exact});
  alphas_cumprod_ = at::tensor(schedule.alphas_cumprod);
}

at::Tensor Objective::draw_levels(uint64_t seed, uint64_t first, int64_t count, int64_t global_batch) const {
  const at::Tensor out = at::empty({count}, at::kFloat);
  auto* data = out.mutable_data_ptr<float>();
  const auto steps = static_cast<double>(num_train_timesteps());
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t index = first + static_cast<uint64_t>(i);
    double u = uniform(seed, Stream::Timestep, index);
    if (config_.timesteps == "low_discrepancy") {
      const auto batch = static_cast<uint64_t>(global_batch);
      const double start = uniform(seed, Stream::Timestep, index / batch);
      const double at = start + static_cast<double>(index % batch) / static_cast<double>(batch);
      u = at - std::floor(at);
    } else if (config_.timesteps == "logit_normal") {
      const double normal = normal_quantile(std::clamp(u, 1e-9, 1 - 1e-9));
      u = 1 / (1 + std::exp(-(config_.logit_mean + config_.logit_std * normal)));
    }
    data[i] =
        static_cast<float>(flow_ ? std::clamp(u, 1e-5, 1.0) : std::min(std::floor(u * steps), steps - 1));
  }
  return out;
}

at::Tensor Objective::draw_noise(uint64_t seed, uint64_t first, int64_t count, at::IntArrayRef shape) const {
  const at::Tensor noise = normal_rows(seed, Stream::Noise, first, count, shape);
  if (config_.offset_noise == 0) return noise;
  // Guttenberg 2023, "Diffusion with offset noise": a shift of each whole channel.
  return noise +
         config_.offset_noise * normal_rows(seed ^ 0x0ff5e7, Stream::Noise, first, count, {shape[0], 1, 1});
}

at::Tensor Objective::weights_of(const at::Tensor& snr) const {
  const bool v = config_.prediction == "v_prediction", epsilon = config_.prediction == "epsilon";
  if (config_.weighting == "min_snr") {
    const at::Tensor capped = snr.clamp_max(config_.snr_gamma);
    return epsilon ? capped / snr : v ? capped / (snr + 1) : capped;
  }
  if (config_.weighting == "p2") return (config_.p2_k + snr).pow(-config_.p2_gamma);
  if (config_.weighting == "debiased") return snr.clamp_max(kDebiasedMaxSnr).rsqrt();
  return at::ones_like(snr);
}

Objective::Rates Objective::rates_at(const at::Tensor& levels) const {
  const at::Tensor alpha = alphas_cumprod_.to(levels.device()).index_select(0, levels.to(at::kLong));
  return {alpha, per_sample(alpha.sqrt()), per_sample((1 - alpha).sqrt())};
}

at::Tensor Objective::mixed_at(const Meaning& meaning, const at::Tensor& levels) const {
  const Rates rates = rates_at(levels);
  return rates.signal * meaning.latents + rates.noise * meaning.noise;
}

Meaning Objective::meaning_of(const at::Tensor& output, const at::Tensor& sample,
                              const at::Tensor& levels) const {
  LIMN_CHECK(!flow_, "flow matching has no noise schedule");
  const Rates rates = rates_at(levels);
  if (config_.prediction == "v_prediction")
    return {rates.signal * sample - rates.noise * output, rates.signal * output + rates.noise * sample};
  if (config_.prediction == "epsilon") return {(sample - rates.noise * output) / rates.signal, output};
  return {output, (sample - rates.signal * output) / rates.noise};
}

NoisedBatch Objective::noised(const at::Tensor& latents, const at::Tensor& noise,
                              const at::Tensor& levels) const {
  NoisedBatch out;
  if (flow_) {
    const at::Tensor sigma = per_sample(levels);
    out.sample = (1 - sigma) * latents + sigma * noise;
    out.target = noise - latents;
    out.timesteps = levels * static_cast<double>(num_train_timesteps());
    out.weights = at::ones_like(levels);
    return out;
  }
  const auto [alpha, signal, sigma] = rates_at(levels);
  out.sample = signal * latents + sigma * noise;
  out.target = config_.prediction == "epsilon"  ? noise
               : config_.prediction == "sample" ? latents
                                                : signal * noise - sigma * latents;
  out.timesteps = levels;
  out.weights = weights_of(alpha / (1 - alpha));
  return out;
}

at::Tensor weighted_mse(const at::Tensor& output, const NoisedBatch& batch) {
  const at::Tensor each = (output.to(at::kFloat) - batch.target).square().flatten(1).mean(1);
  return (each * batch.weights).mean();
}

}  // namespace limn::training
