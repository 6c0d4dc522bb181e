// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "limn/base/json.h"

namespace limn::engine {

/// A LoRA file and how strongly it counts.
struct LoraChoice {
  std::filesystem::path file;
  double weight = 1.0;
};

/// Pixels; 0 × 0 is not given.
struct Size {
  int64_t width = 0, height = 0;
  bool given() const { return width > 0; }
};

/// Every setting of a request for pictures; what is absent is decided by the model. A plain value.
/// The ranges, units and help texts are in request_fields(); command line and servers read that table.
struct GenerateRequest {
  std::string prompt, prompt_2;
  std::optional<std::string> negative_prompt;  // absent is not empty: see pipelines/conditioning.h
  std::string negative_prompt_2;
  std::filesystem::path model, vae, preview_vae;  // empty: the embedded model; the model's own VAE
  std::vector<LoraChoice> loras;                  // in the order in which they are added
  std::filesystem::path refiner;                  // empty: none
  double refiner_start = 0.8;
  std::optional<int64_t> width, height, steps;
  std::optional<double> guidance_scale;
  double guidance_rescale = 0, guidance_start = 0, guidance_end = 1, skip_unconditional = 0;
  int64_t step_cache = 1, step_cache_branch = 0;
  double token_merging = 0;
  double image_guidance_scale = 1.5, pag_scale = 0, pag_adaptive_scale = 0, sag_scale = 0;
  std::string pag_blocks = "mid", freeu;
  std::string scheduler, schedule, prediction;  // empty: as the model's own configuration says
  std::optional<double> eta;
  std::optional<uint64_t> seed;  // absent: drawn at random, and told in the record
  int64_t count = 1;
  int64_t batch_index = 0;
  std::optional<int64_t> batch_size;  // absent: count
  int64_t clip_skip = 0;
  Size original_size, target_size, negative_original_size, negative_target_size;
  std::vector<int64_t> crop, negative_crop;  // top, left
  double aesthetic_score = 6, negative_aesthetic_score = 2.5;
  std::filesystem::path init_image, init_latents, mask;
  double strength = 0.8;
  std::string mask_mode = "hard", masked_content = "original", inpaint_area = "whole";
  double mask_blur = 4;
  int64_t mask_padding = 32;
  std::vector<int64_t> outpaint;  // pixels to add: left, top, right, bottom
  double hires_scale = 1, hires_strength = 0.7;
  std::optional<int64_t> hires_steps;
  std::string hires_upscaler = "latent";
  std::string seamless = "none";
  int64_t tile = 0;                     // pixels
  std::optional<int64_t> tile_overlap;  // pixels
  int64_t vae_tile = 0;                 // pixels
  std::optional<double> sigma_min, sigma_max, rho;
  std::vector<double> sigmas;  // falling; empty: as the schedule says
  std::string noise_levels = "float32", prompt_editing = "current";
  std::filesystem::path styles_file, wildcards;
  std::vector<std::string> styles;                   // of styles_file, in the order in which they are applied
  std::string prompt_syntax, emphasis = "original";  // empty: as compat says
  std::string noise;                                 // empty: as compat says
  uint64_t variation_seed = 0, eta_noise_seed_delta = 0;
  double variation_strength = 0;
  Size seed_resize;
  std::string compat = "diffusers", device = "cpu", dtype = "float32", quantize = "none";
  bool plain = false;
  int64_t memory_limit = 0;  // bytes; 0: none

  json::object given;  // the fields that were set, as they were given
};

enum class FieldKind { Text, Path, Boolean, Integer, Seed, Number, Size, Integers, Numbers, Loras, Texts };

/// One setting: how it is named, said and checked.
struct RequestField {
  std::string_view name;  // "guidance_scale"; on the command line "--guidance-scale"
  FieldKind kind;
  std::string_view help;               // with unit and default
  double least = 0, most = 0;          // of numbers and those of a list, inclusive
  size_t items = 0;                    // of a list of integers
  std::string (*choices)() = nullptr;  // of a text from a list: the known names, for the help
  json::value (*get)(const GenerateRequest& request) = nullptr;  // where a request that lacks it has a value
  void (*set)(GenerateRequest& request, const json::value& value);
};
std::span<const RequestField> request_fields();

/// What a request has that does not say it; null: nothing, or what the model or chance decides.
json::value default_of(const RequestField& field);

/// Bytes of "4GiB", "3500MiB", "4 GB", "512M" (as MiB) or a plain number of bytes.
/// @throws Error{InvalidArgument} at `field` for other texts and for 0
int64_t bytes_of(const std::string& text, const std::string& field);

/// Sets one field. @throws Error{InvalidArgument} at the field's name: wrong type, out of range, not finite
void set_field(GenerateRequest& request, const RequestField& field, const json::value& value);

/// Sets one field from a command line's text; a list's gets one entry more.
void set_field_from_text(GenerateRequest& request, const RequestField& field, const std::string& text);

/// A request from a JSON object of fields. @throws Error{InvalidArgument}, also for names it does not know
GenerateRequest request_from_json(const json::object& object);

}  // namespace limn::engine
