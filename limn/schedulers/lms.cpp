// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/lms.h"

#include <algorithm>

#include <ATen/TensorOperators.h>

#include "limn/schedulers/alpha_scheduler.h"

namespace limn::schedulers {
namespace {

constexpr size_t kOrder = 4;

}  // namespace

Lms::Lms(const Fields& config, const RunSettings& settings)
    : SigmaScheduler(config, settings,
                     {.noise = {.zero_snr = zero_snr_of_levels(config)}, .karras_reads_range = false}) {}

double integrated_lagrange(const std::vector<double>& nodes, size_t which, double from, double to) {
  // Coefficients around `from`, lowest power first: the nodes lie near it, so little cancels.
  std::vector<double> polynomial{1.0};
  for (size_t k = 0; k < nodes.size(); ++k) {
    if (k == which) continue;
    const double root = nodes[k] - from, scale = 1 / (nodes[which] - nodes[k]);
    polynomial.push_back(0);
    for (size_t power = polynomial.size(); power-- > 0;)
      polynomial[power] = ((power > 0 ? polynomial[power - 1] : 0) - root * polynomial[power]) * scale;
  }
  double integral = 0;
  const double length = to - from;
  for (size_t power = polynomial.size(); power-- > 0;)
    integral = (integral + polynomial[power] / static_cast<double>(power + 1)) * length;
  return integral;
}

at::Tensor Lms::step(const at::Tensor& model_output, size_t i, const at::Tensor& sample, const NoiseSource&) {
  check_same_shape(model_output, sample);
  const float sigma = sigmas().at(i);
  derivatives_.push_front((sample - to_original(model_output, sample, sigma)) / sigma);
  if (derivatives_.size() > kOrder) derivatives_.pop_back();

  // A run that starts late has fewer derivatives than nodes; diffusers leaves their terms out.
  std::vector<double> nodes;
  const size_t known = follows_levels() ? derivatives_.size() : i + 1;  // k-diffusion's way, diffusers' way
  for (size_t k = 0; k < std::min(known, kOrder); ++k) nodes.push_back(sigmas()[i - k]);
  at::Tensor change;
  for (size_t k = 0; k < std::min(nodes.size(), derivatives_.size()); ++k) {
    const at::Tensor term = integrated_lagrange(nodes, k, sigma, sigmas().at(i + 1)) * derivatives_[k];
    change = change.defined() ? change + term : term;
  }
  return sample + change;
}

}  // namespace limn::schedulers
