// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

#include "limn/pipelines/text_to_image.h"

namespace limn::engine {

/// Whose conventions a request follows: what differs between programs that are given the same model, prompt and seed.
struct Compat {
  std::string_view name, help;
  text::PromptSyntax syntax;
  std::string_view dialect;     // of sampler names (schedulers/aliases.h); empty: limn's and diffusers' own
  std::string_view scheduler;   // its usual sampler; empty: the model's own
  std::string_view init_noise;  // see schedulers/level_schedule.h
  schedulers::NoiseGenerator generator;
  pipelines::StartRule start_rule;
  pipelines::BlendRule blend;
  bool blurs_mask_first;   // before it is cut to what is worked on, and for the steps too
  bool fixes_steps;        // image to image does as many steps as were asked for
  bool fixes_hires_steps;  // likewise the second pass of a large picture
  bool encodes_mean;       // image to image starts at the encoder's mean
  bool skips_negative;     // clip skip holds for the negative prompt, too
  pipelines::EmptyNegative empty_negative;
  bool clip_skip_from_one;  // 1 leaves out no layer
  bool one_seed;            // all pictures of a batch come from one seed
  bool brownian_of_run;  // Brownian noise hangs on the levels of the run alone, not on those before its start
  double zero_snr_alpha;  // ᾱ of the last timestep with zero terminal SNR; 0: the scheduler's own
};
std::span<const Compat> compats();

}  // namespace limn::engine
