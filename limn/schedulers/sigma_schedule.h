// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "limn/base/json.h"

namespace limn::schedulers {

/// How a run's noise levels are chosen.
enum class SigmaSpacing {
  Timesteps,    // those of the timesteps
  Karras,       // Karras et al. 2022, eq. 5, ρ = 7
  Exponential,  // even in log σ
  Beta,         // quantiles of Beta(0.6, 0.6): Lee et al. 2024
  Lu,           // even in λ = log(α / σ): Lu et al. 2022
};

/// Which fields name it; later ones give way to earlier ones where diffusers lets both stand.
/// @throws Error{BadFile} when more than one of Karras, exponential and beta is on
SigmaSpacing read_sigma_spacing(const Fields& config, bool reads_lu = false);

/// The ends of a converted schedule.
struct SigmaRange {
  double most;
  double least;
};

/// The model's range, or a run's, with sigma_max and sigma_min of the configuration in their place where
/// given.
/// @throws Error{BadFile} for ends that are not positive
SigmaRange read_sigma_range(const Fields& config, SigmaRange fallback);

/// Of models with Karras' preconditioning: Karras et al. 2022, table 1, "EDM".
inline constexpr SigmaRange kEdmRange{80, 0.002};

/// `count` noise levels from range.most to range.least; count 1 gives range.most alone.
/// @param spacing  Karras, Exponential or Beta
std::vector<double> spaced_sigmas(SigmaSpacing spacing, const SigmaRange& range, int64_t count);

/// Where σ lies in a rising table, as a fraction of an index: linear in log σ, held at the ends.
class SigmaTable {
 public:
  explicit SigmaTable(std::vector<float> sigmas);

  const std::vector<float>& sigmas() const { return sigmas_; }
  double timestep_of(double sigma) const;
  /// Linear between neighbours, held at the ends.
  double sigma_at(double timestep) const;
  /// `count` levels even in the table's float32 logarithms, falling.
  std::vector<double> lu_sigmas(int64_t count) const;
  SigmaRange range() const { return {sigmas_.back(), sigmas_.front()}; }

  /// `count` levels evenly spaced in log σ, in the place of a training's table: what ComfyUI has for models with Karras'
  /// preconditioning.
  static SigmaTable log_spaced(const SigmaRange& range, int64_t count);

 private:
  std::vector<float> sigmas_, logs_;
};

/// σ as float32, with `final` after the last.
std::vector<float> with_final(std::span<const double> sigmas, double final);

}  // namespace limn::schedulers
