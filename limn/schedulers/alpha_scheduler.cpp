// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/alpha_scheduler.h"

#include <cmath>

#include <ATen/TensorOperators.h>

#include "limn/base/error.h"

namespace limn::schedulers {
namespace {

std::string text_of(at::IntArrayRef shape) {
  std::string out;
  for (int64_t n : shape) out += (out.empty() ? "" : ", ") + std::to_string(n);
  return "[" + out + "]";
}

}  // namespace

AlphaScheduler::AlphaScheduler(const Fields& config, const RunSettings& settings,
                               const NoiseDefaults& defaults)
    : schedule_(read_noise_schedule(config, defaults)),
      spacing_(read_timestep_spacing(config, "leading")),
      prediction_(read_prediction(config, {"epsilon", "v_prediction", "sample"})),
      num_inference_steps_(settings.num_inference_steps),
      where_(config.where()) {}

std::vector<double> AlphaScheduler::spaced_timesteps() const {
  std::vector<double> out = timesteps_to_zero(spacing_, num_train_timesteps(), num_inference_steps_);
  for (double& timestep : out) timestep = std::nearbyint(timestep);
  return out;
}

void AlphaScheduler::set_timesteps(std::vector<double> timesteps) {
  for (double timestep : timesteps)
    if (!(timestep >= 0 && timestep < static_cast<double>(num_train_timesteps())))
      throw Error(ErrorCode::InvalidArgument, where_ + ": steps_offset",
                  "timestep " + std::to_string(static_cast<int64_t>(timestep)) + " is outside 0 to " +
                      std::to_string(num_train_timesteps() - 1),
                  "ask for fewer steps");
  timesteps_ = std::move(timesteps);
}

float AlphaScheduler::alpha_at(int64_t timestep) const {
  if (timestep < 0 || timestep >= num_train_timesteps())
    throw Error(ErrorCode::Unsupported, where_ + ": steps_offset",
                "the step needs timestep " + std::to_string(timestep) + ", the model was trained with " +
                    std::to_string(num_train_timesteps()));
  return schedule_.alphas_cumprod[static_cast<size_t>(timestep)];
}

at::Tensor AlphaScheduler::to_original(const at::Tensor& model_output, const at::Tensor& sample,
                                       float alpha) const {
  const float signal = std::sqrt(alpha), noise = std::sqrt(1.0f - alpha);
  if (prediction_ == Prediction::Sample) return model_output;
  if (prediction_ == Prediction::VPrediction) return signal * sample - noise * model_output;
  return (sample - noise * model_output) / signal;
}

at::Tensor AlphaScheduler::add_noise(const at::Tensor& original, const at::Tensor& noise, size_t i) const {
  const float alpha = alpha_at(static_cast<int64_t>(timesteps_.at(i)));
  return std::sqrt(alpha) * original + std::sqrt(1.0f - alpha) * noise;
}

Prediction read_prediction(const Fields& config, std::initializer_list<std::string_view> allowed) {
  return prediction_of(config.one_of("prediction_type", "epsilon", allowed));
}

void check_same_shape(const at::Tensor& model_output, const at::Tensor& sample) {
  if (model_output.sizes() != sample.sizes())
    throw Error(ErrorCode::Unsupported, "model output",
                "expected the shape of the sample, " + text_of(sample.sizes()) + ", found " +
                    text_of(model_output.sizes()),
                "this scheduler takes no predicted variance");
}

}  // namespace limn::schedulers
