// SPDX-License-Identifier: Apache-2.0
#include <ATen/TensorOperators.h>

#include "limn/schedulers/sampler_scheduler.h"

namespace limn::schedulers {

/// Euler's steps: Karras et al. 2022, alg. 2 without churn; for models with Karras' preconditioning.
SamplerRun sample_euler_edm(at::Tensor x, SamplerSettings s) {
  for (size_t i = 0; i + 1 < s.sigmas.size(); ++i) {
    const double sigma = s.sigmas[i], next = s.sigmas[i + 1];
    const Question ask_a{x, sigma};
    const Answer a = co_await ask_a;
    x = a.sample + (a.sample - a.denoised) / sigma * (next - sigma);
  }
  co_return x;
}

/// The model's clean picture at each step, with fresh noise: Luo et al. 2023, alg. 1, as k-diffusion's users write it.
SamplerRun sample_lcm(at::Tensor x, SamplerSettings s) {
  for (size_t i = 0; i + 1 < s.sigmas.size(); ++i) {
    const double sigma = s.sigmas[i], next = s.sigmas[i + 1];
    const Question ask_a{x, sigma};
    const Answer a = co_await ask_a;
    x = a.denoised;
    if (next > 0) x = x + s.noise(sigma, next) * next;
  }
  co_return x;
}

}  // namespace limn::schedulers
