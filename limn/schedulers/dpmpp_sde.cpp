// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/log.h>
#include <ATen/ops/scalar_tensor.h>

#include "limn/schedulers/sampler_scheduler.h"

namespace limn::schedulers {
namespace {

// The Brownian motion is asked at levels that went through log and exp in float32, as in k-diffusion: another last bit
// is another increment.
float log_of(float sigma) { return at::log(at::scalar_tensor(sigma, at::kFloat)).item<float>(); }
float exp_of(float t) { return at::exp(at::scalar_tensor(t, at::kFloat)).item<float>(); }

}  // namespace

/// Stochastic DPM-Solver++ of second order: k-diffusion's sample_dpmpp_sde with r = ½.
SamplerRun sample_dpmpp_sde(at::Tensor x, SamplerSettings s) {
  for (size_t i = 0; i + 1 < s.sigmas.size(); ++i) {
    const double sigma = s.sigmas[i], next = s.sigmas[i + 1];
    const Question ask_first{x, sigma};
    const Answer first = co_await ask_first;
    if (next == 0) {
      x = first.sample + (first.sample - first.denoised) / sigma * (next - sigma);
      continue;
    }
    const float t = -log_of(static_cast<float>(sigma)), t_next = -log_of(static_cast<float>(next));
    const float t_middle = t + (t_next - t) * 0.5F;
    const float from = exp_of(-t), middle = exp_of(-t_middle), to = exp_of(-t_next);

    const auto [down, up] = ancestral_step(from, middle, s.eta);
    at::Tensor half = down / from * first.sample - (down / from - 1) * first.denoised;
    half = half + s.noise(from, middle) * up;
    const Question ask_second{half, middle};
    const Answer second = co_await ask_second;

    const auto [end, noise] = ancestral_step(from, to, s.eta);
    x = end / from * first.sample - (end / from - 1) * second.denoised + s.noise(from, to) * noise;
  }
  co_return x;
}

}  // namespace limn::schedulers
