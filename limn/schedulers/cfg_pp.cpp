// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <ATen/TensorOperators.h>

#include "limn/schedulers/sampler_scheduler.h"

namespace limn::schedulers {

// CFG++ (Chung et al. 2024, alg. 2): the guided picture, and the noise that the unconditional one leaves.

SamplerRun sample_euler_cfg_pp(at::Tensor x, SamplerSettings s) {
  for (size_t i = 0; i + 1 < s.sigmas.size(); ++i) {
    const double sigma = s.sigmas[i], next = s.sigmas[i + 1];
    const Question ask_a{x, sigma};
    const Answer a = co_await ask_a;
    x = a.denoised + (a.sample - a.unconditional) / sigma * next;
  }
  co_return x;
}

SamplerRun sample_euler_ancestral_cfg_pp(at::Tensor x, SamplerSettings s) {
  for (size_t i = 0; i + 1 < s.sigmas.size(); ++i) {
    const double sigma = s.sigmas[i], next = s.sigmas[i + 1];
    const auto [down, up] = ancestral_step(sigma, next, s.eta);
    const Question ask_a{x, sigma};
    const Answer a = co_await ask_a;
    x = a.denoised + (a.sample - a.unconditional) / sigma * down;
    if (next > 0) x = x + s.noise(sigma, next) * up;
  }
  co_return x;
}

/// DPM-Solver++(2S) from the sample moved by what the prompt changed: ComfyUI's.
SamplerRun sample_dpmpp_2s_ancestral_cfg_pp(at::Tensor x, SamplerSettings s) {
  for (size_t i = 0; i + 1 < s.sigmas.size(); ++i) {
    const double sigma = s.sigmas[i], next = s.sigmas[i + 1];
    const auto [down, up] = ancestral_step(sigma, next, s.eta);
    const Question ask_first{x, sigma};
    const Answer first = co_await ask_first;
    if (down == 0) {
      x = first.denoised;
    } else {
      const double h = std::log(sigma / down), middle = std::sqrt(sigma * down);
      const at::Tensor moved = first.sample + (first.denoised - first.unconditional);
      const at::Tensor half = middle / sigma * moved - std::expm1(-h / 2) * first.denoised;
      const Question ask_second{half, middle};
      const Answer second = co_await ask_second;
      x = down / sigma * moved - std::expm1(-h) * second.denoised;
    }
    if (next > 0) x = x + s.noise(sigma, next) * up;
  }
  co_return x;
}

/// DPM-Solver++(2M) whose steps carry the unconditional picture's noise.
SamplerRun sample_dpmpp_2m_cfg_pp(at::Tensor x, SamplerSettings s) {
  at::Tensor before;  // the unconditional picture of the step before
  for (size_t i = 0; i + 1 < s.sigmas.size(); ++i) {
    const double sigma = s.sigmas[i], next = s.sigmas[i + 1];
    const Question ask_a{x, sigma};
    const Answer a = co_await ask_a;
    const double kept = next / sigma;  // exp(−h)
    at::Tensor mixed = -kept * a.unconditional;
    if (before.defined() && next > 0) {
      const double r = std::log(s.sigmas[i - 1] / sigma) / std::log(sigma / next);
      mixed = mixed + (1 - kept) / (2 * r) * (a.denoised - before);
    }
    x = a.denoised + mixed + kept * a.sample;
    before = a.unconditional;
  }
  co_return x;
}

}  // namespace limn::schedulers
