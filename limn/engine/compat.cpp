// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/compat.h"

namespace limn::engine {
namespace {

using pipelines::BlendRule;
using pipelines::StartRule;
using schedulers::NoiseGenerator;
using text::PromptSyntax;

constexpr Compat kCompats[] = {
    {.name = "diffusers",
     .help = "diffusers' pipelines with a list of CPU generators",
     .syntax = PromptSyntax::Plain,
     .dialect = "",
     .scheduler = "",
     .init_noise = "sigma_max",
     .generator = NoiseGenerator::Cpu,
     .start_rule = StartRule::Diffusers,
     .blend = BlendRule::Samples,
     .fixes_steps = false,
     .fixes_hires_steps = false,
     .encodes_mean = false,
     .skips_negative = false,
     .zeros_empty_negative = false,
     .clip_skip_from_one = false,
     .one_seed = false},
    {.name = "a1111",
     .help = "AUTOMATIC1111's web UI 1.10 with its random numbers on the CPU (--noise philox: its NV)",
     .syntax = PromptSyntax::A1111,
     .dialect = "a1111",
     .scheduler = "DPM++ 2M",
     .init_noise = "sigma_max",
     .generator = NoiseGenerator::Cpu,
     .start_rule = StartRule::A1111,
     .blend = BlendRule::Denoised,
     .fixes_steps = false,
     .fixes_hires_steps = true,
     .encodes_mean = true,
     .skips_negative = true,
     .zeros_empty_negative = true,
     .clip_skip_from_one = true,
     .one_seed = false},
    {.name = "comfy",
     .help = "ComfyUI's KSampler",
     .syntax = PromptSyntax::Comfy,
     .dialect = "comfy",
     .scheduler = "euler",
     .init_noise = "variance",
     .generator = NoiseGenerator::Shared,
     .start_rule = StartRule::Diffusers,
     .blend = BlendRule::InputAndDenoised,
     .fixes_steps = true,
     .fixes_hires_steps = true,
     .encodes_mean = true,
     .skips_negative = true,
     .zeros_empty_negative = false,
     .clip_skip_from_one = true,
     .one_seed = true},
};

}  // namespace

std::span<const Compat> compats() { return kCompats; }

}  // namespace limn::engine
