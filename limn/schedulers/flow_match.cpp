// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/flow_match.h"

#include <ATen/TensorOperators.h>

#include "limn/base/error.h"
#include "limn/schedulers/alpha_scheduler.h"
#include "limn/schedulers/noise_schedule.h"
#include "limn/schedulers/sigma_schedule.h"

namespace limn::schedulers {
namespace {

double shifted(double sigma, double shift) { return shift * sigma / (1 + (shift - 1) * sigma); }

/// From pure noise to the least level that was trained, evenly, shifted. diffusers shifts that least level twice.
std::vector<double> levels_of(double shift, double train_steps, int64_t count) {
  const double least = static_cast<float>(shifted(1 / train_steps, shift));
  std::vector<double> out;
  for (int64_t i = 0; i < count; ++i) {
    const double share = count == 1 ? 0 : static_cast<double>(i) / static_cast<double>(count - 1);
    out.push_back(shifted(1 + share * (least - 1), shift));
  }
  return out;
}

/// Stretched so that the last level is `terminal`.
void end_at(std::vector<double>& sigmas, double terminal) {
  const double scale = (1 - sigmas.back()) / (1 - terminal);
  for (double& sigma : sigmas) sigma = 1 - (1 - sigma) / scale;
}

template <typename Value>
std::vector<Value> doubled_but_first(const std::vector<Value>& values) {
  std::vector<Value> out{values.front()};
  for (size_t i = 1; i < values.size(); ++i) out.insert(out.end(), 2, values[i]);
  return out;
}

}  // namespace

FlowMatch::FlowMatch(const Fields& config, const RunSettings& settings) {
  const double shift = config.number("shift", 1.0);
  const auto train_steps = static_cast<double>(config.integer("num_train_timesteps", 1000, 1, 1'000'000));
  if (!(shift > 0)) throw Error(ErrorCode::BadFile, config.where() + ": shift", "expected a number above 0");
  if (config.boolean("use_dynamic_shifting", false))
    throw Error(ErrorCode::Unsupported, config.where() + ": use_dynamic_shifting",
                "a shift that depends on the picture's size is not supported", "set shift instead");
  if (config.boolean("invert_sigmas", false))
    throw Error(ErrorCode::Unsupported, config.where() + ": invert_sigmas",
                "models that count from the picture to the noise are not supported");
  check_count(settings.num_inference_steps, static_cast<int64_t>(train_steps));
  std::vector<double> sigmas = levels_of(shift, train_steps, settings.num_inference_steps);
  if (const auto terminal = config.optional_number("shift_terminal"); terminal && *terminal != 0) {
    if (!(*terminal > 0 && *terminal < 1) || sigmas.size() < 2)
      throw Error(ErrorCode::BadFile, config.where() + ": shift_terminal",
                  "expected a number between 0 and 1, and at least 2 steps");
    end_at(sigmas, *terminal);
  }
  if (const SigmaSpacing spacing = read_sigma_spacing(config); spacing != SigmaSpacing::Timesteps)
    sigmas = spaced_sigmas(spacing, {sigmas.front(), sigmas.back()}, settings.num_inference_steps);
  sigmas_ = with_final(sigmas, 0);
  for (size_t i = 0; i + 1 < sigmas_.size(); ++i)
    timesteps_.push_back(sigmas_[i] * static_cast<float>(train_steps));
}

at::Tensor FlowMatch::add_noise(const at::Tensor& original, const at::Tensor& noise, size_t i) const {
  const float sigma = sigmas_.at(i);
  return sigma * noise + (1.0F - sigma) * original;
}

FlowMatchEuler::FlowMatchEuler(const Fields& config, const RunSettings& settings)
    : FlowMatch(config, settings), stochastic_(config.boolean("stochastic_sampling", false)) {}

at::Tensor FlowMatchEuler::step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                                const NoiseSource& noise) {
  check_same_shape(model_output, sample);
  const float sigma = sigmas_.at(i), next = sigmas_.at(i + 1);
  if (!stochastic_) return sample + (next - sigma) * model_output;
  const at::Tensor x0 = sample - sigma * model_output;
  return (1.0F - next) * x0 + next * noise.draw(sample.sizes());
}

FlowMatchHeun::FlowMatchHeun(const Fields& config, const RunSettings& settings)
    : FlowMatch(config, settings) {
  timesteps_ = doubled_but_first(timesteps_);
  const float last = sigmas_.back();
  sigmas_.pop_back();
  sigmas_ = doubled_but_first(sigmas_);
  sigmas_.push_back(last);
}

at::Tensor FlowMatchHeun::step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                               const NoiseSource&) {
  check_same_shape(model_output, sample);
  const float sigma = sigmas_.at(i);
  // By way of the clean picture, as diffusers: near σ = 0 its rounding shows.
  const at::Tensor velocity = (sample - (sample - model_output * sigma)) / sigma;
  if (!velocity_.defined()) {
    velocity_ = velocity;
    start_ = sample;
    length_ = sigmas_.at(i + 1) - sigma;
    return sample + velocity * length_;
  }
  const at::Tensor next = start_ + 0.5 * (velocity_ + velocity) * length_;
  velocity_.reset();
  start_.reset();
  return next;
}

}  // namespace limn::schedulers
