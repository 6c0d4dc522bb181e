// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iterator>

#include "limn/base/error.h"
#include "limn/base/named_table.h"
#include "limn/schedulers/ddim.h"
#include "limn/schedulers/ddpm.h"
#include "limn/schedulers/deis.h"
#include "limn/schedulers/dpm_solver_multistep.h"
#include "limn/schedulers/euler.h"
#include "limn/schedulers/euler_ancestral.h"
#include "limn/schedulers/flow_match.h"
#include "limn/schedulers/heun.h"
#include "limn/schedulers/lcm.h"
#include "limn/schedulers/lms.h"
#include "limn/schedulers/pndm.h"
#include "limn/schedulers/sampler_scheduler.h"
#include "limn/schedulers/scheduler.h"
#include "limn/schedulers/tcd.h"
#include "limn/schedulers/unipc.h"

namespace limn::schedulers {
namespace {

template <typename Algorithm>
std::unique_ptr<Scheduler> make(const json::object& config, const RunSettings& settings,
                                const std::string& where) {
  return std::make_unique<Algorithm>(Fields(config, where), settings);
}

/// A scheduler that is a sampler function.
template <SamplerFunction function, NoiseKind noise = NoiseKind::Independent, int64_t calls = 1,
          SamplerScheduler::Length length = SamplerScheduler::Length::OfSteps, bool unconditional = false>
constexpr SchedulerEntry sampler(std::string_view name, std::string_view class_name,
                                 std::string_view source) {
  constexpr bool rounds = function == sample_dpm_2 || function == sample_dpm_2_ancestral;
  return {name,
          class_name,
          source,
          kSamplerFields,
          [](const json::object& config, const RunSettings& settings,
             const std::string& where) -> std::unique_ptr<Scheduler> {
            return std::make_unique<SamplerScheduler>(
                Fields(config, where), settings,
                SamplerScheduler::Options{function, calls, length, noise, unconditional, rounds});
          },
          length == SamplerScheduler::Length::Chosen};
}

template <typename Algorithm>
constexpr SchedulerEntry row(std::string_view name, std::string_view class_name, std::string_view source) {
  return {name, class_name, source, Algorithm::kFields, make<Algorithm>};
}

/// One that --eta has an effect on.
constexpr SchedulerEntry with_eta(SchedulerEntry entry) {
  entry.takes_eta = true;
  return entry;
}

/// One that goes by the first and the least level alone.
constexpr SchedulerEntry between_ends(SchedulerEntry entry) {
  entry.fields = kFreeSamplerFields;
  return entry;
}

constexpr SchedulerEntry kSchedulers[] = {
    with_eta(row<Ddim>("ddim", "DDIMScheduler", "Song et al. 2021 (DDIM), eq. 12")),
    row<Ddpm>("ddpm", "DDPMScheduler", "Ho et al. 2020, eq. 7"),
    row<Pndm>("pndm", "PNDMScheduler", "Liu et al. 2022, eq. 9 to 13"),
    row<Euler>("euler", "EulerDiscreteScheduler", "Karras et al. 2022, alg. 2 with Euler steps, no churn"),
    with_eta(row<EulerAncestral>("euler_ancestral", "EulerAncestralDiscreteScheduler",
                                 "Crowson, k-diffusion, sample_euler_ancestral")),
    row<Heun>("heun", "HeunDiscreteScheduler", "Karras et al. 2022, alg. 1"),
    row<Lms>("lms", "LMSDiscreteScheduler", "Crowson, k-diffusion, sample_lms"),
    row<DpmSolverMultistep>("dpmpp_2m", "DPMSolverMultistepScheduler",
                            "Lu et al. 2022 (DPM-Solver++), alg. 2"),
    row<UniPc>("unipc", "UniPCMultistepScheduler", "Zhao et al. 2023, alg. 1 and 2"),
    row<Deis>("deis", "DEISMultistepScheduler", "Zhang & Chen 2023, eq. 13 to 15"),
    row<Lcm>("lcm", "LCMScheduler", "Luo et al. 2023, alg. 1"),
    with_eta(row<Tcd>("tcd", "TCDScheduler", "Zheng et al. 2024, alg. 4")),
    row<FlowMatchEuler>("flow_match_euler", "FlowMatchEulerDiscreteScheduler",
                        "Lipman et al. 2023; Esser et al. 2024, eq. 23"),
    row<FlowMatchHeun>("flow_match_heun", "FlowMatchHeunDiscreteScheduler",
                       "Lipman et al. 2023; Karras et al. 2022, alg. 1"),
    sampler<sample_euler_edm>("euler_edm", "EDMEulerScheduler", "Karras et al. 2022, alg. 2 without churn"),
    sampler<sample_dpmpp_2m>("k_dpmpp_2m", "EDMDPMSolverMultistepScheduler", "k-diffusion, sample_dpmpp_2m"),
    sampler<sample_dpm_2, NoiseKind::Independent, 2>("dpm2", "KDPM2DiscreteScheduler",
                                                     "k-diffusion, sample_dpm_2"),
    with_eta(sampler<sample_dpm_2_ancestral, NoiseKind::Independent, 2>(
        "dpm2_ancestral", "KDPM2AncestralDiscreteScheduler", "k-diffusion, sample_dpm_2_ancestral")),
    with_eta(sampler<sample_dpmpp_2s_ancestral, NoiseKind::Independent, 2>(
        "dpmpp_2s_ancestral", "", "k-diffusion, sample_dpmpp_2s_ancestral")),
    with_eta(sampler<sample_dpmpp_sde, NoiseKind::Brownian, 2>("dpmpp_sde", "DPMSolverSDEScheduler",
                                                               "k-diffusion, sample_dpmpp_sde")),
    with_eta(sampler<sample_dpmpp_2m_sde, NoiseKind::Brownian>("dpmpp_2m_sde", "",
                                                               "k-diffusion, sample_dpmpp_2m_sde, midpoint")),
    with_eta(sampler<sample_dpmpp_2m_sde_heun, NoiseKind::Brownian>(
        "dpmpp_2m_sde_heun", "", "k-diffusion, sample_dpmpp_2m_sde, heun")),
    with_eta(sampler<sample_dpmpp_3m_sde, NoiseKind::Brownian>("dpmpp_3m_sde", "",
                                                               "k-diffusion, sample_dpmpp_3m_sde")),
    between_ends(with_eta(sampler<sample_dpm_fast>("dpm_fast", "", "k-diffusion, sample_dpm_fast"))),
    between_ends(
        with_eta(sampler<sample_dpm_adaptive, NoiseKind::Independent, 1, SamplerScheduler::Length::Chosen>(
            "dpm_adaptive", "", "k-diffusion, sample_dpm_adaptive"))),
    sampler<sample_restart>("restart", "", "Xu et al. 2023, alg. 1, as A1111 sets it"),
    sampler<sample_lcm>("k_lcm", "", "Luo et al. 2023, alg. 1, on k-diffusion's levels"),
    sampler<sample_euler_cfg_pp, NoiseKind::Independent, 1, SamplerScheduler::Length::OfSteps, true>(
        "euler_cfg_pp", "", "Chung et al. 2024, alg. 2"),
    with_eta(
        sampler<sample_euler_ancestral_cfg_pp, NoiseKind::Independent, 1, SamplerScheduler::Length::OfSteps,
                true>("euler_ancestral_cfg_pp", "", "Chung et al. 2024, alg. 2, ancestral")),
    sampler<sample_dpmpp_2m_cfg_pp, NoiseKind::Independent, 1, SamplerScheduler::Length::OfSteps, true>(
        "dpmpp_2m_cfg_pp", "", "Chung et al. 2024, on DPM-Solver++(2M)"),
    with_eta(sampler<sample_dpmpp_2s_ancestral_cfg_pp, NoiseKind::Independent, 2,
                     SamplerScheduler::Length::OfSteps, true>(
        "dpmpp_2s_ancestral_cfg_pp", "", "Chung et al. 2024, on DPM-Solver++(2S) (ComfyUI)")),
};

constexpr ScheduleEntry kSchedules[] = {
    {"karras", "Karras et al. 2022, eq. 5", "use_karras_sigmas", "true"},
    {"exponential", "Crowson, k-diffusion, get_sigmas_exponential", "use_exponential_sigmas", "true"},
    {"beta", "Lee et al. 2024, Beta Sampling is All You Need", "use_beta_sigmas", "true"},
    {"lu", "Lu et al. 2022 (DPM-Solver), section 3.3", "use_lu_lambdas", "true"},
    {"linspace", "Lin et al. 2023, table 2", "timestep_spacing", "\"linspace\""},
    {"leading", "Lin et al. 2023, table 2", "timestep_spacing", "\"leading\""},
    {"trailing", "Lin et al. 2023, table 2", "timestep_spacing", "\"trailing\""},
    {"normal", "k-diffusion, get_sigmas", "sigma_schedule", "\"normal\""},
    {"sgm_uniform", "Stability's generative-models", "sigma_schedule", "\"sgm_uniform\""},
    {"simple", "ComfyUI", "sigma_schedule", "\"simple\""},
    {"ddim_uniform", "ComfyUI", "sigma_schedule", "\"ddim_uniform\""},
    {"k_karras", "Karras et al. 2022, eq. 5, over the model's whole range", "sigma_schedule", "\"karras\""},
    {"k_exponential", "k-diffusion, over the model's whole range", "sigma_schedule", "\"exponential\""},
    {"polyexponential", "k-diffusion, get_sigmas_polyexponential", "sigma_schedule", "\"polyexponential\""},
    {"k_beta", "Lee et al. 2024, over timesteps (ComfyUI)", "sigma_schedule", "\"beta\""},
    {"beta_linear", "Lee et al. 2024, over levels (A1111)", "sigma_schedule", "\"beta_linear\""},
    {"kl_optimal", "Sabour et al. 2024 (ComfyUI)", "sigma_schedule", "\"kl_optimal\""},
    {"kl_optimal_a1111", "Sabour et al. 2024 (A1111)", "sigma_schedule", "\"kl_optimal_a1111\""},
    {"align_your_steps", "Sabour et al. 2024", "sigma_schedule", "\"align_your_steps\""},
    {"align_your_steps_xl", "Sabour et al. 2024", "sigma_schedule", "\"align_your_steps_xl\""},
    {"gits", "Chen et al. 2024", "sigma_schedule", "\"gits\""},
    {"gits_xl", "Chen et al. 2024", "sigma_schedule", "\"gits_xl\""},
    {"turbo", "Sauer et al. 2023", "sigma_schedule", "\"turbo\""},
    {"zero_snr", "Lin et al. 2023, alg. 1", "rescale_betas_zero_snr", "true"},
};

bool reads(const SchedulerEntry& entry, std::string_view field) {
  return std::find(entry.fields.begin(), entry.fields.end(), field) != entry.fields.end();
}

void check_taken(const SchedulerEntry& entry, const ScheduleEntry& schedule) {
  if (reads(entry, schedule.field)) return;
  std::vector<SchedulerEntry> takers;
  std::copy_if(std::begin(kSchedulers), std::end(kSchedulers), std::back_inserter(takers),
               [&](const SchedulerEntry& other) { return reads(other, schedule.field); });
  std::string problem(schedule.name);
  problem.append(" does not go with the scheduler ").append(entry.name);
  throw Error(ErrorCode::InvalidArgument, "schedule", std::move(problem),
              "schedulers that take it: " + names_of(std::span<const SchedulerEntry>(takers)));
}

json::string_view key_of(std::string_view name) { return {name.data(), name.size()}; }

/// Sigma schedules that rule each other out; `chosen` is about to be turned on.
void turn_rivals_off(json::object& config, std::string_view chosen) {
  constexpr std::string_view kRivals[] = {"use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas",
                                          "use_lu_lambdas"};
  if (std::find(std::begin(kRivals), std::end(kRivals), chosen) == std::end(kRivals)) return;
  for (std::string_view field : kRivals)
    if (config.contains(key_of(field))) config[key_of(field)] = false;
}

}  // namespace

std::span<const SchedulerEntry> all() { return kSchedulers; }
std::span<const ScheduleEntry> all_schedules() { return kSchedules; }

json::object config_for(const SchedulerEntry& entry, const json::object& config,
                        const ScheduleEntry* schedule) {
  if (schedule) check_taken(entry, *schedule);
  const std::vector<std::string> absent = Fields(config, "scheduler").strings("_use_default_values", {});
  json::object out;
  out["_class_name"] = key_of(entry.class_name);
  for (const auto& [key, value] : config) {
    const std::string_view name(key.data(), key.size());
    if (reads(entry, name) && std::find(absent.begin(), absent.end(), name) == absent.end()) out[key] = value;
  }
  if (schedule) {
    turn_rivals_off(out, schedule->field);
    out[key_of(schedule->field)] = parse_json(schedule->value, "schedule");
  }
  return out;
}

}  // namespace limn::schedulers
