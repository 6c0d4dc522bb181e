// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/ddim.h"

#include <cmath>

#include <ATen/TensorOperators.h>

#include "limn/base/error.h"

namespace limn::schedulers {

Ddim::Ddim(const Fields& config, const RunSettings& settings)
    : AlphaScheduler(config, settings, {.zero_snr = ZeroSnr::Exact}),
      limits_{read_thresholding(config), read_clip(config, true)},
      final_alpha_(config.boolean("set_alpha_to_one", true) ? 1.0f : first_alpha()),
      eta_(settings.eta) {
  if (!(eta_ >= 0 && std::isfinite(eta_)))
    throw Error(ErrorCode::InvalidArgument, "eta", "expected a number of at least 0");
  set_timesteps(spaced_timesteps());
}

// The noise in the sample, from the model's output as it came: limits on x₀ do not change it.
at::Tensor Ddim::noise_of(const at::Tensor& model_output, const at::Tensor& sample, float alpha) const {
  const float signal = std::sqrt(alpha), noise = std::sqrt(1.0f - alpha);
  if (prediction() == Prediction::Epsilon) return model_output;
  if (prediction() == Prediction::VPrediction) return signal * model_output + noise * sample;
  return (sample - signal * model_output) / noise;
}

at::Tensor Ddim::step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                      const NoiseSource& noise) {
  check_same_shape(model_output, sample);
  const auto timestep = static_cast<int64_t>(timesteps().at(i));
  const float alpha = alpha_at(timestep);
  const float alpha_next = alpha_or(timestep - num_train_timesteps() / num_inference_steps(), final_alpha_);

  const float variance = (1.0f - alpha_next) / (1.0f - alpha) * (1.0f - alpha / alpha_next);
  const float deviation = static_cast<float>(eta_) * std::sqrt(variance);
  const at::Tensor x0 = limits_.apply(to_original(model_output, sample, alpha));
  const float direction = std::sqrt(1.0f - alpha_next - deviation * deviation);
  const at::Tensor next = std::sqrt(alpha_next) * x0 + direction * noise_of(model_output, sample, alpha);
  return eta_ > 0 ? next + deviation * noise.draw(model_output.sizes()) : next;
}

}  // namespace limn::schedulers
