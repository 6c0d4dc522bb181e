// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/dpm_solver_multistep.h"

#include <cmath>

#include <ATen/TensorOperators.h>

#include "limn/base/error.h"
#include "limn/schedulers/alpha_scheduler.h"

namespace limn::schedulers {
namespace {

constexpr int64_t kLearnedVarianceChannels = 3;  // of the mean: diffusers knows pixel models only

}  // namespace

DpmSolverMultistep::DpmSolverMultistep(const Fields& config, const RunSettings& settings)
    : MultistepScheduler(config, settings,
                         {.reads_lu = true,
                          .reads_lambda_min_clipped = true,
                          .cosine_keeps_fractions = true,
                          .repeats_last_sigma = false}) {
  const std::string algorithm =
      config.one_of("algorithm_type", "dpmsolver++",
                    {"dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++", "deis"});
  // Names that stand in other solvers' configurations mean this solver's default.
  const std::string solver =
      config.one_of("solver_type", "midpoint", {"midpoint", "heun", "logrho", "bh1", "bh2"});
  predicts_x0_ = algorithm.ends_with("++") || algorithm == "deis";
  is_stochastic_ = algorithm.starts_with("sde-");
  is_midpoint_ = solver != "heun";
  euler_at_final_ = config.boolean("euler_at_final", false);
  learns_variance_ = config.has("variance_type") &&
                     config.one_of("variance_type", "", {"learned", "learned_range"}).starts_with("learned");
  if (!algorithm.ends_with("++") && ends_at_zero())
    throw Error(ErrorCode::Unsupported, config.where() + ": final_sigmas_type",
                "'zero' does not go with algorithm_type '" + algorithm + "'", "set it to 'sigma_min'");
  if (algorithm == "sde-dpmsolver" && solver_order() == 3)
    throw Error(ErrorCode::Unsupported, config.where() + ": solver_order",
                "3 does not go with 'sde-dpmsolver'", "set it to 2");
}

at::Tensor DpmSolverMultistep::converted(const at::Tensor& model_output, const at::Tensor& sample,
                                         const Level& at) const {
  if (predicts_x0_) return to_original(model_output, sample, at);
  const at::Tensor epsilon = to_epsilon(model_output, sample, at);
  if (!limits().thresholding) return epsilon;
  const at::Tensor x0 = limits().apply((sample - at.sigma * epsilon) / at.alpha);
  return (sample - at.alpha * x0) / at.sigma;
}

DpmSolverMultistep::Weights DpmSolverMultistep::weights(const Level& from, const Level& to,
                                                        int64_t order) const {
  const float h = to.lambda - from.lambda;
  const bool midpoint = is_midpoint_ && order == 2;
  if (predicts_x0_ && is_stochastic_) {
    const float e = 1.0f - std::exp(-2.0f * h);
    return {.sample = to.sigma / from.sigma * std::exp(-h),
            .d0 = to.alpha * e,
            .d1 = midpoint ? 0.5f * (to.alpha * e) : to.alpha * (e / (-2.0f * h) + 1.0f),
            .d2 = to.alpha * ((e - 2.0f * h) / (2.0f * h * (2.0f * h)) - 0.5f),
            .noise = to.sigma * std::sqrt(e)};
  }
  if (predicts_x0_) {
    const float e = std::exp(-h) - 1.0f;
    return {.sample = to.sigma / from.sigma,
            .d0 = -(to.alpha * e),
            .d1 = midpoint ? -0.5f * (to.alpha * e) : to.alpha * (e / h + 1.0f),
            .d2 = -(to.alpha * ((e + h) / (h * h) - 0.5f)),
            .noise = 0};
  }
  const float e = std::exp(h) - 1.0f;
  const float twice = is_stochastic_ ? 2.0f : 1.0f;
  return {.sample = to.alpha / from.alpha,
          .d0 = -twice * (to.sigma * e),
          .d1 = midpoint ? -0.5f * twice * (to.sigma * e) : -twice * (to.sigma * (e / h - 1.0f)),
          .d2 = -(to.sigma * ((e - h) / (h * h) - 0.5f)),
          .noise = to.sigma * std::sqrt(std::exp(2.0f * h) - 1.0f)};
}

at::Tensor DpmSolverMultistep::step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                                    const NoiseSource& noise) {
  const at::Tensor output = learns_variance_ && model_output.size(1) > kLearnedVarianceChannels
                                ? model_output.narrow(1, 0, kLearnedVarianceChannels)
                                : model_output;
  check_same_shape(output, sample);
  const Level from = level(i), to = level(i + 1);
  remember(converted(output, sample, from));
  const bool is_last = i + 1 == timesteps().size();
  const int64_t order = is_last && (euler_at_final_ || ends_at_zero()) ? 1 : order_of_step(i);
  const Weights w = weights(from, to, order);

  const auto& m = outputs();
  at::Tensor next = w.sample * sample + w.d0 * m[0];
  if (order > 1) {
    const float h = to.lambda - from.lambda;
    const float r0 = (from.lambda - level(i - 1).lambda) / h;
    at::Tensor d1 = 1.0f / r0 * (m[0] - m[1]);
    at::Tensor d2;
    if (order > 2) {
      const float r1 = (level(i - 1).lambda - level(i - 2).lambda) / h;
      const at::Tensor change = d1 - 1.0f / r1 * (m[1] - m[2]);
      d1 = d1 + r0 / (r0 + r1) * change;
      d2 = 1.0f / (r0 + r1) * change;
    }
    next = next + w.d1 * d1;
    if (d2.defined()) next = next + w.d2 * d2;
  }
  return is_stochastic_ ? next + w.noise * noise.draw(sample.sizes()) : next;
}

}  // namespace limn::schedulers
