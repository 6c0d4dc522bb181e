// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <string_view>

#include "limn/schedulers/sigma_scheduler.h"

namespace limn::schedulers {

/// Linear multistep of fourth order in σ: the derivative's interpolating polynomial, integrated exactly.
/// Source: Katherine Crowson's k-diffusion, sample_lms; Adams-Bashforth for uneven steps.
class Lms : public SigmaScheduler {
 public:
  static constexpr std::string_view kFields[] = {"num_train_timesteps",
                                                 "beta_start",
                                                 "beta_end",
                                                 "beta_schedule",
                                                 "trained_betas",
                                                 "use_karras_sigmas",
                                                 "use_exponential_sigmas",
                                                 "use_beta_sigmas",
                                                 "prediction_type",
                                                 "timestep_spacing",
                                                 "steps_offset",
                                                 "sigma_min",
                                                 "sigma_max",
                                                 "sigma_schedule",
                                                 "sigmas",
                                                 "rho",
                                                 "discard_next_to_last_sigma",
                                                 "init_noise",
                                                 "sigma_data"};
  Lms(const Fields& config, const RunSettings& settings);
  at::Tensor step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                  const NoiseSource& noise) override;

 private:
  std::deque<at::Tensor> derivatives_;  // latest first
};

/// ∫ from `from` to `to` of the Lagrange polynomial that is 1 at nodes[which] and 0 at the others.
double integrated_lagrange(const std::vector<double>& nodes, size_t which, double from, double to);

}  // namespace limn::schedulers
