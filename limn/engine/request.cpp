// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/request.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <vector>

#include "limn/base/named_table.h"
#include "limn/engine/compat.h"
#include "limn/engine/model_cache.h"
#include "limn/image/unicode.h"
#include "limn/pipelines/hires.h"
#include "limn/pipelines/text_to_image.h"
#include "limn/schedulers/scheduler.h"

namespace limn::engine {
namespace {

template <auto Member>
json::value get(const GenerateRequest& request) {
  return json::value(request.*Member);
}

template <auto Member>
void set_text(GenerateRequest& request, const json::value& value) {
  request.*Member = std::string(value.as_string());
}
template <auto Member>
void set_boolean(GenerateRequest& request, const json::value& value) {
  request.*Member = value.as_bool();
}
template <auto Member>
void set_integer(GenerateRequest& request, const json::value& value) {
  request.*Member = value.as_int64();
}
template <auto Member>
void set_number(GenerateRequest& request, const json::value& value) {
  request.*Member = value.to_number<double>();
}
void set_seed(GenerateRequest& request, const json::value& value) {
  request.seed = value.to_number<uint64_t>();
}

template <auto Member>
void set_size(GenerateRequest& request, const json::value& value) {
  const json::array& sides = value.as_array();
  request.*Member = {sides[0].as_int64(), sides[1].as_int64()};
}
template <auto Member>
void set_integers(GenerateRequest& request, const json::value& value) {
  (request.*Member).clear();
  for (const json::value& item : value.as_array()) (request.*Member).push_back(item.as_int64());
}

template <auto Member>
void set_numbers(GenerateRequest& request, const json::value& value) {
  (request.*Member).clear();
  for (const json::value& item : value.as_array()) (request.*Member).push_back(item.to_number<double>());
}

template <auto Member>
void set_unsigned(GenerateRequest& request, const json::value& value) {
  request.*Member = value.to_number<uint64_t>();
}

constexpr double kMostLoraWeight = 100;

/// "FILE" or "FILE:WEIGHT"; a colon that no number follows belongs to the name.
LoraChoice lora_of(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return {text, 1.0};
  double weight = 0;
  const char* end = text.data() + text.size();
  const auto [last, code] = std::from_chars(text.data() + colon + 1, end, weight);
  if (code != std::errc() || last != end) return {text, 1.0};
  if (!(std::abs(weight) <= kMostLoraWeight))
    throw Error(ErrorCode::InvalidArgument, "lora",
                "expected a weight from -100 to 100, found '" + text.substr(colon + 1) + "'");
  return {text.substr(0, colon), weight};
}

/// A list replaces what was there; one text is added to it.
void set_loras(GenerateRequest& request, const json::value& value) {
  if (value.is_string()) {
    request.loras.push_back(lora_of(std::string(value.as_string())));
    return;
  }
  request.loras.clear();
  for (const json::value& item : value.as_array()) {
    if (!item.is_string())
      throw Error(ErrorCode::InvalidArgument, "lora",
                  "expected \"FILE\" or \"FILE:WEIGHT\", found " + to_text(item));
    request.loras.push_back(lora_of(std::string(item.as_string())));
  }
}

void set_styles(GenerateRequest& request, const json::value& value) {
  if (value.is_string()) return request.styles.emplace_back(value.as_string()), void();
  request.styles.clear();
  for (const json::value& item : value.as_array())
    request.styles.emplace_back(item.is_string() ? item.as_string() : "");
}

void set_memory_limit(GenerateRequest& request, const json::value& value) {
  request.memory_limit = bytes_of(std::string(value.as_string()), "memory_limit");
}

using R = GenerateRequest;
constexpr double kMostSide = 8192, kMostSigma = 5000;
constexpr size_t kMostNumbers = 1001;  // of a list
constexpr size_t kMostText = 10'000;

const RequestField kFields[] = {
    {.name = "prompt",
     .kind = FieldKind::Text,
     .help = "what to draw, in words",
     .set = set_text<&R::prompt>},
    {.name = "negative_prompt",
     .kind = FieldKind::Text,
     .help = "what to keep out (needs guidance_scale above 1)",
     .set = set_text<&R::negative_prompt>},
    {.name = "prompt_2",
     .kind = FieldKind::Text,
     .help = "XL models: words for the second text encoder (default: the prompt)",
     .set = set_text<&R::prompt_2>},
    {.name = "negative_prompt_2",
     .kind = FieldKind::Text,
     .help = "XL models: likewise for the negative prompt",
     .set = set_text<&R::negative_prompt_2>},
    {.name = "model",
     .kind = FieldKind::Path,
     .help = "diffusers folder, .safetensors or .ckpt (default: the embedded model)",
     .set = set_text<&R::model>},
    {.name = "vae",
     .kind = FieldKind::Path,
     .help = "another VAE: diffusers folder, or a file of an AutoencoderKL or TAESD (default: the model's)",
     .set = set_text<&R::vae>},
    {.name = "preview_vae",
     .kind = FieldKind::Path,
     .help = "VAE that previews are decoded with, such as TAESD (default: an estimate of the colours)",
     .set = set_text<&R::preview_vae>},
    {.name = "lora",
     .kind = FieldKind::Loras,
     .help = "FILE[:WEIGHT]: a LoRA to add, with kohya's, diffusers' or PEFT's names; may be given again "
             "(default weight: 1)",
     .set = set_loras},
    {.name = "refiner",
     .kind = FieldKind::Path,
     .help = "XL models: a model that takes over for the last steps",
     .set = set_text<&R::refiner>},
    {.name = "refiner_start",
     .kind = FieldKind::Number,
     .help = "share of the noise levels after which the refiner takes over, 0 to 1 (default: 0.8)",
     .least = 0,
     .most = 1,
     .get = get<&R::refiner_start>,
     .set = set_number<&R::refiner_start>},
    {.name = "width",
     .kind = FieldKind::Integer,
     .help = "pixels, a multiple of 8 (default: the model's own size)",
     .least = 8,
     .most = kMostSide,
     .set = set_integer<&R::width>},
    {.name = "height",
     .kind = FieldKind::Integer,
     .help = "pixels, a multiple of 8 (default: the model's own size)",
     .least = 8,
     .most = kMostSide,
     .set = set_integer<&R::height>},
    {.name = "steps",
     .kind = FieldKind::Integer,
     .help = "denoising steps (default: the model's, or 50)",
     .least = 1,
     .most = 1000,
     .set = set_integer<&R::steps>},
    {.name = "guidance_scale",
     .kind = FieldKind::Number,
     .help = "how strictly to follow the prompt; 1 and less: guidance off (default: the model's, or 7.5)",
     .least = 0,
     .most = 1000,
     .set = set_number<&R::guidance_scale>},
    {.name = "guidance_rescale",
     .kind = FieldKind::Number,
     .help = "0 to 1: keep the contrast of the unguided picture, against burnt colours (default: 0)",
     .least = 0,
     .most = 1,
     .get = get<&R::guidance_rescale>,
     .set = set_number<&R::guidance_rescale>},
    {.name = "guidance_start",
     .kind = FieldKind::Number,
     .help = "share of the steps before guidance begins, 0 to 1 (default: 0)",
     .least = 0,
     .most = 1,
     .get = get<&R::guidance_start>,
     .set = set_number<&R::guidance_start>},
    {.name = "guidance_end",
     .kind = FieldKind::Number,
     .help = "share of the steps after which guidance ends, 0 to 1 (default: 1)",
     .least = 0,
     .most = 1,
     .get = get<&R::guidance_end>,
     .set = set_number<&R::guidance_end>},
    {.name = "skip_unconditional",
     .kind = FieldKind::Number,
     .help = "noise level (sigma) below which every other step goes unguided, to save time (default: 0)",
     .least = 0,
     .most = 1000,
     .get = get<&R::skip_unconditional>,
     .set = set_number<&R::skip_unconditional>},
    {.name = "image_guidance_scale",
     .kind = FieldKind::Number,
     .help = "models that edit by instruction: how closely to keep to the picture (default: 1.5)",
     .least = 0,
     .most = 100,
     .get = get<&R::image_guidance_scale>,
     .set = set_number<&R::image_guidance_scale>},
    {.name = "pag_scale",
     .kind = FieldKind::Number,
     .help = "perturbed-attention guidance; 3 is usual (default: 0, off)",
     .least = 0,
     .most = 100,
     .get = get<&R::pag_scale>,
     .set = set_number<&R::pag_scale>},
    {.name = "pag_adaptive_scale",
     .kind = FieldKind::Number,
     .help = "how fast pag_scale falls over the timesteps (default: 0)",
     .least = 0,
     .most = 1,
     .get = get<&R::pag_adaptive_scale>,
     .set = set_number<&R::pag_adaptive_scale>},
    {.name = "pag_blocks",
     .kind = FieldKind::Text,
     .help = "blocks that pag_scale perturbs, by commas: mid, down, up, down.N, up.N (default: mid)",
     .get = get<&R::pag_blocks>,
     .set = set_text<&R::pag_blocks>},
    {.name = "sag_scale",
     .kind = FieldKind::Number,
     .help = "self-attention guidance; 0.75 is usual (default: 0, off)",
     .least = 0,
     .most = 100,
     .get = get<&R::sag_scale>,
     .set = set_number<&R::sag_scale>},
    {.name = "freeu",
     .kind = FieldKind::Text,
     .help = "S1,S2,B1,B2: FreeU's factors, such as 0.9,0.2,1.5,1.6 (default: off)",
     .set = set_text<&R::freeu>},
    {.name = "step_cache",
     .kind = FieldKind::Integer,
     .help = "do the U-Net's deep layers at every Nth call only (DeepCache); changes the picture "
             "(default: 1, off)",
     .least = 1,
     .most = 1000,
     .get = get<&R::step_cache>,
     .set = set_integer<&R::step_cache>},
    {.name = "step_cache_branch",
     .kind = FieldKind::Integer,
     .help = "how deep the calls between go: the last layer on the way down (default: 0, the first)",
     .least = 0,
     .most = 100,
     .get = get<&R::step_cache_branch>,
     .set = set_integer<&R::step_cache_branch>},
    {.name = "token_merging",
     .kind = FieldKind::Number,
     .help = "share of the tokens that self-attention takes as one with others, 0 to 0.75 (ToMe); changes "
             "the picture (default: 0, off)",
     .least = 0,
     .most = 0.75,
     .get = get<&R::token_merging>,
     .set = set_number<&R::token_merging>},
    {.name = "scheduler",
     .kind = FieldKind::Text,
     .help = "step rule (default: the model's)",
     .choices = [] { return names_of(schedulers::all()); },
     .set = set_text<&R::scheduler>},
    {.name = "schedule",
     .kind = FieldKind::Text,
     .help = "spacing of the noise levels (default: the model's)",
     .choices = [] { return names_of(schedulers::all_schedules()); },
     .set = set_text<&R::schedule>},
    {.name = "sigma_min",
     .kind = FieldKind::Number,
     .help = "least noise level of karras, exponential and the like (default: the model's)",
     .least = 0,
     .most = 1000,
     .set = set_number<&R::sigma_min>},
    {.name = "sigma_max",
     .kind = FieldKind::Number,
     .help = "greatest noise level of the same (default: the model's)",
     .least = 0,
     .most = kMostSigma,
     .set = set_number<&R::sigma_max>},
    {.name = "rho",
     .kind = FieldKind::Number,
     .help = "how karras and polyexponential crowd towards the least level (default: 7 and 1)",
     .least = 0,
     .most = 100,
     .set = set_number<&R::rho>},
    {.name = "sigmas",
     .kind = FieldKind::Numbers,
     .help =
         "noise levels of a run, by commas, falling, in the place of steps and schedule; the final 0 may be "
         "left out",
     .least = 0,
     .most = kMostSigma,
     .set = set_numbers<&R::sigmas>},
    {.name = "noise_levels",
     .kind = FieldKind::Text,
     .help = "precision of the model's noise levels; A1111 before 1.7 had float16 (default: float32)",
     .choices = [] { return std::string("float32, float16"); },
     .get = get<&R::noise_levels>,
     .set = set_text<&R::noise_levels>},
    {.name = "prediction",
     .kind = FieldKind::Text,
     .help = "what the model predicts, where its file does not say (default: the model's)",
     .choices = [] { return std::string("epsilon, v_prediction, sample"); },
     .set = set_text<&R::prediction>},
    {.name = "eta",
     .kind = FieldKind::Number,
     .help = "share of fresh noise, 0 to 1 (default: 0 for ddim and tcd, 1 for ancestral and SDE samplers)",
     .least = 0,
     .most = 1,
     .set = set_number<&R::eta>},
    {.name = "seed",
     .kind = FieldKind::Seed,
     .help = "of the first picture; picture i has seed + i (default: random)",
     .set = set_seed},
    {.name = "count",
     .kind = FieldKind::Integer,
     .help = "number of pictures (default: 1)",
     .least = 1,
     .most = 1024,
     .get = get<&R::count>,
     .set = set_integer<&R::count>},
    {.name = "batch_index",
     .kind = FieldKind::Integer,
     .help =
         "where one generator draws for a batch (ComfyUI): number of the first picture to make (default: 0)",
     .least = 0,
     .most = 1023,
     .get = get<&R::batch_index>,
     .set = set_integer<&R::batch_index>},
    {.name = "batch_size",
     .kind = FieldKind::Integer,
     .help = "pictures of that batch (default: count)",
     .least = 1,
     .most = 1024,
     .set = set_integer<&R::batch_size>},
    {.name = "clip_skip",
     .kind = FieldKind::Integer,
     .help = "layers of the text encoder to leave out, as diffusers counts; with another compat, as that one "
             "does "
             "(default: 0)",
     .least = 0,
     .most = 255,
     .get = get<&R::clip_skip>,
     .set = set_integer<&R::clip_skip>},
    {.name = "original_size",
     .kind = FieldKind::Size,
     .help = "XL models: WIDTHxHEIGHT the training picture is said to have had (default: the picture's)",
     .set = set_size<&R::original_size>},
    {.name = "target_size",
     .kind = FieldKind::Size,
     .help = "XL models: WIDTHxHEIGHT that is said to be wanted (default: the picture's)",
     .set = set_size<&R::target_size>},
    {.name = "crop",
     .kind = FieldKind::Integers,
     .help = "XL models: TOP,LEFT of the crop that is said to have been made (default: 0,0)",
     .least = 0,
     .most = kMostSide,
     .items = 2,
     .set = set_integers<&R::crop>},
    {.name = "negative_original_size",
     .kind = FieldKind::Size,
     .help = "XL models: original_size of the negative prompt",
     .set = set_size<&R::negative_original_size>},
    {.name = "negative_target_size",
     .kind = FieldKind::Size,
     .help = "XL models: target_size of the negative prompt",
     .set = set_size<&R::negative_target_size>},
    {.name = "negative_crop",
     .kind = FieldKind::Integers,
     .help = "XL models: crop of the negative prompt",
     .least = 0,
     .most = kMostSide,
     .items = 2,
     .set = set_integers<&R::negative_crop>},
    {.name = "aesthetic_score",
     .kind = FieldKind::Number,
     .help = "XL refiner: score that is said to be wanted (default: 6)",
     .least = 0,
     .most = 100,
     .get = get<&R::aesthetic_score>,
     .set = set_number<&R::aesthetic_score>},
    {.name = "negative_aesthetic_score",
     .kind = FieldKind::Number,
     .help = "XL refiner: score of the negative prompt (default: 2.5)",
     .least = 0,
     .most = 100,
     .get = get<&R::negative_aesthetic_score>,
     .set = set_number<&R::negative_aesthetic_score>},
    {.name = "init_image",
     .kind = FieldKind::Path,
     .help = "picture to start from (image to image), to repaint (with mask) or to edit",
     .set = set_text<&R::init_image>},
    {.name = "strength",
     .kind = FieldKind::Number,
     .help = "how far to change init_image: 0 keeps it, 1 forgets it (default: 0.8)",
     .least = 0,
     .most = 1,
     .get = get<&R::strength>,
     .set = set_number<&R::strength>},
    {.name = "mask",
     .kind = FieldKind::Path,
     .help = "picture of init_image's size: white is repainted, black is kept to the bit",
     .set = set_text<&R::mask>},
    {.name = "mask_mode",
     .kind = FieldKind::Text,
     .help = "what grey in the mask means: nothing (hard), or a share of the new picture or of the steps "
             "(default: hard)",
     .choices = [] { return names_of(pipelines::mask_modes()); },
     .get = get<&R::mask_mode>,
     .set = set_text<&R::mask_mode>},
    {.name = "mask_blur",
     .kind = FieldKind::Number,
     .help = "pixels over which what is new fades in, inside the mask (default: 4)",
     .least = 0,
     .most = 256,
     .get = get<&R::mask_blur>,
     .set = set_number<&R::mask_blur>},
    {.name = "masked_content",
     .kind = FieldKind::Text,
     .help = "what is under the mask at the start (default: original)",
     .choices = [] { return names_of(pipelines::masked_contents()); },
     .get = get<&R::masked_content>,
     .set = set_text<&R::masked_content>},
    {.name = "inpaint_area",
     .kind = FieldKind::Text,
     .help = "whole picture, or the masked part alone, worked on at width × height (default: whole)",
     .choices = [] { return std::string("whole, masked"); },
     .get = get<&R::inpaint_area>,
     .set = set_text<&R::inpaint_area>},
    {.name = "mask_padding",
     .kind = FieldKind::Integer,
     .help = "pixels around the mask with inpaint_area masked (default: 32)",
     .least = 0,
     .most = 4096,
     .get = get<&R::mask_padding>,
     .set = set_integer<&R::mask_padding>},
    {.name = "outpaint",
     .kind = FieldKind::Integers,
     .help = "LEFT,TOP,RIGHT,BOTTOM: pixels to add to init_image and paint",
     .least = 0,
     .most = kMostSide,
     .items = 4,
     .set = set_integers<&R::outpaint>},
    {.name = "hires_scale",
     .kind = FieldKind::Number,
     .help = "make the picture again, larger by this factor, from the first one (default: 1, off)",
     .least = 1,
     .most = 8,
     .get = get<&R::hires_scale>,
     .set = set_number<&R::hires_scale>},
    {.name = "hires_steps",
     .kind = FieldKind::Integer,
     .help = "steps of that second pass (default: as steps)",
     .least = 1,
     .most = 1000,
     .set = set_integer<&R::hires_steps>},
    {.name = "hires_strength",
     .kind = FieldKind::Number,
     .help = "how far the second pass changes the first picture (default: 0.7)",
     .least = 0,
     .most = 1,
     .get = get<&R::hires_strength>,
     .set = set_number<&R::hires_strength>},
    {.name = "hires_upscaler",
     .kind = FieldKind::Text,
     .help = "how the first picture is enlarged (default: latent)",
     .choices = [] { return names_of(pipelines::upscalers()); },
     .get = get<&R::hires_upscaler>,
     .set = set_text<&R::hires_upscaler>},
    {.name = "seamless",
     .kind = FieldKind::Text,
     .help = "edges that fit one another, for patterns (default: none)",
     .choices = [] { return std::string("none, x, y, xy"); },
     .get = get<&R::seamless>,
     .set = set_text<&R::seamless>},
    {.name = "tile",
     .kind = FieldKind::Integer,
     .help = "pixels a side of overlapping parts that are denoised one by one, for pictures larger than "
             "memory (default: 0, off)",
     .least = 0,
     .most = kMostSide,
     .get = get<&R::tile>,
     .set = set_integer<&R::tile>},
    {.name = "tile_overlap",
     .kind = FieldKind::Integer,
     .help = "pixels that those parts overlap by, fewer than tile (default: 128, or half of tile)",
     .least = 0,
     .most = kMostSide,
     .set = set_integer<&R::tile_overlap>},
    {.name = "vae_tile",
     .kind = FieldKind::Integer,
     .help =
         "pixels a side of overlapping parts that are decoded one by one, to save memory (default: 768 for "
         "pictures over 1024)",
     .least = 0,
     .most = kMostSide,
     .set = set_integer<&R::vae_tile>},
    {.name = "init_latents",
     .kind = FieldKind::Path,
     .help = "safetensors with 'latents', float32 [pictures, channels, h, w], used as the unit noise",
     .set = set_text<&R::init_latents>},
    {.name = "compat",
     .kind = FieldKind::Text,
     .help = "whose conventions to follow (default: diffusers)",
     .choices = [] { return names_of(compats()); },
     .get = get<&R::compat>,
     .set = set_text<&R::compat>},
    {.name = "prompt_syntax",
     .kind = FieldKind::Text,
     .help = "language of the prompts (default: as compat has it; diffusers: plain)",
     .choices = [] { return names_of(text::prompt_syntaxes()); },
     .set = set_text<&R::prompt_syntax>},
    {.name = "styles_file",
     .kind = FieldKind::Path,
     .help = "A1111's styles.csv: name, prompt, negative_prompt",
     .set = set_text<&R::styles_file>},
    {.name = "style",
     .kind = FieldKind::Texts,
     .help = "a style of styles_file to add to the prompts; may be given again",
     .set = set_styles},
    {.name = "wildcards",
     .kind = FieldKind::Path,
     .help =
         "folder of text files: __name__ in a prompt is a line of name.txt, {a|b} a choice, both by the seed",
     .set = set_text<&R::wildcards>},
    {.name = "emphasis",
     .kind = FieldKind::Text,
     .help = "how weights of A1111's language count (default: original)",
     .choices = [] { return names_of(text::emphases()); },
     .get = get<&R::emphasis>,
     .set = set_text<&R::emphasis>},
    {.name = "prompt_editing",
     .kind = FieldKind::Text,
     .help = "how [a:b:0.5] of A1111's language counts: a number with a point is a share; before_1.6: one "
             "below 1 "
             "(default: current)",
     .choices = [] { return std::string("current, before_1.6"); },
     .get = get<&R::prompt_editing>,
     .set = set_text<&R::prompt_editing>},
    {.name = "noise",
     .kind = FieldKind::Text,
     .help = "who makes random numbers (default: as compat has it; diffusers: cpu)",
     .choices = [] { return names_of(schedulers::noise_generators()); },
     .set = set_text<&R::noise>},
    {.name = "variation_seed",
     .kind = FieldKind::Seed,
     .help = "a second seed whose noise is mixed in; picture i has variation_seed + i (default: 0)",
     .get = get<&R::variation_seed>,
     .set = set_unsigned<&R::variation_seed>},
    {.name = "variation_strength",
     .kind = FieldKind::Number,
     .help = "how much of it, 0 to 1 (default: 0)",
     .least = 0,
     .most = 1,
     .get = get<&R::variation_strength>,
     .set = set_number<&R::variation_strength>},
    {.name = "seed_resize",
     .kind = FieldKind::Size,
     .help = "WIDTHxHEIGHT at which the seed's noise was drawn first, to keep its composition (A1111)",
     .set = set_size<&R::seed_resize>},
    {.name = "eta_noise_seed_delta",
     .kind = FieldKind::Seed,
     .help = "added to the seeds for the sampler's own noise (A1111's ENSD; default: 0)",
     .get = get<&R::eta_noise_seed_delta>,
     .set = set_unsigned<&R::eta_noise_seed_delta>},
    {.name = "device",
     .kind = FieldKind::Text,
     .help = "cpu, cuda or cuda:N (default: cpu)",
     .get = get<&R::device>,
     .set = set_text<&R::device>},
    {.name = "dtype",
     .kind = FieldKind::Text,
     .help = "arithmetic (default: float32); auto is the fastest that the machine has, and says which",
     .choices = [] { return std::string("auto, float32, bfloat16, float16"); },
     .get = get<&R::dtype>,
     .set = set_text<&R::dtype>},
    {.name = "quantize",
     .kind = FieldKind::Text,
     .help = "the U-Net's weights in 8 bits, or what is multiplied with them too: faster, and the picture "
             "changes a little",
     .choices = [] { return names_of(quantizations()); },
     .get = get<&R::quantize>,
     .set = set_text<&R::quantize>},
    {.name = "plain",
     .kind = FieldKind::Boolean,
     .help = "LibTorch's operations only, without limn's faster kernels for the CPU",
     .get = get<&R::plain>,
     .set = set_boolean<&R::plain>},
    {.name = "memory_limit",
     .kind = FieldKind::Text,
     .help =
         "such as 4GiB or 3500MiB: decode in tiles, the halves of guidance in turn, fewer pictures at once "
         "until it fits, or refuse (default: none)",
     .set = set_memory_limit},
};

[[noreturn]] void refuse(const RequestField& field, const std::string& expected, const std::string& found) {
  throw Error(ErrorCode::InvalidArgument, std::string(field.name),
              "expected " + expected + ", found " + found);
}

std::string plain(double number) {
  return std::abs(number) < 1e15 && number == std::trunc(number)
             ? std::to_string(static_cast<int64_t>(number))
             : std::to_string(number);
}

std::string expectation(const RequestField& field) {
  switch (field.kind) {
    case FieldKind::Boolean:
      return "true or false";
    case FieldKind::Seed:
      return "an integer from 0 to 18446744073709551615";
    case FieldKind::Integer:
      return "an integer from " + plain(field.least) + " to " + plain(field.most);
    case FieldKind::Loras:
      return "a list of FILE[:WEIGHT]";
    case FieldKind::Texts:
      return "a list of texts";
    case FieldKind::Size:
      return "WIDTHxHEIGHT, pixels from 1 to " + plain(kMostSide);
    case FieldKind::Integers:
      return std::to_string(field.items) + " integers from " + plain(field.least) + " to " +
             plain(field.most);
    case FieldKind::Numbers:
      return "numbers from " + plain(field.least) + " to " + plain(field.most) + ", 1 to " +
             std::to_string(kMostNumbers) + " of them";
    case FieldKind::Number:
      return "a number from " + plain(field.least) + " to " + plain(field.most);
    default:
      return "text";
  }
}

template <typename Number>
json::value number_of(const RequestField& field, const std::string& text) {
  Number number{};
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (code != std::errc() || end != text.data() + text.size())
    refuse(field, expectation(field), "'" + text + "'");
  return number;
}

/// The record inside a picture holds the texts, so they must be storable there.
void check_text(const RequestField& field, std::string_view text) {
  if (text.size() > kMostText)
    refuse(field, "at most " + std::to_string(kMostText) + " bytes", std::to_string(text.size()));
  if (!is_plain_utf8(text))
    throw Error(ErrorCode::InvalidArgument, std::string(field.name), "is not valid UTF-8, or holds a NUL");
}

bool is_list_of_integers(const json::value& value, size_t items, double least, double most) {
  const json::array* list = value.if_array();
  return list && list->size() == items && std::ranges::all_of(*list, [&](const json::value& item) {
           return item.is_int64() && static_cast<double>(item.as_int64()) >= least &&
                  static_cast<double>(item.as_int64()) <= most;
         });
}

bool is_list_of_numbers(const json::value& value, double least, double most) {
  const json::array* list = value.if_array();
  return list && !list->empty() && list->size() <= kMostNumbers &&
         std::ranges::all_of(*list, [&](const json::value& item) {
           return item.is_number() && item.to_number<double>() >= least && item.to_number<double>() <= most;
         });
}

/// "512x768" or "4,0,4,0" as a list.
template <typename Number>
json::array list_of(const RequestField& field, const std::string& text) {
  json::array out;
  const char separator = field.kind == FieldKind::Size ? 'x' : ',';
  for (size_t start = 0, end; start <= text.size(); start = end + 1) {
    end = std::min(text.find(separator, start), text.size());
    out.push_back(number_of<Number>(field, text.substr(start, end - start)));
  }
  return out;
}

bool has_kind(const RequestField& field, const json::value& value) {
  switch (field.kind) {
    case FieldKind::Boolean:
      return value.is_bool();
    case FieldKind::Seed:
      return value.is_uint64() || (value.is_int64() && value.as_int64() >= 0);
    case FieldKind::Integer:
      return value.is_int64();
    case FieldKind::Number:
      return value.is_number();
    case FieldKind::Loras:
    case FieldKind::Texts:
      return value.is_array() || value.is_string();
    case FieldKind::Size:
      return is_list_of_integers(value, 2, 1, kMostSide);
    case FieldKind::Integers:
      return is_list_of_integers(value, field.items, field.least, field.most);
    case FieldKind::Numbers:
      return is_list_of_numbers(value, field.least, field.most);
    default:
      return value.is_string();
  }
}

}  // namespace

std::span<const RequestField> request_fields() { return kFields; }

json::value default_of(const RequestField& field) {
  return field.get ? field.get(GenerateRequest()) : json::value(nullptr);
}

int64_t bytes_of(const std::string& text, const std::string& field) {
  struct Unit {
    std::string_view name;
    double bytes;
  };
  static constexpr double kKibi = 1024, kKilo = 1000;
  static constexpr Unit kUnits[] = {{"", 1},
                                    {"B", 1},
                                    {"M", kKibi * kKibi},
                                    {"MiB", kKibi * kKibi},
                                    {"MB", kKilo * kKilo},
                                    {"G", kKibi * kKibi * kKibi},
                                    {"GiB", kKibi * kKibi * kKibi},
                                    {"GB", kKilo * kKilo * kKilo}};
  constexpr double kMost = 1e15;
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [last, code] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  std::string_view name(last, static_cast<size_t>(end - last));
  if (name.starts_with(' ')) name.remove_prefix(1);
  const Unit* unit = try_find_named(std::span<const Unit>(kUnits), name);
  const double bytes = unit ? number * unit->bytes : 0;
  if (code != std::errc() || !(bytes >= 1) || bytes > kMost)
    throw Error(ErrorCode::InvalidArgument, field,
                "expected a size such as 4GiB or 3500MiB, found '" + text + "'");
  return static_cast<int64_t>(bytes);
}

void set_field(GenerateRequest& request, const RequestField& field, const json::value& value) {
  if (!has_kind(field, value)) refuse(field, expectation(field), to_text(value));
  if (field.kind == FieldKind::Integer || field.kind == FieldKind::Number) {
    const double number = value.to_number<double>();
    if (!(number >= field.least && number <= field.most))
      refuse(field, expectation(field), plain(number));  // NaN too
  }
  if (field.kind == FieldKind::Text) check_text(field, value.as_string());
  field.set(request, value);
  const json::string_view name(field.name.data(), field.name.size());
  const bool is_list = field.kind == FieldKind::Loras || field.kind == FieldKind::Texts;
  if (is_list && value.is_string() && request.given.contains(name))
    request.given[name].as_array().push_back(value);
  else
    request.given[name] = is_list && value.is_string() ? json::value(json::array{value}) : value;
}

void set_field_from_text(GenerateRequest& request, const RequestField& field, const std::string& text) {
  switch (field.kind) {
    case FieldKind::Boolean:
      return set_field(request, field,
                       text == "true" || text == "false" ? json::value(text == "true") : json::value(text));
    case FieldKind::Seed:
      return set_field(request, field, number_of<uint64_t>(field, text));
    case FieldKind::Integer:
      return set_field(request, field, number_of<int64_t>(field, text));
    case FieldKind::Number:
      return set_field(request, field, number_of<double>(field, text));
    case FieldKind::Size:
    case FieldKind::Integers:
      return set_field(request, field, list_of<int64_t>(field, text));
    case FieldKind::Numbers:
      return set_field(request, field, list_of<double>(field, text));
    default:
      return set_field(request, field, json::value(text));
  }
}

GenerateRequest request_from_json(const json::object& object) {
  GenerateRequest request;
  for (const auto& [key, value] : object)
    set_field(request, find_named(request_fields(), std::string_view(key.data(), key.size()), "request"),
              value);
  return request;
}

}  // namespace limn::engine
