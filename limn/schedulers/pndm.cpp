// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/pndm.h"

#include <algorithm>
#include <cmath>

#include <ATen/TensorOperators.h>

#include "limn/base/error.h"

namespace limn::schedulers {
namespace {

constexpr size_t kOrder = 4;
constexpr size_t kRungeKuttaCalls = 4 * (kOrder - 1);

/// For each of the first three steps: its timestep, twice the one half a stride below, and the next step's.
std::vector<double> runge_kutta_timesteps(const std::vector<double>& falling, int64_t half_stride) {
  std::vector<double> out;
  for (size_t step = 0; step + 1 < kOrder; ++step) {
    const double next = falling[step + 1];
    const double middle = next + static_cast<double>(half_stride);
    out.insert(out.end(), {falling[step], middle, middle, next});
  }
  return out;
}

}  // namespace

Pndm::Pndm(const Fields& config, const RunSettings& settings)
    : AlphaScheduler(config, settings, {}),
      final_alpha_(config.boolean("set_alpha_to_one", false) ? 1.0f : first_alpha()),
      skip_prk_steps_(config.boolean("skip_prk_steps", false)) {
  if (prediction() == Prediction::Sample)
    throw Error(ErrorCode::Unsupported, config.where() + ": prediction_type", "no 'sample'",
                "known: epsilon, v_prediction");
  std::vector<double> timesteps = spaced_timesteps();
  stride_ = num_train_timesteps() / num_inference_steps();
  if (skip_prk_steps_) {
    // The second timestep is asked at twice, so that the first step is of second order.
    if (timesteps.size() > 1) timesteps.insert(timesteps.begin() + 1, timesteps[1]);
  } else {
    if (timesteps.size() < kOrder)
      throw Error(ErrorCode::InvalidArgument, "num_inference_steps",
                  "expected at least 4 steps, found " + std::to_string(timesteps.size()),
                  "or set skip_prk_steps in the scheduler's configuration");
    std::vector<double> all = runge_kutta_timesteps(timesteps, stride_ / 2);
    all.insert(all.end(), timesteps.begin() + kOrder - 1, timesteps.end());
    timesteps = std::move(all);
    runge_kutta_calls_ = kRungeKuttaCalls;
  }
  set_timesteps(std::move(timesteps));
}

at::Tensor Pndm::step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                      const NoiseSource&) {
  check_same_shape(model_output, sample);
  const auto timestep = static_cast<int64_t>(timesteps().at(i));
  const at::Tensor next = calls_ < runge_kutta_calls_ ? step_runge_kutta(model_output, timestep, sample)
                                                      : step_multistep(model_output, timestep, sample);
  ++calls_;
  return next;
}

at::Tensor Pndm::step_runge_kutta(const at::Tensor& model_output, int64_t timestep,
                                  const at::Tensor& sample) {
  const size_t stage = calls_ % 4;
  const int64_t to = timestep - (stage % 2 ? 0 : stride_ / 2);
  const auto from = static_cast<int64_t>(timesteps()[calls_ - stage]);
  at::Tensor estimate = model_output;
  if (stage == 0) {
    weighted_ = (1.0 / 6) * model_output;
    outputs_.push_front(model_output);
    start_ = sample;
  } else if (stage < 3) {
    weighted_ = weighted_ + (1.0 / 3) * model_output;
  } else {
    estimate = weighted_ + (1.0 / 6) * model_output;
  }
  return transfer(start_, from, to, estimate);
}

at::Tensor Pndm::step_multistep(const at::Tensor& model_output, int64_t timestep, const at::Tensor& sample) {
  if (calls_ == 1) {  // the first step once more, with the mean of both ends
    const at::Tensor mean = (model_output + outputs_[0]) / 2;
    return transfer(start_, timestep + stride_, timestep, mean);
  }
  outputs_.push_front(model_output);
  if (outputs_.size() > kOrder) outputs_.pop_back();
  if (calls_ == 0) start_ = sample;
  return transfer(sample, timestep, timestep - stride_, combined(model_output));
}

// Adams-Bashforth of the order that the history allows; Liu et al. 2022, equation 12 for the fourth.
at::Tensor Pndm::combined(const at::Tensor& model_output) const {
  const auto& e = outputs_;
  switch (e.size()) {
    case 1:
      return model_output;
    case 2:
      return (3 * e[0] - e[1]) / 2;
    case 3:
      return (23 * e[0] - 16 * e[1] + 5 * e[2]) / 12;
    default:
      return (1.0 / 24) * (55 * e[0] - 59 * e[1] + 37 * e[2] - 9 * e[3]);
  }
}

at::Tensor Pndm::transfer(const at::Tensor& sample, int64_t from, int64_t to,
                          const at::Tensor& estimate) const {
  const float alpha = alpha_at(from), alpha_next = alpha_or(to, final_alpha_);
  const float noise = 1.0f - alpha, noise_next = 1.0f - alpha_next;
  const at::Tensor epsilon = prediction() == Prediction::VPrediction
                                 ? std::sqrt(alpha) * estimate + std::sqrt(noise) * sample
                                 : estimate;
  const float divisor = alpha * std::sqrt(noise_next) + std::sqrt(alpha * noise * alpha_next);
  return std::sqrt(alpha_next / alpha) * sample - (alpha_next - alpha) * epsilon / divisor;
}

}  // namespace limn::schedulers
