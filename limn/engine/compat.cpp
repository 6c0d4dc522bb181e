// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/compat.h"

namespace limn::engine {
namespace {

using pipelines::BlendRule;
using pipelines::EmptyNegative;
using pipelines::StartRule;
using schedulers::NoiseGenerator;
using text::PromptSyntax;

// A1111's and ComfyUI's, so that its σ is 4518.8 and not infinite.
constexpr double kTerminalAlpha = 4.8973451890853435e-08;

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
     .blurs_mask_first = false,
     .fixes_steps = false,
     .fixes_hires_steps = false,
     .encodes_mean = false,
     .skips_negative = false,
     .empty_negative = EmptyNegative::AsTheModelSays,
     .clip_skip_from_one = false,
     .one_seed = false,
     .brownian_of_run = false,
     .zero_snr_alpha = 0},
    {.name = "a1111",
     .help = "AUTOMATIC1111's web UI 1.10 with its random numbers on the CPU (--noise philox: its NV)",
     .syntax = PromptSyntax::A1111,
     .dialect = "a1111",
     .scheduler = "DPM++ 2M",
     .init_noise = "sigma_max",
     .generator = NoiseGenerator::Cpu,
     .start_rule = StartRule::A1111,
     .blend = BlendRule::Denoised,
     .blurs_mask_first = true,
     .fixes_steps = false,
     .fixes_hires_steps = true,
     .encodes_mean = true,
     .skips_negative = true,
     .empty_negative = EmptyNegative::Zeros,
     .clip_skip_from_one = true,
     .one_seed = false,
     .brownian_of_run = false,
     .zero_snr_alpha = kTerminalAlpha},
    {.name = "comfy",
     .help = "ComfyUI's KSampler",
     .syntax = PromptSyntax::Comfy,
     .dialect = "comfy",
     .scheduler = "euler",
     .init_noise = "variance",
     .generator = NoiseGenerator::Shared,
     .start_rule = StartRule::ComfyUi,
     .blend = BlendRule::InputAndDenoised,
     .blurs_mask_first = false,
     .fixes_steps = true,
     .fixes_hires_steps = true,
     .encodes_mean = true,
     .skips_negative = true,
     .empty_negative = EmptyNegative::Encoded,
     .clip_skip_from_one = true,
     .one_seed = true,
     .brownian_of_run = true,
     .zero_snr_alpha = kTerminalAlpha},
};

}  // namespace

std::span<const Compat> compats() { return kCompats; }

}  // namespace limn::engine
