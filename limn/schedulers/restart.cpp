// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include <ATen/TensorOperators.h>

#include "limn/schedulers/sampler_scheduler.h"

namespace limn::schedulers {

namespace {

/// Part of a schedule that is walked again: how often, in how many steps, and up to which level.
struct Restart {
  double least, most;
  int64_t times, steps;
};

/// Karras' levels (Karras et al. 2022, eq. 5, ρ = 7), both ends among them.
std::vector<double> karras(double most, double least, int64_t count) {
  std::vector<double> out;
  constexpr double kRho = 7;
  const double high = std::pow(most, 1 / kRho), low = std::pow(least, 1 / kRho);
  for (int64_t i = 0; i < count; ++i)
    out.push_back(
        std::pow(high + static_cast<double>(i) / static_cast<double>(count - 1) * (low - high), kRho));
  return out;
}

/// A1111's choice: nothing below 20 steps, one or two rounds between σ 0.1 and 2 from there on.
std::vector<std::pair<double, double>> steps_of(std::vector<double> sigmas) {
  constexpr double kLeast = 0.1, kMost = 2;
  constexpr int64_t kFew = 20, kMany = 36;
  auto steps = static_cast<int64_t>(sigmas.size()) - 1;
  std::optional<Restart> restart;
  if (steps >= kFew) {
    const int64_t times = steps >= kMany ? 2 : 1, own = steps >= kMany ? steps / 4 : 9;
    restart = Restart{kLeast, kMost, times, own + 1};
    sigmas = karras(sigmas.front(), sigmas[sigmas.size() - 2], steps - own * times);
    sigmas.push_back(0);
  }
  const auto nearest = [&](double level) {
    return static_cast<size_t>(
        std::ranges::min_element(sigmas, {}, [&](double x) { return std::abs(x - level); }) - sigmas.begin());
  };
  const size_t low = restart ? nearest(restart->least) : 0, high = restart ? nearest(restart->most) : 0;
  std::vector<std::pair<double, double>> out;
  for (size_t i = 0; i + 1 < sigmas.size(); ++i) {
    out.emplace_back(sigmas[i], sigmas[i + 1]);
    if (!restart || i + 1 != low || high >= low) continue;
    const std::vector<double> round = karras(sigmas[high], sigmas[low], restart->steps);
    for (int64_t k = 0; k < restart->times; ++k)
      for (size_t j = 0; j + 1 < round.size(); ++j) out.emplace_back(round[j], round[j + 1]);
  }
  return out;
}

}  // namespace

/// Heun's steps, and back up with fresh noise at the end of a low part, to be walked again: Xu et al. 2023, alg. 1.
SamplerRun sample_restart(at::Tensor x, SamplerSettings s) {
  double last = -1;
  for (const auto& [from, to] : steps_of(s.sigmas)) {
    if (last >= 0 && last < from) x = x + s.noise(last, from) * std::sqrt(from * from - last * last);
    const Question ask_a{x, from};
    const Answer a = co_await ask_a;
    const at::Tensor d = (a.sample - a.denoised) / from;
    x = a.sample + d * (to - from);
    if (to > 0) {
      const Question ask_b{x, to};
      const Answer b = co_await ask_b;
      x = a.sample + (d + (b.sample - b.denoised) / to) / 2 * (to - from);
    }
    last = to;
  }
  co_return x;
}

}  // namespace limn::schedulers
