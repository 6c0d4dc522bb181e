// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/euler_ancestral.h"

#include <algorithm>
#include <cmath>

#include <ATen/TensorOperators.h>

#include "limn/schedulers/alpha_scheduler.h"

namespace limn::schedulers {

EulerAncestral::EulerAncestral(const Fields& config, const RunSettings& settings)
    : SigmaScheduler(config, settings,
                     {.noise = {.zero_snr = ZeroSnr::Finite},
                      .reads_sigma_spacing = false,
                      .predictions = {"epsilon", "v_prediction"}}),
      eta_(static_cast<float>(settings.eta.value_or(1))) {}

at::Tensor EulerAncestral::step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                                const NoiseSource& noise) {
  check_same_shape(model_output, sample);
  const float sigma = sigmas().at(i), sigma_next = sigmas().at(i + 1);
  const float variance = sigma * sigma, variance_next = sigma_next * sigma_next;
  const float up =
      std::min(sigma_next, eta_ * std::sqrt(variance_next * (variance - variance_next) / variance));
  const float down = std::sqrt(variance_next - up * up);
  const at::Tensor derivative = (sample - to_original(model_output, sample, sigma)) / sigma;
  return sample + derivative * (down - sigma) + noise.draw(sample.sizes()) * up;
}

}  // namespace limn::schedulers
