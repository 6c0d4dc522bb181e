// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/deis.h"

#include <array>
#include <cmath>

#include <ATen/TensorOperators.h>

#include "limn/schedulers/alpha_scheduler.h"

namespace limn::schedulers {
namespace {

// ∫ of the polynomial in log t that is 1 at b and 0 at c.
float integral(float t, float b, float c) {
  return t * (-std::log(c) + std::log(t) - 1.0f) / (std::log(b) - std::log(c));
}

// The same with zeros at c and d.
float integral(float t, float b, float c, float d) {
  const float lt = std::log(t), lb = std::log(b), lc = std::log(c), ld = std::log(d);
  const float numerator = t * (lc * (ld - lt + 1.0f) - ld * lt + ld + lt * lt - 2.0f * lt + 2.0f);
  return numerator / ((lb - lc) * (lb - ld));
}

}  // namespace

Deis::Deis(const Fields& config, const RunSettings& settings)
    : MultistepScheduler(config, settings, {.zero_snr = ZeroSnr::Ignored, .always_ends_at_sigma_min = true}) {
  // Names that stand in other solvers' configurations mean this solver.
  config.one_of("algorithm_type", "deis", {"deis", "dpmsolver", "dpmsolver++"});
  config.one_of("solver_type", "logrho", {"logrho", "midpoint", "heun", "bh1", "bh2"});
}

at::Tensor Deis::step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                      const NoiseSource&) {
  check_same_shape(model_output, sample);
  const Level from = level(i), to = level(i + 1);
  remember((sample - from.alpha * to_original(model_output, sample, from)) / from.sigma);
  const int64_t order = order_of_step(i);
  const auto& m = outputs();
  if (order == 1) {
    const float h = to.lambda - from.lambda;
    return to.alpha / from.alpha * sample - to.sigma * (std::exp(h) - 1.0f) * m[0];
  }
  const float t = to.rho(), s0 = from.rho(), s1 = level(i - 1).rho();
  if (order == 2) {
    const float c0 = integral(t, s0, s1) - integral(s0, s0, s1);
    const float c1 = integral(t, s1, s0) - integral(s0, s1, s0);
    return to.alpha * (sample / from.alpha + c0 * m[0] + c1 * m[1]);
  }
  const float s2 = level(i - 2).rho();
  const float c0 = integral(t, s0, s1, s2) - integral(s0, s0, s1, s2);
  const float c1 = integral(t, s1, s2, s0) - integral(s0, s1, s2, s0);
  const float c2 = integral(t, s2, s0, s1) - integral(s0, s2, s0, s1);
  return to.alpha * (sample / from.alpha + c0 * m[0] + c1 * m[1] + c2 * m[2]);
}

}  // namespace limn::schedulers
