// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace limn::provenance {

/// A name of limn and the label AUTOMATIC1111's web UI 1.10 has for the same thing.
struct A1111Name {
  std::string_view name;
  std::string_view label;
};

inline constexpr A1111Name kA1111Samplers[] = {
    {"euler", "Euler"},
    {"euler_ancestral", "Euler a"},
    {"heun", "Heun"},
    {"lms", "LMS"},
    {"dpm2", "DPM2"},
    {"dpm2_ancestral", "DPM2 a"},
    {"dpmpp_2m", "DPM++ 2M"},
    {"k_dpmpp_2m", "DPM++ 2M"},
    {"dpmpp_2s_ancestral", "DPM++ 2S a"},
    {"dpmpp_2m_sde_heun", "DPM++ 2M SDE Heun"},
    {"dpm_fast", "DPM fast"},
    {"dpm_adaptive", "DPM adaptive"},
    {"restart", "Restart"},
    {"k_lcm", "LCM"},
    {"euler_cfg_pp", "DDIM CFG++"},
    {"dpmpp_2m_sde", "DPM++ 2M SDE"},
    {"dpmpp_3m_sde", "DPM++ 3M SDE"},
    {"dpmpp_sde", "DPM++ SDE"},
    {"ddim", "DDIM"},
    {"pndm", "PLMS"},
    {"unipc", "UniPC"},
    {"lcm", "LCM"},
};

/// Near, not always equal: A1111 spaces in time where diffusers spaces in steps.
inline constexpr A1111Name kA1111Schedules[] = {
    {"karras", "Karras"},
    {"exponential", "Exponential"},
    {"beta", "Beta"},
    {"trailing", "SGM Uniform"},
};

}  // namespace limn::provenance
