// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/level_schedule.h"

#include <algorithm>
#include <cmath>

#include <ATen/TensorIndexing.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tensor.h>
#include <boost/math/distributions/beta.hpp>

#include "limn/base/error.h"
#include "limn/base/named_table.h"

namespace limn::schedulers {
namespace {

using Levels_ = std::vector<double>;

/// `count` numbers from `first` to `last`, both ends among them.
Levels_ line(double first, double last, int64_t count) {
  Levels_ out;
  for (int64_t i = 0; i < count; ++i)
    out.push_back(count == 1
                      ? first
                      : first + (last - first) * static_cast<double>(i) / static_cast<double>(count - 1));
  return out;
}

Levels_ with_zero(Levels_ levels) {
  levels.push_back(0);
  return levels;
}

/// Levels made with float32 tensors, as k-diffusion makes them: Brownian noise hangs on their last bits.
Levels_ numbers(const at::Tensor& levels) {
  const at::Tensor flat = levels.to(at::kDouble).contiguous();
  return {flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel()};
}
at::Tensor number(double x) { return at::scalar_tensor(x, at::kFloat); }

/// The first `count` of evenly spaced timesteps, each turned into its level.
Levels_ at_timesteps(const LevelRequest& r, int64_t points) {
  const auto& sigmas = r.table.sigmas();
  const at::Tensor logs = at::tensor(sigmas, at::kFloat).log();
  const at::Tensor t =
      at::linspace(r.table.timestep_of(r.range.most), r.table.timestep_of(r.range.least), points, at::kFloat)
          .slice(0, 0, r.count);
  const at::Tensor low = t.floor().to(at::kLong), high = t.ceil().to(at::kLong), w = t.frac();
  return with_zero(numbers(((1 - w) * logs.index({low}) + w * logs.index({high})).exp()));
}

Levels_ normal(const LevelRequest& r) { return at_timesteps(r, r.count); }
Levels_ sgm_uniform(const LevelRequest& r) { return at_timesteps(r, r.count + 1); }

Levels_ simple(const LevelRequest& r) {
  const auto& sigmas = r.table.sigmas();
  Levels_ out;
  for (int64_t i = 0; i < r.count; ++i) {
    const auto back = static_cast<size_t>(static_cast<double>(i) * static_cast<double>(sigmas.size()) /
                                          static_cast<double>(r.count));
    out.push_back(sigmas[sigmas.size() - 1 - back]);
  }
  return with_zero(out);
}

/// Every n-th timestep from the second one on; sometimes a step more than asked for, as in ComfyUI.
Levels_ ddim_uniform(const LevelRequest& r) {
  const auto& sigmas = r.table.sigmas();
  const size_t stride = std::max<size_t>(sigmas.size() / static_cast<size_t>(r.count), 1);
  Levels_ out{0};
  for (size_t i = 1; i < sigmas.size(); i += stride) out.push_back(sigmas[i]);
  std::ranges::reverse(out);
  return out;
}

Levels_ karras(const LevelRequest& r) {
  const at::Tensor ramp = at::linspace(0, 1, r.count, at::kFloat);
  const at::Tensor low = number(r.range.least).pow(1 / r.rho), high = number(r.range.most).pow(1 / r.rho);
  return with_zero(numbers((high + ramp * (low - high)).pow(r.rho)));
}

Levels_ exponential(const LevelRequest& r) {
  return with_zero(
      numbers(at::linspace(std::log(r.range.most), std::log(r.range.least), r.count, at::kFloat).exp()));
}

Levels_ polyexponential(const LevelRequest& r) {
  const double low = std::log(r.range.least), high = std::log(r.range.most);
  const at::Tensor ramp = at::linspace(1, 0, r.count, at::kFloat).pow(r.rho);
  return with_zero(numbers((ramp * (high - low) + low).exp()));
}

double beta_quantile(double x) {
  constexpr double kShape = 0.6;
  const boost::math::beta_distribution<double> distribution(kShape, kShape);
  return boost::math::quantile(distribution, x);
}

/// ComfyUI's: quantiles of timesteps, those that fall together once.
Levels_ beta(const LevelRequest& r) {
  const auto& sigmas = r.table.sigmas();
  Levels_ out;
  double last = -1;
  for (int64_t i = 0; i < r.count; ++i) {
    const double place =
        std::nearbyint(beta_quantile(1 - static_cast<double>(i) / static_cast<double>(r.count)) *
                       static_cast<double>(sigmas.size() - 1));
    if (place != last) out.push_back(sigmas[static_cast<size_t>(place)]);
    last = place;
  }
  return with_zero(out);
}

/// A1111's: quantiles of levels.
Levels_ beta_linear(const LevelRequest& r) {
  Levels_ out;
  for (const double x : line(1, 0, r.count))
    out.push_back(r.range.least + beta_quantile(x) * (r.range.most - r.range.least));
  return with_zero(out);
}

/// Sabour et al. 2024, theorem 3.1. ComfyUI's: `count` levels and 0.
Levels_ kl_optimal(const LevelRequest& r) {
  Levels_ out;
  for (const double x : line(std::atan(r.range.most), std::atan(r.range.least), r.count))
    out.push_back(std::tan(x));
  return with_zero(out);
}
/// A1111's: the last step ends at the least level.
Levels_ kl_optimal_a1111(const LevelRequest& r) {
  Levels_ out;
  for (const double x : line(std::atan(r.range.most), std::atan(r.range.least), r.count + 1))
    out.push_back(std::tan(x));
  return out;
}

/// Published levels for ten steps, read off in between evenly in log σ.
Levels_ interpolated(const LevelRequest& r, std::initializer_list<double> levels) {
  const Levels_ anchors(levels);
  if (r.count == static_cast<int64_t>(anchors.size())) return with_zero(anchors);
  Levels_ out;
  for (const double x : line(0, static_cast<double>(anchors.size() - 1), r.count)) {
    const auto low = std::min(static_cast<size_t>(x), anchors.size() - 2);
    const double w = x - static_cast<double>(low);
    out.push_back(std::exp((1 - w) * std::log(anchors[low]) + w * std::log(anchors[low + 1])));
  }
  return with_zero(out);
}
Levels_ align_your_steps(const LevelRequest& r) {
  return interpolated(r, {14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029});
}
Levels_ align_your_steps_xl(const LevelRequest& r) {
  return interpolated(r, {14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029});
}
Levels_ gits(const LevelRequest& r) {
  return interpolated(r, {14.615, 4.617, 2.507, 1.236, 0.702, 0.402, 0.240, 0.156, 0.104, 0.094, 0.029});
}
Levels_ gits_xl(const LevelRequest& r) {
  return interpolated(r, {14.615, 4.734, 2.567, 1.529, 0.987, 0.652, 0.418, 0.268, 0.179, 0.127, 0.029});
}

/// Evenly spaced timesteps, the last of the training first.
Levels_ turbo(const LevelRequest& r) {
  const auto& sigmas = r.table.sigmas();
  Levels_ out;
  const double stride = static_cast<double>(sigmas.size()) / static_cast<double>(r.count);
  for (int64_t i = r.count; i > 0; --i) {
    const double place = std::nearbyint(static_cast<double>(i) * stride - 1);
    out.push_back(
        sigmas[static_cast<size_t>(std::clamp(place, 0.0, static_cast<double>(sigmas.size() - 1)))]);
  }
  return with_zero(out);
}

constexpr LevelScheduleEntry kSchedules[] = {
    {"normal", "k-diffusion, get_sigmas: evenly spaced timesteps", normal},
    {"sgm_uniform", "Stability's generative-models: as normal, one step more and without the last",
     sgm_uniform},
    {"simple", "ComfyUI: evenly spaced places of the training's table", simple},
    {"ddim_uniform", "ComfyUI: every n-th timestep", ddim_uniform},
    {"karras", "Karras et al. 2022, eq. 5", karras},
    {"exponential", "k-diffusion, get_sigmas_exponential", exponential},
    {"polyexponential", "k-diffusion, get_sigmas_polyexponential", polyexponential},
    {"beta", "Lee et al. 2024, over timesteps (ComfyUI)", beta},
    {"beta_linear", "Lee et al. 2024, over levels (A1111)", beta_linear},
    {"kl_optimal", "Sabour et al. 2024, theorem 3.1 (ComfyUI)", kl_optimal},
    {"kl_optimal_a1111", "Sabour et al. 2024, theorem 3.1 (A1111): ends at the least level",
     kl_optimal_a1111},
    {"align_your_steps", "Sabour et al. 2024, Stable Diffusion 1.5", align_your_steps, true},
    {"align_your_steps_xl", "Sabour et al. 2024, Stable Diffusion XL", align_your_steps_xl, true},
    {"gits", "Chen et al. 2024, Stable Diffusion 1.5", gits, true},
    {"gits_xl", "Chen et al. 2024, Stable Diffusion XL", gits_xl, true},
    {"turbo", "Sauer et al. 2023: every n-th timestep from the last", turbo},
};

void check_falling(const std::vector<double>& sigmas, const std::string& where) {
  for (size_t i = 0; i < sigmas.size(); ++i) {
    const bool last = i + 1 == sigmas.size();
    if (!std::isfinite(sigmas[i]) || sigmas[i] < 0 || (sigmas[i] == 0 && !last) ||
        (i > 0 && sigmas[i] >= sigmas[i - 1]))
      throw Error(ErrorCode::BadFile, where,
                  "expected positive numbers, each below the one before; found " + std::to_string(sigmas[i]) +
                      " at place " + std::to_string(i));
  }
}

std::vector<double> custom_levels(const Fields& config) {
  std::vector<double> sigmas = config.numbers("sigmas", {});
  if (sigmas.empty()) return sigmas;
  check_falling(sigmas, config.where() + ": sigmas");
  if (sigmas.back() > 0) sigmas.push_back(0);
  if (sigmas.size() < 2)
    throw Error(ErrorCode::BadFile, config.where() + ": sigmas", "expected a level above 0");
  return sigmas;
}

SigmaRange range_of(const Fields& config, const SigmaTable& table, bool edm) {
  return read_sigma_range(config, edm ? kEdmRange : table.range());
}

}  // namespace

std::span<const LevelScheduleEntry> level_schedules() { return kSchedules; }

std::optional<Levels> read_level_schedule(const Fields& config, const SigmaTable& table, bool edm,
                                          int64_t count) {
  Levels out{custom_levels(config), 0};
  const std::string name = config.string("sigma_schedule", edm && out.sigmas.empty() ? "karras" : "");
  if (name.empty() && out.sigmas.empty()) return {};
  if (count < 1) throw Error(ErrorCode::InvalidArgument, "num_inference_steps", "expected 1 or more");
  if (out.sigmas.empty()) {
    const auto* entry = try_find_named(level_schedules(), name);
    if (!entry)
      throw Error(ErrorCode::BadFile, config.where() + ": sigma_schedule", "no '" + name + "'",
                  "known: " + names_of(level_schedules()));
    if (edm && entry->is_published)
      throw Error(ErrorCode::Unsupported, config.where() + ": sigma_schedule",
                  name + " holds levels for Stable Diffusion's range, the model has another one",
                  "use karras or exponential");
    const bool discards = config.boolean("discard_next_to_last_sigma", false);
    const double rho = config.number("rho", name == "polyexponential" ? 1 : 7);
    if (!(rho > 0)) throw Error(ErrorCode::BadFile, config.where() + ": rho", "expected a number above 0");
    out.sigmas = entry->levels({table, range_of(config, table, edm), rho, count + (discards ? 1 : 0)});
    if (discards && out.sigmas.size() > 2) out.sigmas.erase(out.sigmas.end() - 2);
    if (edm && config.one_of("final_sigmas_type", "zero", {"zero", "sigma_min"}) == "sigma_min")
      out.sigmas.back() = range_of(config, table, edm).least;
  }
  const double most = out.sigmas.front();
  const bool variance =
      config.one_of("init_noise", edm ? "variance" : "sigma_max", {"sigma_max", "variance"}) == "variance";
  out.init_noise_sigma = variance ? std::sqrt(most * most + 1) : most;
  return out;
}

}  // namespace limn::schedulers
