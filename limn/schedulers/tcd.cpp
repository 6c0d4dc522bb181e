// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/tcd.h"

#include <cmath>

#include <ATen/TensorOperators.h>

#include "limn/base/error.h"
#include "limn/schedulers/lcm.h"

namespace limn::schedulers {

Tcd::Tcd(const Fields& config, const RunSettings& settings)
    : AlphaScheduler(config, settings,
                     {.beta_start = 0.00085, .beta_end = 0.012, .zero_snr = ZeroSnr::Exact}),
      eta_(settings.eta.value_or(0)) {
  if (!(eta_ >= 0 && eta_ <= 1))
    throw Error(ErrorCode::InvalidArgument, "eta", "expected a number from 0 to 1");
  set_timesteps(distilled_timesteps(config, num_train_timesteps(), num_inference_steps()));
}

at::Tensor Tcd::step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                     const NoiseSource& noise) {
  check_same_shape(model_output, sample);
  const bool last = i + 1 == timesteps().size();
  const double next_timestep = last ? 0 : timesteps()[i + 1];
  const float alpha = alpha_at(static_cast<int64_t>(timesteps().at(i)));
  const float alpha_next = alpha_at(static_cast<int64_t>(next_timestep));
  const float alpha_s = alpha_at(static_cast<int64_t>(std::floor((1 - eta_) * next_timestep)));
  const at::Tensor x0 = to_original(model_output, sample, alpha);
  const at::Tensor epsilon = prediction() == Prediction::Epsilon
                                 ? model_output
                                 : (sample - std::sqrt(alpha) * x0) / std::sqrt(1.0f - alpha);
  const at::Tensor at_s = std::sqrt(alpha_s) * x0 + std::sqrt(1.0f - alpha_s) * epsilon;
  if (last || eta_ == 0) return at_s;
  const float kept = alpha_next / alpha_s;
  return std::sqrt(kept) * at_s + std::sqrt(1.0f - kept) * noise.draw(sample.sizes());
}

}  // namespace limn::schedulers
