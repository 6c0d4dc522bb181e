// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "limn/models/model.h"
#include "limn/text/prompt.h"

namespace limn::pipelines {

/// What a text becomes for the U-Net.
struct Conditioning {
  at::Tensor hidden_states;  // [1, tokens, cross_attention_dim]
  at::Tensor text_embeds;    // [1, dim], Stable Diffusion XL; else undefined
  at::Tensor time_ids;       // [1, 6] or, for its refiner, [1, 5]; else undefined
};

/// What no negative prompt, or an empty one, is for XL models.
enum class EmptyNegative {
  AsTheModelSays,  // diffusers: an absent one is zeros where the model's folder says so
  Zeros,           // A1111
  Encoded,         // ComfyUI: what the encoders make of no words
};

/// What is drawn and what is not.
struct Prompts {
  std::string prompt;
  std::optional<std::string> negative_prompt;  // absent is not the same as empty: see encode_prompts
  std::string prompt_2, negative_prompt_2;     // for text_encoder_2 alone; empty: the same as for the first
  int64_t clip_skip = 0;  // as diffusers counts: 0 uses all layers (XL: all but one, and -1 all)
  text::PromptSyntax syntax = text::PromptSyntax::Plain;
  bool old_editing = false;  // A1111's prompt editing as before 1.6.0
  text::Emphasis emphasis = text::Emphasis::Original;
  bool skips_negative = false;  // clip_skip holds for the negative prompt, too (A1111, ComfyUI)
  EmptyNegative empty_negative = EmptyNegative::AsTheModelSays;
};

/// Sizes that Stable Diffusion XL is told (Podell et al. 2023, §2.2), pixels. What is absent is the picture's own size.
struct MicroConditioning {
  struct Size {
    int64_t height, width;
  };
  std::optional<Size> original_size, target_size, negative_original_size, negative_target_size;
  Size crops_coords_top_left{0, 0}, negative_crops_coords_top_left{0, 0};  // top, left
  double aesthetic_score = 6.0, negative_aesthetic_score = 2.5;            // its refiner
};

/// One of the texts that a prompt is composed of.
struct ComposedConditioning {
  Conditioning condition;
  double weight = 1;
};

/// What holds up to and including one model call, counted from 0.
struct EncodedPrompts {
  int64_t until = INT64_MAX;
  std::vector<ComposedConditioning> positive;  // more than one with A1111's AND
  std::optional<Conditioning> negative;        // with guidance
};

/// What prompt editing counts by, in model calls.
struct PromptSteps {
  int64_t steps;
  std::optional<int64_t> first_pass_steps = {};  // of a pass before this one, whose numbers these follow
};

/// Whether the prompt is one of several composed with A1111's AND: then the negative prompt counts at any guidance.
bool is_composed(const Prompts& prompts);

/// Texts and sizes as diffusers' StableDiffusionPipeline and StableDiffusionXLPipeline encode them. An absent negative
/// prompt of an XL model is zeros where its folder says force_zeros_for_empty_prompt.
/// @param guided    whether the negative prompt is needed
/// @param steps     of the whole run, for A1111's prompt editing
/// @param warnings  gets what did not fit into 77 tokens
/// @return          one entry, or with prompt editing several, in order of `until`
std::vector<EncodedPrompts> encode_prompts(const models::Model& model, const Prompts& prompts,
                                           const MicroConditioning& sizes, int64_t width, int64_t height,
                                           bool guided, const PromptSteps& steps,
                                           std::vector<std::string>& warnings);

}  // namespace limn::pipelines
