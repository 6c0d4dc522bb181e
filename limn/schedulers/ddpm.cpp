// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/ddpm.h"

#include <algorithm>
#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/sqrt.h>

#include "limn/base/error.h"

namespace limn::schedulers {
namespace {

constexpr float kLeastVariance = 1e-20f;

}  // namespace

// fixed_large_log is left out: diffusers takes the root of a negative logarithm there and returns NaN.
Ddpm::Ddpm(const Fields& config, const RunSettings& settings)
    : AlphaScheduler(
          config, settings,
          {.zero_snr = ZeroSnr::Exact,
           .beta_schedules = {"linear", "scaled_linear", "squaredcos_cap_v2", "laplace", "sigmoid"}}),
      limits_{read_thresholding(config), read_clip(config, true)},
      variance_type_(
          config.one_of("variance_type", "fixed_small",
                        {"fixed_small", "fixed_small_log", "fixed_large", "learned", "learned_range"})) {
  set_timesteps(spaced_timesteps());
}

at::Tensor Ddpm::scaled_noise(const at::Tensor& noise, const at::Tensor& predicted, float small,
                              float large) const {
  if (variance_type_ == "fixed_small") return std::sqrt(small) * noise;
  if (variance_type_ == "fixed_small_log") return std::exp(0.5f * std::log(small)) * noise;
  if (variance_type_ == "fixed_large") return std::sqrt(large) * noise;
  if (variance_type_ == "learned") return at::sqrt(predicted) * noise;
  const at::Tensor fraction = (predicted + 1) / 2;
  return at::exp(0.5 * (fraction * std::log(large) + (1 - fraction) * std::log(small))) * noise;
}

at::Tensor Ddpm::step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                      const NoiseSource& noise) {
  const int64_t channels = sample.size(1);
  if (learns_variance() && model_output.size(1) != 2 * channels)
    throw Error(ErrorCode::Unsupported, "variance_type",
                "'" + variance_type_ + "' expects " + std::to_string(2 * channels) +
                    " channels from the model, found " + std::to_string(model_output.size(1)));
  const at::Tensor output = learns_variance() ? model_output.narrow(1, 0, channels) : model_output;
  check_same_shape(output, sample);

  const auto timestep = static_cast<int64_t>(timesteps().at(i));
  const float alpha = alpha_at(timestep);
  const float alpha_next =
      i + 1 < timesteps().size() ? alpha_at(static_cast<int64_t>(timesteps()[i + 1])) : 1.0f;
  const float noise_share = 1.0f - alpha, noise_share_next = 1.0f - alpha_next;
  const float kept = alpha / alpha_next, beta = 1.0f - kept;

  const at::Tensor x0 = limits_.apply(to_original(output, sample, alpha));
  const float x0_weight = std::sqrt(alpha_next) * beta / noise_share;
  const float sample_weight = std::sqrt(kept) * noise_share_next / noise_share;
  const at::Tensor mean = x0_weight * x0 + sample_weight * sample;
  if (timestep == 0) return mean;

  const float small = std::max(noise_share_next / noise_share * beta, kLeastVariance);
  const at::Tensor predicted = learns_variance() ? model_output.narrow(1, channels, channels) : at::Tensor();
  return mean + scaled_noise(noise.draw(sample.sizes()), predicted, small, beta);
}

}  // namespace limn::schedulers
