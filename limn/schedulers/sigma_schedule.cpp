// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/sigma_schedule.h"

#include <algorithm>
#include <cmath>

#include <ATen/core/Tensor.h>
#include <ATen/ops/linspace.h>
#include <boost/math/distributions/beta.hpp>

#include "limn/base/error.h"

namespace limn::schedulers {
namespace {

constexpr double kKarrasRho = 7.0;
constexpr double kBetaShape = 0.6;

double sigma_of(SigmaSpacing spacing, const SigmaRange& range, double ramp) {
  if (spacing == SigmaSpacing::Karras) {
    const double most = std::pow(range.most, 1 / kKarrasRho), least = std::pow(range.least, 1 / kKarrasRho);
    return std::pow(most + ramp * (least - most), kKarrasRho);
  }
  if (spacing == SigmaSpacing::Beta) {
    const boost::math::beta_distribution<double> distribution(kBetaShape, kBetaShape);
    return range.least + boost::math::quantile(distribution, 1 - ramp) * (range.most - range.least);
  }
  const double most = std::log(range.most), least = std::log(range.least);
  return std::exp(ramp == 1 ? least : most + ramp * (least - most));
}

/// 0 … 1 in `count` even steps; 0 alone for one.
std::vector<double> ramp(int64_t count) {
  std::vector<double> out(count, 1.0);
  for (int64_t i = 0; i + 1 < count; ++i) out[i] = i * (1.0 / (count - 1));
  if (count == 1) out[0] = 0;
  return out;
}

}  // namespace

SigmaSpacing read_sigma_spacing(const Fields& config, bool reads_lu) {
  const bool karras = config.boolean("use_karras_sigmas", false);
  const bool exponential = config.boolean("use_exponential_sigmas", false);
  const bool beta = config.boolean("use_beta_sigmas", false);
  const bool lu = reads_lu && config.boolean("use_lu_lambdas", false);
  if (karras + exponential + beta > 1)
    throw Error(ErrorCode::BadFile,
                config.where() + ": use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas",
                "expected at most one to be true", "choose one schedule");
  if (karras) return SigmaSpacing::Karras;
  if (lu) return SigmaSpacing::Lu;
  if (exponential) return SigmaSpacing::Exponential;
  return beta ? SigmaSpacing::Beta : SigmaSpacing::Timesteps;
}

SigmaRange read_sigma_range(const Fields& config, SigmaRange fallback) {
  const SigmaRange range{config.optional_number("sigma_max").value_or(fallback.most),
                         config.optional_number("sigma_min").value_or(fallback.least)};
  if (!(range.least > 0 && range.most > 0))
    throw Error(ErrorCode::BadFile, config.where() + ": sigma_min, sigma_max", "expected numbers above 0");
  return range;
}

std::vector<double> spaced_sigmas(SigmaSpacing spacing, const SigmaRange& range, int64_t count) {
  std::vector<double> out;
  for (double x : ramp(count)) out.push_back(sigma_of(spacing, range, x));
  return out;
}

SigmaTable::SigmaTable(std::vector<float> sigmas) : sigmas_(std::move(sigmas)) {
  for (float sigma : sigmas_) logs_.push_back(static_cast<float>(std::log(static_cast<double>(sigma))));
}

SigmaTable SigmaTable::log_spaced(const SigmaRange& range, int64_t count) {
  const at::Tensor sigmas =
      at::linspace(std::log(range.least), std::log(range.most), count, at::kFloat).exp().contiguous();
  return SigmaTable({sigmas.const_data_ptr<float>(), sigmas.const_data_ptr<float>() + count});
}

double SigmaTable::timestep_of(double sigma) const {
  const double log_sigma = std::log(std::max(sigma, 1e-10));
  const auto above = std::upper_bound(logs_.begin(), logs_.end(), log_sigma);
  const ptrdiff_t last = std::max<ptrdiff_t>(above - logs_.begin() - 1, 0);
  const ptrdiff_t low = std::min<ptrdiff_t>(last, static_cast<ptrdiff_t>(logs_.size()) - 2);
  const float width = logs_[low] - logs_[low + 1];
  const double w = width < 0 ? std::clamp((logs_[low] - log_sigma) / width, 0.0, 1.0) : 0.0;
  return (1 - w) * static_cast<double>(low) + w * static_cast<double>(low + 1);
}

std::vector<double> SigmaTable::lu_sigmas(int64_t count) const {
  std::vector<double> out;
  const double most = logs_.back(), least = logs_.front();
  for (double x : ramp(count)) out.push_back(std::exp(most + x * (least - most)));
  return out;
}

double SigmaTable::sigma_at(double timestep) const {
  if (timestep <= 0) return sigmas_.front();
  const double whole = std::floor(timestep);
  if (whole >= static_cast<double>(sigmas_.size() - 1)) return sigmas_.back();
  const auto low = static_cast<size_t>(whole);
  const double slope = static_cast<double>(sigmas_[low + 1]) - static_cast<double>(sigmas_[low]);
  return slope * (timestep - whole) + sigmas_[low];
}

std::vector<float> with_final(std::span<const double> sigmas, double final) {
  std::vector<float> out(sigmas.begin(), sigmas.end());
  out.push_back(static_cast<float>(final));
  return out;
}

}  // namespace limn::schedulers
