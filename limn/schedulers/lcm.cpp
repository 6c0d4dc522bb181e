// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/lcm.h"

#include <cmath>

#include <ATen/TensorOperators.h>

#include "limn/base/error.h"

namespace limn::schedulers {

std::vector<double> distilled_timesteps(const Fields& config, int64_t train, int64_t count) {
  const int64_t original = config.integer("original_inference_steps", 50, 1, train);
  if (count < 1 || count > original)
    throw Error(ErrorCode::InvalidArgument, "num_inference_steps",
                "expected 1 to " + std::to_string(original) +
                    ", the steps the model was distilled on; found " + std::to_string(count));
  std::vector<double> out;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t place = i * original / count;
    out.push_back(static_cast<double>((original - place) * (train / original) - 1));
  }
  return out;
}

Lcm::Lcm(const Fields& config, const RunSettings& settings)
    : AlphaScheduler(config, settings,
                     {.beta_start = 0.00085, .beta_end = 0.012, .zero_snr = ZeroSnr::Exact}),
      limits_{read_thresholding(config), read_clip(config, false)},
      timestep_scaling_(config.number("timestep_scaling", 10)) {
  set_timesteps(distilled_timesteps(config, num_train_timesteps(), num_inference_steps()));
}

at::Tensor Lcm::step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                     const NoiseSource& noise) {
  check_same_shape(model_output, sample);
  constexpr double kSigmaData = 0.5;  // Song et al. 2023, appendix C
  const double t = timesteps().at(i) * timestep_scaling_;
  const double all = t * t + kSigmaData * kSigmaData;
  const at::Tensor x0 =
      limits_.apply(to_original(model_output, sample, alpha_at(static_cast<int64_t>(timesteps()[i]))));
  const at::Tensor denoised = t / std::sqrt(all) * x0 + kSigmaData * kSigmaData / all * sample;
  if (i + 1 == timesteps().size()) return denoised;
  const float next = alpha_at(static_cast<int64_t>(timesteps()[i + 1]));
  return std::sqrt(next) * denoised + std::sqrt(1.0f - next) * noise.draw(sample.sizes());
}

}  // namespace limn::schedulers
