// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numbers>

#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/maximum.h>

#include "limn/schedulers/sampler_scheduler.h"

namespace limn::schedulers {
namespace {

// DPM-Solver with t = −log σ: Lu et al. 2022 (DPM-Solver), alg. 1 to 4; k-diffusion's DPMSolver.

double sigma_of(double t) { return std::exp(-t); }

/// Combines what a step of each order knows. e: the model's noise at t; e1, e2: at t + r·h.
at::Tensor first_order(const at::Tensor& x, double to, double h, const at::Tensor& e) {
  return x - sigma_of(to) * std::expm1(h) * e;
}
at::Tensor second_order(const at::Tensor& x, double to, double h, double r1, const at::Tensor& e,
                        const at::Tensor& e1) {
  return first_order(x, to, h, e) - sigma_of(to) / (2 * r1) * std::expm1(h) * (e1 - e);
}
at::Tensor third_order(const at::Tensor& x, double to, double h, double r2, const at::Tensor& e,
                       const at::Tensor& e2) {
  return first_order(x, to, h, e) - sigma_of(to) / r2 * (std::expm1(h) / h - 1) * (e2 - e);
}
/// Where a third-order step asks for the third time.
at::Tensor third_place(const at::Tensor& x, double t, double h, double r1, double r2, const at::Tensor& e,
                       const at::Tensor& e1) {
  const double part = r2 * h, s2 = sigma_of(t + part);
  return x - s2 * std::expm1(part) * e - s2 * (r2 / r1) * (std::expm1(part) / part - 1) * (e1 - e);
}

/// The end of an ancestral step and the noise that brings it up again.
struct Target {
  double t, up;
};
Target target_of(double t, double next, double end, double eta) {
  if (eta == 0) return {next, 0};
  const double reached = std::min(end, -std::log(ancestral_step(sigma_of(t), sigma_of(next), eta).down));
  const double low = sigma_of(reached), high = sigma_of(next);
  return {reached, std::sqrt(std::max(high * high - low * low, 0.0))};
}

/// The lowest positive level.
double least_of(const std::vector<double>& sigmas) {
  return sigmas.back() > 0 ? sigmas.back() : sigmas[sigmas.size() - 2];
}

}  // namespace

/// As many model calls as the schedule has steps, in steps of third order: k-diffusion's sample_dpm_fast.
SamplerRun sample_dpm_fast(at::Tensor x, SamplerSettings s) {
  const auto calls = static_cast<int64_t>(s.sigmas.size()) - 1;
  const double start = -std::log(s.sigmas.front()), end = -std::log(least_of(s.sigmas));
  const int64_t steps = calls / 3 + 1;
  std::vector<int64_t> orders(static_cast<size_t>(steps), 3);
  orders.back() = calls % 3;
  if (calls % 3 == 0) {
    orders.pop_back();
    orders.back() = 2;
    orders.push_back(1);
  }
  for (int64_t i = 0; i < steps; ++i) {
    const auto place = [&](int64_t k) {
      return start + (end - start) * static_cast<double>(k) / static_cast<double>(steps);
    };
    const double t = place(i), next = place(i + 1);
    const Target target = target_of(t, next, end, s.eta);
    const double h = target.t - t;
    const int64_t order = orders[static_cast<size_t>(i)];
    const Question ask_a{x, sigma_of(t)};
    const Answer a = co_await ask_a;
    x = a.sample;
    const at::Tensor e = (a.sample - a.denoised) / sigma_of(t);
    if (order == 1) {
      x = first_order(x, target.t, h, e);
    } else {
      const double r1 = order == 2 ? 0.5 : 1.0 / 3, s1 = t + r1 * h;
      const at::Tensor u1 = x - sigma_of(s1) * std::expm1(r1 * h) * e;
      const Question ask_b{u1, sigma_of(s1)};
      const Answer b = co_await ask_b;
      const at::Tensor e1 = (b.sample - b.denoised) / sigma_of(s1);
      if (order == 2) {
        x = second_order(x, target.t, h, r1, e, e1);
      } else {
        const double r2 = 2.0 / 3, s2 = t + r2 * h;
        const at::Tensor u2 = third_place(x, t, h, r1, r2, e, e1);
        const Question ask_c{u2, sigma_of(s2)};
        const Answer c = co_await ask_c;
        x = third_order(x, target.t, h, r2, e, (c.sample - c.denoised) / sigma_of(s2));
      }
    }
    if (target.up > 0) x = x + s.noise(sigma_of(t), sigma_of(next)) * target.up;
  }
  co_return x;
}

/// Steps of third order as long as the second-order result agrees: k-diffusion's sample_dpm_adaptive.
SamplerRun sample_dpm_adaptive(at::Tensor x, SamplerSettings s) {
  constexpr double kRelative = 0.05, kAbsolute = 0.0078, kFirst = 0.05, kAccept = 0.81, kDone = 1e-5;
  constexpr double kR1 = 1.0 / 3, kR2 = 2.0 / 3;
  const double end = -std::log(least_of(s.sigmas)), order = s.eta > 0 ? 1.5 : 3.0;
  double t = -std::log(s.sigmas.front()), length = kFirst;
  at::Tensor low_before = x;
  while (t < end - kDone) {
    const double next = std::min(end, t + length);
    const Target target = target_of(t, next, end, s.eta);
    const double h = target.t - t, s1 = t + kR1 * h, s2 = t + kR2 * h;
    const Question ask_a{x, sigma_of(t)};
    const Answer a = co_await ask_a;
    const at::Tensor e = (a.sample - a.denoised) / sigma_of(t);
    const at::Tensor u1 = a.sample - sigma_of(s1) * std::expm1(kR1 * h) * e;
    const Question ask_b{u1, sigma_of(s1)};
    const Answer b = co_await ask_b;
    const at::Tensor e1 = (b.sample - b.denoised) / sigma_of(s1);
    const at::Tensor low = second_order(a.sample, target.t, h, kR1, e, e1);
    const at::Tensor u2 = third_place(a.sample, t, h, kR1, kR2, e, e1);
    const Question ask_c{u2, sigma_of(s2)};
    const Answer c = co_await ask_c;
    const at::Tensor high =
        third_order(a.sample, target.t, h, kR2, e, (c.sample - c.denoised) / sigma_of(s2));

    const at::Tensor allowed = (kRelative * at::maximum(low.abs(), low_before.abs())).clamp_min(kAbsolute);
    const double error = at::linalg_vector_norm((low - high) / allowed).item<double>() /
                         std::sqrt(static_cast<double>(x.numel()));
    // Söderlind 2003: an integral controller whose factor is held near 1.
    const double factor = 1 + std::atan(std::pow(1 / (error + 1e-8), 1 / order) - 1);
    if (factor >= kAccept) {
      low_before = low;
      x = high;
      if (target.up > 0) x = x + s.noise(sigma_of(t), sigma_of(next)) * target.up;
      t = next;
    }
    length *= factor;
  }
  co_return x;
}

}  // namespace limn::schedulers
