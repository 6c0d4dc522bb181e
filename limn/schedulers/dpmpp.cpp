// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <utility>

#include <ATen/TensorOperators.h>

#include "limn/schedulers/sampler_scheduler.h"

namespace limn::schedulers {

// DPM-Solver++ with λ = −log σ (Lu et al. 2022, "DPM-Solver++", alg. 1 and 2) as k-diffusion's samplers write it.

SamplerRun sample_dpmpp_2s_ancestral(at::Tensor x, SamplerSettings s) {
  for (size_t i = 0; i + 1 < s.sigmas.size(); ++i) {
    const double sigma = s.sigmas[i], next = s.sigmas[i + 1];
    const auto [down, up] = ancestral_step(sigma, next, s.eta);
    const Question ask_first{x, sigma};
    const Answer first = co_await ask_first;
    if (down == 0) {
      x = first.sample + (first.sample - first.denoised) / sigma * (down - sigma);
    } else {
      const double h = std::log(sigma / down), middle = std::sqrt(sigma * down);
      const at::Tensor half = middle / sigma * first.sample - std::expm1(-h / 2) * first.denoised;
      const Question ask_second{half, middle};
      const Answer second = co_await ask_second;
      x = down / sigma * first.sample - std::expm1(-h) * second.denoised;
    }
    if (next > 0) x = x + s.noise(sigma, next) * up;
  }
  co_return x;
}

SamplerRun sample_dpmpp_2m(at::Tensor x, SamplerSettings s) {
  at::Tensor before;
  for (size_t i = 0; i + 1 < s.sigmas.size(); ++i) {
    const double sigma = s.sigmas[i], next = s.sigmas[i + 1];
    const Question ask_made{x, sigma};
    const Answer made = co_await ask_made;
    at::Tensor denoised = made.denoised;
    if (before.defined() && next > 0) {
      const double r = std::log(s.sigmas[i - 1] / sigma) / std::log(sigma / next);
      denoised = (1 + 1 / (2 * r)) * made.denoised - 1 / (2 * r) * before;
    }
    x = next / sigma * made.sample - (next / sigma - 1) * denoised;
    before = made.denoised;
  }
  co_return x;
}

namespace {

SamplerRun dpmpp_2m_sde(at::Tensor x, SamplerSettings s, bool heun) {
  at::Tensor before;
  double h_last = 0;
  for (size_t i = 0; i + 1 < s.sigmas.size(); ++i) {
    const double sigma = s.sigmas[i], next = s.sigmas[i + 1];
    const Question ask_made{x, sigma};
    const Answer made = co_await ask_made;
    if (next == 0) {
      x = made.denoised;
      break;
    }
    const double h = std::log(sigma / next), eta_h = s.eta * h, share = -std::expm1(-h - eta_h);
    x = next / sigma * std::exp(-eta_h) * made.sample + share * made.denoised;
    if (before.defined()) {
      const double weight = heun ? share / (-h - eta_h) + 1 : share / 2;
      x = x + weight * (h / h_last) * (made.denoised - before);
    }
    if (s.eta > 0) x = x + s.noise(sigma, next) * (next * std::sqrt(-std::expm1(-2 * eta_h)));
    before = made.denoised;
    h_last = h;
  }
  co_return x;
}

}  // namespace

SamplerRun sample_dpmpp_2m_sde(at::Tensor x, SamplerSettings s) {
  return dpmpp_2m_sde(std::move(x), std::move(s), false);
}
SamplerRun sample_dpmpp_2m_sde_heun(at::Tensor x, SamplerSettings s) {
  return dpmpp_2m_sde(std::move(x), std::move(s), true);
}

SamplerRun sample_dpmpp_3m_sde(at::Tensor x, SamplerSettings s) {
  at::Tensor m1, m2;  // the last answer and the one before
  double h1 = 0, h2 = 0;
  for (size_t i = 0; i + 1 < s.sigmas.size(); ++i) {
    const double sigma = s.sigmas[i], next = s.sigmas[i + 1];
    const Question ask_made{x, sigma};
    const Answer made = co_await ask_made;
    if (next == 0) {
      x = made.denoised;
      break;
    }
    const double h = std::log(sigma / next), h_eta = h * (s.eta + 1);
    const double phi_2 = std::expm1(-h_eta) / h_eta + 1, phi_3 = phi_2 / h_eta - 0.5;
    x = std::exp(-h_eta) * made.sample - std::expm1(-h_eta) * made.denoised;
    if (m2.defined()) {
      const double r0 = h1 / h, r1 = h2 / h;
      const at::Tensor d0 = (made.denoised - m1) / r0, d1 = (m1 - m2) / r1;
      x = x + phi_2 * (d0 + (d0 - d1) * (r0 / (r0 + r1))) - phi_3 * ((d0 - d1) / (r0 + r1));
    } else if (m1.defined()) {
      x = x + phi_2 * ((made.denoised - m1) / (h1 / h));
    }
    if (s.eta > 0) x = x + s.noise(sigma, next) * (next * std::sqrt(-std::expm1(-2 * h * s.eta)));
    m2 = std::exchange(m1, made.denoised);
    h2 = std::exchange(h1, h);
  }
  co_return x;
}

}  // namespace limn::schedulers
