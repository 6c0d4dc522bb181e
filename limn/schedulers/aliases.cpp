// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/aliases.h"

#include <algorithm>
#include <cctype>

namespace limn::schedulers {
namespace {

/// A sampler whose levels are its own: no schedule goes with it.
constexpr std::string_view kOwnLevels = "-";

constexpr std::string_view kA1111Ddim = R"({"a1111_grid": true})";
constexpr std::string_view kA1111DdimCfgPp = R"({"a1111_grid": true, "cfg_pp": true})";
constexpr std::string_view kWithoutNoise = R"({"eta": 0})";
constexpr std::string_view kBh1 = R"({"solver_type": "bh1"})", kBh2 = R"({"solver_type": "bh2"})";
constexpr std::string_view kKarras = R"({"use_karras_sigmas": true})";
constexpr std::string_view kSde = R"({"algorithm_type": "sde-dpmsolver++"})";
constexpr std::string_view kSdeKarras = R"({"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": true})";
constexpr std::string_view kThird = R"({"solver_order": 3})";
constexpr std::string_view kThirdKarras = R"({"solver_order": 3, "use_karras_sigmas": true})";

constexpr std::string_view kOtherLcm =
    "A1111's LCM knows 50 timesteps and scales the clean picture near the end";
constexpr std::string_view kOtherUniPc = "ComfyUI's UniPC starts and ends in another way";
constexpr std::string_view kOtherDeis = "ComfyUI's DEIS integrates over another time, on its schedules";
constexpr std::string_view kSeedOfSde =
    "InvokeAI draws this sampler's noise from seed 0, whatever the picture's";

// Labels of A1111 1.10 (and its aliases of before), ComfyUI 0.3, stable-diffusion.cpp and InvokeAI 6.
constexpr SamplerAlias kSamplers[] = {
    {"a1111", "Euler", "euler", ""},
    {"a1111", "Euler a", "euler_ancestral", ""},
    {"a1111", "LMS", "lms", ""},
    {"a1111", "Heun", "heun", ""},
    {"a1111", "DPM2", "dpm2", "karras", true},
    {"a1111", "DPM2 a", "dpm2_ancestral", "karras", true},
    {"a1111", "DPM++ 2S a", "dpmpp_2s_ancestral", "karras"},
    {"a1111", "DPM++ 2M", "k_dpmpp_2m", "karras"},
    {"a1111", "DPM++ SDE", "dpmpp_sde", "karras"},
    {"a1111", "DPM++ 2M SDE", "dpmpp_2m_sde", "exponential"},
    {"a1111", "DPM++ 2M SDE Heun", "dpmpp_2m_sde_heun", "exponential"},
    {"a1111", "DPM++ 3M SDE", "dpmpp_3m_sde", "exponential", true},
    {"a1111", "DPM fast", "dpm_fast", ""},
    {"a1111", "DPM adaptive", "dpm_adaptive", ""},
    {"a1111", "Restart", "restart", "karras"},
    {"a1111", "LCM", "k_lcm", "", false, kOtherLcm},
    {"a1111", "DDIM", "ddim", "-", false, "", kA1111Ddim},
    {"a1111", "DDIM CFG++", "ddim", "-", false, "", kA1111DdimCfgPp, 1 / 12.5},
    {"a1111", "PLMS", "pndm", "-", false, "A1111's PLMS begins in another way than PNDM"},
    {"a1111", "UniPC", "unipc", "-", false, "A1111's UniPC spaces its steps in time"},
    {"a1111", "k_euler", "euler", ""},
    {"a1111", "k_euler_a", "euler_ancestral", ""},
    {"a1111", "k_lms", "lms", ""},
    {"a1111", "k_heun", "heun", ""},
    {"a1111", "k_dpm_2", "dpm2", "karras", true},
    {"a1111", "k_dpm_2_a", "dpm2_ancestral", "karras", true},
    {"a1111", "k_dpmpp_2s_a", "dpmpp_2s_ancestral", "karras"},
    {"a1111", "k_dpmpp_2m", "k_dpmpp_2m", "karras"},
    {"a1111", "k_dpmpp_sde", "dpmpp_sde", "karras"},
    {"a1111", "k_dpm_fast", "dpm_fast", ""},
    {"a1111", "k_dpm_ad", "dpm_adaptive", ""},
    {"comfy", "euler", "euler", ""},
    {"comfy", "euler_cfg_pp", "euler_cfg_pp", ""},
    {"comfy", "euler_ancestral", "euler_ancestral", ""},
    {"comfy", "euler_ancestral_cfg_pp", "euler_ancestral_cfg_pp", ""},
    {"comfy", "heun", "heun", ""},
    {"comfy", "dpm_2", "dpm2", "", true},
    {"comfy", "dpm_2_ancestral", "dpm2_ancestral", "", true},
    {"comfy", "lms", "lms", ""},
    {"comfy", "dpm_fast", "dpm_fast", "", false, "", kWithoutNoise},
    {"comfy", "dpm_adaptive", "dpm_adaptive", "", false, "", kWithoutNoise},
    {"comfy", "dpmpp_2s_ancestral", "dpmpp_2s_ancestral", ""},
    {"comfy", "dpmpp_2s_ancestral_cfg_pp", "dpmpp_2s_ancestral_cfg_pp", ""},
    {"comfy", "dpmpp_sde", "dpmpp_sde", ""},
    {"comfy", "dpmpp_sde_gpu", "dpmpp_sde", ""},
    {"comfy", "dpmpp_2m", "k_dpmpp_2m", ""},
    {"comfy", "dpmpp_2m_cfg_pp", "dpmpp_2m_cfg_pp", ""},
    {"comfy", "dpmpp_2m_sde", "dpmpp_2m_sde", ""},
    {"comfy", "dpmpp_2m_sde_gpu", "dpmpp_2m_sde", ""},
    {"comfy", "dpmpp_2m_sde_heun", "dpmpp_2m_sde_heun", ""},
    {"comfy", "dpmpp_2m_sde_heun_gpu", "dpmpp_2m_sde_heun", ""},
    {"comfy", "dpmpp_3m_sde", "dpmpp_3m_sde", ""},
    {"comfy", "dpmpp_3m_sde_gpu", "dpmpp_3m_sde", ""},
    {"comfy", "lcm", "k_lcm", ""},
    {"comfy", "ddim", "euler", ""},
    {"comfy", "ddpm", "euler_ancestral", ""},
    {"comfy", "deis", "deis", "-", false, kOtherDeis},
    {"comfy", "uni_pc", "unipc", "-", true, kOtherUniPc, kBh1},
    {"comfy", "uni_pc_bh2", "unipc", "-", true, kOtherUniPc, kBh2},
    {"sdcpp", "euler", "euler", ""},
    {"sdcpp", "euler_a", "euler_ancestral", ""},
    {"sdcpp", "heun", "heun", ""},
    {"sdcpp", "dpm2", "dpm2", ""},
    {"sdcpp", "dpm++2s_a", "dpmpp_2s_ancestral", ""},
    {"sdcpp", "dpm++2m", "k_dpmpp_2m", ""},
    {"sdcpp", "dpm++2mv2", "k_dpmpp_2m", "", false, "stable-diffusion.cpp's second version of its 2M"},
    {"sdcpp", "lcm", "k_lcm", ""},
    {"sdcpp", "ddim_trailing", "ddim", "-"},
    {"sdcpp", "tcd", "tcd", "-"},
    {"sdcpp", "euler_cfg_pp", "euler_cfg_pp", ""},
    {"sdcpp", "euler_a_cfg_pp", "euler_ancestral_cfg_pp", ""},
    {"sdcpp", "dpm++2m_sde", "dpmpp_2m_sde", ""},
    {"sdcpp", "lms", "lms", ""},
    {"invokeai", "euler", "euler", "-"},
    {"invokeai", "euler_k", "euler", "-", false, "", kKarras},
    {"invokeai", "euler_a", "euler_ancestral", "-"},
    {"invokeai", "heun", "heun", "-"},
    {"invokeai", "heun_k", "heun", "-", false, "", kKarras},
    {"invokeai", "lms", "lms", "-"},
    {"invokeai", "lms_k", "lms", "-", false, "", kKarras},
    {"invokeai", "kdpm_2", "dpm2", "-"},
    {"invokeai", "kdpm_2_k", "dpm2", "-", false, "", kKarras},
    {"invokeai", "kdpm_2_a", "dpm2_ancestral", "-"},
    {"invokeai", "kdpm_2_a_k", "dpm2_ancestral", "-", false, "", kKarras},
    {"invokeai", "dpmpp_2m", "dpmpp_2m", "-"},
    {"invokeai", "dpmpp_2m_k", "dpmpp_2m", "-", false, "", kKarras},
    {"invokeai", "dpmpp_sde", "dpmpp_sde", "-", false, kSeedOfSde},
    {"invokeai", "dpmpp_2m_sde", "dpmpp_2m", "-", false, "", kSde},
    {"invokeai", "dpmpp_2m_sde_k", "dpmpp_2m", "-", false, "", kSdeKarras},
    {"invokeai", "dpmpp_3m", "dpmpp_2m", "-", false, "", kThird},
    {"invokeai", "dpmpp_3m_k", "dpmpp_2m", "-", false, "", kThirdKarras},
    {"invokeai", "dpmpp_sde_k", "dpmpp_sde", "-", false, kSeedOfSde, kKarras},
    {"invokeai", "ddim", "ddim", "-"},
    {"invokeai", "ddpm", "ddpm", "-"},
    {"invokeai", "pndm", "pndm", "-"},
    {"invokeai", "deis", "deis", "-"},
    {"invokeai", "deis_k", "deis", "-", false, "", kKarras},
    {"invokeai", "unipc", "unipc", "-"},
    {"invokeai", "unipc_k", "unipc", "-", false, "", kKarras},
    {"invokeai", "lcm", "lcm", "-"},
    {"invokeai", "tcd", "tcd", "-"},
};

constexpr ScheduleAlias kSchedules[] = {
    {"a1111", "Uniform", "normal"},
    {"a1111", "Karras", "karras"},
    {"a1111", "Exponential", "exponential"},
    {"a1111", "Polyexponential", "polyexponential"},
    {"a1111", "SGM Uniform", "sgm_uniform"},
    {"a1111", "KL Optimal", "kl_optimal_a1111"},
    {"a1111", "Align Your Steps", "align_your_steps"},
    {"a1111", "Simple", "simple"},
    {"a1111", "Normal", "normal"},
    {"a1111", "DDIM", "ddim_uniform"},
    {"a1111", "Beta", "beta_linear"},
    {"a1111", "Turbo", "turbo"},
    {"a1111", "Align Your Steps GITS", "gits"},
    {"comfy", "normal", "normal"},
    {"comfy", "karras", "karras"},
    {"comfy", "exponential", "exponential"},
    {"comfy", "sgm_uniform", "sgm_uniform"},
    {"comfy", "simple", "simple"},
    {"comfy", "ddim_uniform", "ddim_uniform"},
    {"comfy", "beta", "beta"},
    {"comfy", "kl_optimal", "kl_optimal"},
    {"sdcpp", "discrete", "normal"},
    {"sdcpp", "karras", "karras"},
    {"sdcpp", "exponential", "exponential"},
    {"sdcpp", "ays", "align_your_steps"},
    {"sdcpp", "gits", "gits"},
    {"sdcpp", "sgm_uniform", "sgm_uniform"},
    {"sdcpp", "simple", "simple"},
    {"sdcpp", "kl_optimal", "kl_optimal"},
};

bool same(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

const SamplerAlias* sampler_named(std::string_view dialect, std::string_view label) {
  for (const SamplerAlias& row : kSamplers)
    if (row.dialect == dialect && same(row.label, label)) return &row;
  return nullptr;
}

const ScheduleAlias* schedule_named(std::string_view dialect, std::string_view label) {
  for (const ScheduleAlias& row : kSchedules)
    if (row.dialect == dialect && same(row.label, label)) return &row;
  return nullptr;
}

}  // namespace

std::span<const SamplerAlias> sampler_aliases() { return kSamplers; }
std::span<const ScheduleAlias> schedule_aliases() { return kSchedules; }

std::optional<FoundAlias> find_alias(std::string_view dialect, std::string_view sampler,
                                     std::string_view schedule) {
  const SamplerAlias* row = sampler_named(dialect, sampler);
  if (!row) {  // the schedule may be the name's last word or words
    for (size_t space = sampler.rfind(' '); space != std::string_view::npos && space > 0;
         space = sampler.rfind(' ', space - 1)) {
      row = sampler_named(dialect, sampler.substr(0, space));
      if (!row || !schedule_named(dialect, sampler.substr(space + 1))) {
        row = nullptr;
        continue;
      }
      schedule = sampler.substr(space + 1);
      break;
    }
    if (!row) return {};
  }
  if (row->schedule == kOwnLevels) return FoundAlias{row, ""};
  if (schedule.empty() || same(schedule, "Automatic"))
    return FoundAlias{row, std::string(row->schedule.empty() ? "normal" : row->schedule)};
  const ScheduleAlias* levels = schedule_named(dialect, schedule);
  if (!levels) return {};
  return FoundAlias{row, std::string(levels->sigma_schedule)};
}

std::string_view label_of_sampler(std::string_view dialect, std::string_view scheduler) {
  const std::string with_own_levels = "k_" + std::string(scheduler);
  for (const SamplerAlias& row : kSamplers)
    if (row.dialect == dialect && (row.scheduler == scheduler || row.scheduler == with_own_levels))
      return row.label;
  return {};
}

std::string_view label_of_schedule(std::string_view dialect, std::string_view sigma_schedule) {
  constexpr std::string_view kOfXl = "_xl";
  if (sigma_schedule.ends_with(kOfXl)) sigma_schedule.remove_suffix(kOfXl.size());
  for (const ScheduleAlias& row : kSchedules)
    if (row.dialect == dialect && row.sigma_schedule == sigma_schedule) return row.label;
  return {};
}

}  // namespace limn::schedulers
