// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/multistep_scheduler.h"

#include <algorithm>
#include <cmath>

#include <ATen/TensorOperators.h>

#include "limn/base/error.h"
#include "limn/schedulers/alpha_scheduler.h"

namespace limn::schedulers {
namespace {

constexpr size_t kShortRun = 15;  // steps; below it lower_order_final holds

/// The first timestep stays below this: λ of all others is at least lambda_min_clipped.
int64_t last_timestep(const Fields& config, const NoiseSchedule& schedule) {
  const int64_t train = schedule.num_train_timesteps();
  const json::value* value = config.find("lambda_min_clipped");
  if (!value || (value->is_double() && value->as_double() == -INFINITY)) return train;
  const auto least = static_cast<float>(config.number("lambda_min_clipped", 0));
  const auto clipped =
      std::count_if(schedule.alphas_cumprod.begin(), schedule.alphas_cumprod.end(),
                    [&](float a) { return std::log(std::sqrt(a)) - std::log(std::sqrt(1.0f - a)) < least; });
  if (clipped > train - 2)
    throw Error(ErrorCode::BadFile, config.where() + ": lambda_min_clipped",
                "clips the whole noise schedule");
  return train - clipped;
}

void refuse_flow(const Fields& config) {
  for (const char* key : {"use_flow_sigmas", "use_dynamic_shifting"})
    if (config.boolean(key, false))
      throw Error(ErrorCode::Unsupported, config.where() + ": " + key, "flow matching is not supported",
                  "set it to false for a diffusion model");
}

}  // namespace

MultistepScheduler::MultistepScheduler(const Fields& config, const RunSettings& settings,
                                       const MultistepDefaults& defaults)
    : schedule_(read_noise_schedule(config, {.zero_snr = defaults.zero_snr})),
      spacing_(read_timestep_spacing(config, "linspace")),
      prediction_(read_prediction(config, {"epsilon", "v_prediction", "sample"})),
      limits_{read_thresholding(config), {}},
      solver_order_(config.integer("solver_order", 2)),
      lower_order_final_(config.boolean("lower_order_final", true)) {
  if (solver_order_ < 1 || solver_order_ > 3)
    throw Error(ErrorCode::Unsupported, config.where() + ": solver_order",
                "expected 1 to 3, found " + std::to_string(solver_order_));
  refuse_flow(config);
  fill_tables(config, settings.num_inference_steps, defaults);
}

void MultistepScheduler::fill_tables(const Fields& config, int64_t count, const MultistepDefaults& defaults) {
  const int64_t train = schedule_.num_train_timesteps();
  const int64_t last = defaults.reads_lambda_min_clipped ? last_timestep(config, schedule_) : train;
  timesteps_ = timesteps_above_zero(spacing_, train, last, count);

  const SigmaTable table(schedule_.sigmas());
  const SigmaSpacing spacing = read_sigma_spacing(config, defaults.reads_lu);
  std::vector<double> sigmas;
  if (spacing == SigmaSpacing::Timesteps) {
    for (double timestep : timesteps_) sigmas.push_back(table.sigma_at(timestep));
  } else {
    const bool rounds = (spacing == SigmaSpacing::Karras || spacing == SigmaSpacing::Lu) &&
                        !(defaults.cosine_keeps_fractions && schedule_.beta_schedule == "squaredcos_cap_v2");
    sigmas = spacing == SigmaSpacing::Lu
                 ? table.lu_sigmas(count)
                 : spaced_sigmas(spacing, read_sigma_range(config, table.range()), count);
    timesteps_.clear();
    for (double sigma : sigmas) {
      const double timestep = table.timestep_of(sigma);
      timesteps_.push_back(rounds ? std::nearbyint(timestep) : std::trunc(timestep));
    }
  }
  const bool ends_at_zero = !defaults.always_ends_at_sigma_min &&
                            config.one_of("final_sigmas_type", "zero", {"zero", "sigma_min"}) == "zero";
  const bool repeats = defaults.repeats_last_sigma && spacing != SigmaSpacing::Timesteps;
  sigmas_ = with_final(sigmas, ends_at_zero ? 0.0 : repeats ? sigmas.back() : table.range().least);
}

MultistepScheduler::Level MultistepScheduler::level(size_t i) const {
  const float sigma = sigmas_.at(i);
  const float alpha = 1.0f / std::sqrt(sigma * sigma + 1.0f);
  const float scaled = sigma * alpha;
  return {alpha, scaled, std::log(alpha) - std::log(scaled)};
}

at::Tensor MultistepScheduler::add_noise(const at::Tensor& original, const at::Tensor& noise,
                                         size_t i) const {
  const Level at = level(i);
  return at.alpha * original + at.sigma * noise;
}

at::Tensor MultistepScheduler::to_original(const at::Tensor& model_output, const at::Tensor& sample,
                                           const Level& at) const {
  if (prediction_ == Prediction::Sample) return limits_.apply(model_output);
  if (prediction_ == Prediction::VPrediction)
    return limits_.apply(at.alpha * sample - at.sigma * model_output);
  return limits_.apply((sample - at.sigma * model_output) / at.alpha);
}

at::Tensor MultistepScheduler::to_epsilon(const at::Tensor& model_output, const at::Tensor& sample,
                                          const Level& at) const {
  if (prediction_ == Prediction::Sample) return (sample - at.alpha * model_output) / at.sigma;
  if (prediction_ == Prediction::VPrediction) return at.alpha * model_output + at.sigma * sample;
  return model_output;
}

void MultistepScheduler::remember(const at::Tensor& output) {
  outputs_.push_front(output);
  if (static_cast<int64_t>(outputs_.size()) > solver_order_) outputs_.pop_back();
}

int64_t MultistepScheduler::order_of_step(size_t i) const {
  const auto left = static_cast<int64_t>(timesteps_.size() - i);
  const bool limited = lower_order_final_ && timesteps_.size() < kShortRun;
  const int64_t most = limited ? std::min(solver_order_, left) : solver_order_;
  return std::min(most, static_cast<int64_t>(outputs_.size()));
}

}  // namespace limn::schedulers
