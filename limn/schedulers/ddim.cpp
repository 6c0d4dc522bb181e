// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/ddim.h"

#include <algorithm>
#include <cmath>

#include <ATen/TensorOperators.h>

#include "limn/base/error.h"

namespace limn::schedulers {
namespace {

constexpr int64_t kLastOfA1111 = 1;  // timestep that A1111's runs end at

/// A1111's timesteps: every (train / count)-th from 1 on, without that one, which the last step ends at.
std::vector<double> a1111_timesteps(int64_t train, int64_t count) {
  check_count(count, train);
  std::vector<double> out;
  const int64_t stride = train / count;
  for (int64_t place = stride; place < train; place += stride)
    out.insert(out.begin(), static_cast<double>(std::min(place + kLastOfA1111, train - 1)));
  if (out.empty())
    throw Error(ErrorCode::InvalidArgument, "num_inference_steps", "expected 2 or more steps, found 1",
                "A1111's DDIM makes one step less than it is asked for");
  return out;
}

}  // namespace

Ddim::Ddim(const Fields& config, const RunSettings& settings)
    : AlphaScheduler(config, settings, {.zero_snr = ZeroSnr::Exact}),
      limits_{read_thresholding(config), read_clip(config, true)},
      final_alpha_(config.boolean("set_alpha_to_one", true) ? 1.0f : first_alpha()),
      eta_(settings.eta.value_or(0)),
      has_a1111_grid_(config.boolean("a1111_grid", false)),
      is_cfg_pp_(config.boolean("cfg_pp", false)) {
  if (!(eta_ >= 0 && std::isfinite(eta_)))
    throw Error(ErrorCode::InvalidArgument, "eta", "expected a number of at least 0");
  set_timesteps(has_a1111_grid_ ? a1111_timesteps(num_train_timesteps(), num_inference_steps())
                                : spaced_timesteps());
}

/// Below 0: the clean sample.
int64_t Ddim::timestep_after(size_t i) const {
  if (!has_a1111_grid_)
    return static_cast<int64_t>(timesteps().at(i)) - num_train_timesteps() / num_inference_steps();
  return i + 1 < timesteps().size() ? static_cast<int64_t>(timesteps()[i + 1]) : kLastOfA1111;
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
  const float alpha_next = alpha_or(timestep_after(i), final_alpha_);

  const float variance = (1.0f - alpha_next) / (1.0f - alpha) * (1.0f - alpha / alpha_next);
  const float deviation = static_cast<float>(eta_) * std::sqrt(variance);
  const at::Tensor x0 = limits_.apply(to_original(model_output, sample, alpha));
  const float direction = std::sqrt(1.0f - alpha_next - deviation * deviation);
  const at::Tensor& noisy = is_cfg_pp_ ? unconditional_ : model_output;
  const at::Tensor next = std::sqrt(alpha_next) * x0 + direction * noise_of(noisy, sample, alpha);
  return eta_ > 0 ? next + deviation * noise.draw(model_output.sizes()) : next;
}

}  // namespace limn::schedulers
