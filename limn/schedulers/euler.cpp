// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/euler.h"

#include <cmath>

#include <ATen/TensorOperators.h>

#include "limn/schedulers/alpha_scheduler.h"

namespace limn::schedulers {

Euler::Euler(const Fields& config, const RunSettings& settings)
    : SigmaScheduler(config, settings,
                     {.noise = {.zero_snr = ZeroSnr::Finite},
                      .reads_interpolation = true,
                      .reads_final_sigmas_type = true}) {
  const bool continuous =
      config.one_of("timestep_type", "discrete", {"discrete", "continuous"}) == "continuous";
  if (!continuous || prediction() != Prediction::VPrediction) return;
  // Models of this kind are conditioned on c_noise of Karras et al. 2022, table 1.
  std::vector<double> c_noise;
  for (size_t i = 0; i + 1 < sigmas().size(); ++i) c_noise.push_back(0.25f * std::log(sigmas()[i]));
  c_noise.resize(timesteps().size());
  set_tables(std::move(c_noise), sigmas());
}

at::Tensor Euler::step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                       const NoiseSource&) {
  check_same_shape(model_output, sample);
  const float sigma = sigmas().at(i), sigma_next = sigmas().at(i + 1);
  const at::Tensor derivative = (sample - to_original(model_output, sample, sigma)) / sigma;
  return sample + derivative * (sigma_next - sigma);
}

}  // namespace limn::schedulers
