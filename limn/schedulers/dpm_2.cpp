// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <ATen/TensorOperators.h>

#include "limn/schedulers/sampler_scheduler.h"

namespace limn::schedulers {

// DPM-Solver-2 in Karras' notation: Karras et al. 2022, appendix; k-diffusion's sample_dpm_2 and its ancestral form.

SamplerRun sample_dpm_2(at::Tensor x, SamplerSettings s) {
  for (size_t i = 0; i + 1 < s.sigmas.size(); ++i) {
    const double sigma = s.sigmas[i], next = s.sigmas[i + 1];
    const Question ask_first{x, sigma};
    const Answer first = co_await ask_first;
    const at::Tensor d = (first.sample - first.denoised) / sigma;
    if (next == 0) {
      x = first.sample + d * (next - sigma);
      continue;
    }
    const double middle = std::sqrt(sigma * next);
    const at::Tensor half = first.sample + d * (middle - sigma);
    const Question ask_second{half, middle};
    const Answer second = co_await ask_second;
    x = first.sample + (second.sample - second.denoised) / middle * (next - sigma);
  }
  co_return x;
}

SamplerRun sample_dpm_2_ancestral(at::Tensor x, SamplerSettings s) {
  for (size_t i = 0; i + 1 < s.sigmas.size(); ++i) {
    const double sigma = s.sigmas[i], next = s.sigmas[i + 1];
    const auto [down, up] = ancestral_step(sigma, next, s.eta);
    const Question ask_first{x, sigma};
    const Answer first = co_await ask_first;
    const at::Tensor d = (first.sample - first.denoised) / sigma;
    if (down == 0) {
      x = first.sample + d * (down - sigma);
      continue;
    }
    const double middle = std::sqrt(sigma * down);
    const at::Tensor half = first.sample + d * (middle - sigma);
    const Question ask_second{half, middle};
    const Answer second = co_await ask_second;
    x = first.sample + (second.sample - second.denoised) / middle * (down - sigma) +
        s.noise(sigma, next) * up;
  }
  co_return x;
}

}  // namespace limn::schedulers
