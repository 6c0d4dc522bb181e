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
#include "limn/schedulers/heun.h"
#include "limn/schedulers/lms.h"
#include "limn/schedulers/pndm.h"
#include "limn/schedulers/scheduler.h"
#include "limn/schedulers/unipc.h"

namespace limn::schedulers {
namespace {

template <typename Algorithm>
std::unique_ptr<Scheduler> make(const json::object& config, const RunSettings& settings,
                                const std::string& where) {
  return std::make_unique<Algorithm>(Fields(config, where), settings);
}

template <typename Algorithm>
constexpr SchedulerEntry row(std::string_view name, std::string_view class_name, std::string_view source) {
  return {name, class_name, source, Algorithm::kFields, make<Algorithm>};
}

constexpr SchedulerEntry kSchedulers[] = {
    row<Ddim>("ddim", "DDIMScheduler", "Song et al. 2021 (DDIM), eq. 12"),
    row<Ddpm>("ddpm", "DDPMScheduler", "Ho et al. 2020, eq. 7"),
    row<Pndm>("pndm", "PNDMScheduler", "Liu et al. 2022, eq. 9 to 13"),
    row<Euler>("euler", "EulerDiscreteScheduler", "Karras et al. 2022, alg. 2 with Euler steps, no churn"),
    row<EulerAncestral>("euler_ancestral", "EulerAncestralDiscreteScheduler",
                        "Crowson, k-diffusion, sample_euler_ancestral"),
    row<Heun>("heun", "HeunDiscreteScheduler", "Karras et al. 2022, alg. 1"),
    row<Lms>("lms", "LMSDiscreteScheduler", "Crowson, k-diffusion, sample_lms"),
    row<DpmSolverMultistep>("dpmpp_2m", "DPMSolverMultistepScheduler",
                            "Lu et al. 2022 (DPM-Solver++), alg. 2"),
    row<UniPc>("unipc", "UniPCMultistepScheduler", "Zhao et al. 2023, alg. 1 and 2"),
    row<Deis>("deis", "DEISMultistepScheduler", "Zhang & Chen 2023, eq. 13 to 15"),
};

constexpr ScheduleEntry kSchedules[] = {
    {"karras", "Karras et al. 2022, eq. 5", "use_karras_sigmas", "true"},
    {"exponential", "Crowson, k-diffusion, get_sigmas_exponential", "use_exponential_sigmas", "true"},
    {"beta", "Lee et al. 2024, Beta Sampling is All You Need", "use_beta_sigmas", "true"},
    {"lu", "Lu et al. 2022 (DPM-Solver), section 3.3", "use_lu_lambdas", "true"},
    {"linspace", "Lin et al. 2023, table 2", "timestep_spacing", "\"linspace\""},
    {"leading", "Lin et al. 2023, table 2", "timestep_spacing", "\"leading\""},
    {"trailing", "Lin et al. 2023, table 2", "timestep_spacing", "\"trailing\""},
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
