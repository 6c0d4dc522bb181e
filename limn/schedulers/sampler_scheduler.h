// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <iterator>
#include <span>
#include <string_view>

#include "limn/schedulers/sampler_run.h"
#include "limn/schedulers/sigma_scheduler.h"

namespace limn::schedulers {

/// What a sampler function gets besides its first sample.
struct SamplerSettings {
  std::vector<double> sigmas;  // falling, the last one 0 or where the run ends
  double eta = 1;              // share of fresh noise
  /// Unit noise for going from one level to the other.
  std::function<at::Tensor(double sigma, double sigma_next)> noise;
};
using SamplerFunction = SamplerRun (*)(at::Tensor x, SamplerSettings settings);

/// The fields of a scheduler_config.json that all samplers below read; the last one, a list of levels, not by those that
/// choose levels of their own between the ends.
inline constexpr std::string_view kSamplerFields[] = {"num_train_timesteps",
                                                      "beta_start",
                                                      "beta_end",
                                                      "beta_schedule",
                                                      "trained_betas",
                                                      "prediction_type",
                                                      "timestep_spacing",
                                                      "steps_offset",
                                                      "use_karras_sigmas",
                                                      "use_exponential_sigmas",
                                                      "use_beta_sigmas",
                                                      "rescale_betas_zero_snr",
                                                      "final_sigmas_type",
                                                      "sigma_schedule",
                                                      "sigma_min",
                                                      "sigma_max",
                                                      "rho",
                                                      "sigma_data",
                                                      "discard_next_to_last_sigma",
                                                      "init_noise",
                                                      "zero_snr_alpha",
                                                      "noise_range",
                                                      "eta",
                                                      "sigmas"};
inline constexpr auto kFreeSamplerFields = std::span(kSamplerFields).first(std::size(kSamplerFields) - 1);

/// Any sampler function as a Scheduler: each step() answers the question it asked last.
class SamplerScheduler : public SigmaScheduler {
 public:
  enum class Length {
    OfSteps,  // a call at each level, or two
    Chosen,   // the sampler asks as often as it sees fit; timesteps() grows
  };
  struct Options {
    SamplerFunction function;
    int64_t calls_per_step = 1;
    Length length = Length::OfSteps;
    NoiseKind noise = NoiseKind::Independent;
    bool reads_unconditional = false;
    bool rounds_timesteps = false;  // of Karras' levels, as diffusers' class of the name does
  };

  SamplerScheduler(const Fields& config, const RunSettings& settings, const Options& options);

  int64_t order() const override { return options_.calls_per_step; }
  void begin_at(size_t i) override;
  at::Tensor scale_model_input(const at::Tensor& sample, size_t i) const override;
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, size_t i) const override;
  at::Tensor step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                  const NoiseSource& noise) override;
  bool reads_unconditional() const override { return options_.reads_unconditional; }
  void set_unconditional(const at::Tensor& unconditional) override { unconditional_ = unconditional; }

 private:
  std::vector<double> levels_from(size_t i) const;
  void plan(size_t first);
  double timestep_at(double sigma) const;

  Options options_;
  double eta_;
  bool
      noise_spans_schedule_;  // Brownian noise: all levels of the schedule, or (ComfyUI) those of the run alone
  std::vector<double> levels_;  // of the schedule, the final one included
  std::vector<double> grid_;    // its timesteps
  std::vector<double> calls_;   // σ of each model call
  SamplerRun run_;
  at::Tensor unconditional_;
};

// The samplers. Each is one function in its own file, with its source.
SamplerRun sample_dpm_2(at::Tensor x, SamplerSettings settings);
SamplerRun sample_dpm_2_ancestral(at::Tensor x, SamplerSettings settings);
SamplerRun sample_dpmpp_2s_ancestral(at::Tensor x, SamplerSettings settings);
SamplerRun sample_dpmpp_sde(at::Tensor x, SamplerSettings settings);
SamplerRun sample_dpmpp_2m(at::Tensor x, SamplerSettings settings);
SamplerRun sample_dpmpp_2m_sde(at::Tensor x, SamplerSettings settings);
SamplerRun sample_dpmpp_2m_sde_heun(at::Tensor x, SamplerSettings settings);
SamplerRun sample_dpmpp_3m_sde(at::Tensor x, SamplerSettings settings);
SamplerRun sample_dpm_fast(at::Tensor x, SamplerSettings settings);
SamplerRun sample_dpm_adaptive(at::Tensor x, SamplerSettings settings);
SamplerRun sample_restart(at::Tensor x, SamplerSettings settings);
SamplerRun sample_lcm(at::Tensor x, SamplerSettings settings);
SamplerRun sample_euler_edm(at::Tensor x, SamplerSettings settings);
SamplerRun sample_euler_cfg_pp(at::Tensor x, SamplerSettings settings);
SamplerRun sample_euler_ancestral_cfg_pp(at::Tensor x, SamplerSettings settings);
SamplerRun sample_dpmpp_2m_cfg_pp(at::Tensor x, SamplerSettings settings);
SamplerRun sample_dpmpp_2s_ancestral_cfg_pp(at::Tensor x, SamplerSettings settings);

/// How far an ancestral step goes down, and how much noise brings it up again: Song et al. 2021 (SDE), appendix F.
struct AncestralStep {
  double down, up;
};
AncestralStep ancestral_step(double sigma, double sigma_next, double eta);

}  // namespace limn::schedulers
