// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/heun.h"

#include <ATen/TensorOperators.h>

#include "limn/schedulers/alpha_scheduler.h"

namespace limn::schedulers {
namespace {

/// Each value but the first stands for two calls: the second of one step and the first of the next.
template <typename Value>
std::vector<Value> doubled(const std::vector<Value>& values, size_t count) {
  std::vector<Value> out{values.front()};
  for (size_t i = 1; i < count; ++i) out.insert(out.end(), 2, values[i]);
  return out;
}

}  // namespace

Heun::Heun(const Fields& config, const RunSettings& settings)
    : SigmaScheduler(config, settings,
                     {.noise = {.beta_start = 0.00085,
                                .beta_end = 0.012,
                                .zero_snr = zero_snr_of_levels(config),
                                .beta_schedules = {"linear", "scaled_linear", "squaredcos_cap_v2", "exp"}}}),
      limits_{{}, read_clip(config, false)} {
  std::vector<float> levels = doubled(sigmas(), sigmas().size() - 1);
  levels.push_back(sigmas().back());
  set_tables(doubled(timesteps(), timesteps().size()), std::move(levels));
}

at::Tensor Heun::step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                      const NoiseSource&) {
  check_same_shape(model_output, sample);
  const float sigma = sigmas().at(i);
  const at::Tensor x0 = limits_.apply(to_original(model_output, sample, sigma));
  const at::Tensor derivative = (sample - x0) / sigma;
  if (!derivative_.defined()) {
    derivative_ = derivative;
    start_ = sample;
    length_ = sigmas().at(i + 1) - sigma;
    return sample + derivative * length_;
  }
  const at::Tensor next = start_ + (derivative_ + derivative) / 2 * length_;
  derivative_.reset();
  start_.reset();
  return next;
}

}  // namespace limn::schedulers
