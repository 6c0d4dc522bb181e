// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "limn/models/checkpoint.h"
#include "limn/models/key_map.h"
#include "limn/text/clip_tokenizer.h"
#include "limn/weights/index.h"

namespace limn::models {

/// What the denoiser works on: pixels = decode(latents / scale + shift).
struct LatentFormat {
  int64_t channels;
  int64_t downscale;  // pixels of a side per latent
  double scale;       // diffusers' scaling_factor
  double shift;
};

/// How one part lies in a family's single files, LDM layout.
struct SingleFilePart {
  std::string_view name;                   // "unet"
  std::string_view class_name;             // as model_index.json names it: "CLIPTextModelWithProjection"
  std::vector<std::string_view> prefixes;  // of its tensors; the first is the one that is written
  /// config.json, derived from the shapes of the part's tensors (prefix stripped).
  json::object (*config)(const weights::Index& ldm);
  KeyMap::Tensors (*to_diffusers)(const weights::Index& ldm, const json::object& config,
                                  std::vector<std::string>& unexpected);
  KeyMap::Tensors (*to_ldm)(const Part& part, std::vector<std::string>& unexpected);
};

/// One architecture that limn can run: a value. How its files are told from others is in identify_rules.cpp.
struct Family {
  std::string_view name;            // "sd1", as identify() says it
  std::string_view title;           // "Stable Diffusion 1.x"
  std::string_view pipeline_class;  // diffusers', for model_index.json
  LatentFormat latent;
  int64_t native_size;                // pixels of the side it was trained at
  std::string_view scheduler_config;  // JSON text of the scheduler_config.json of its published models
  std::vector<SingleFilePart> parts;
  text::Padding padding = text::Padding::EndToken;  // of text_encoder; text_encoder_2 is OpenCLIP's: Zero
  /// What diffusers' model_index.json of the family says of its pipeline, besides the parts.
  bool requires_aesthetics_score = false;
  /// Settings that a single file's marker tensors ask for (v-prediction, zero SNR, EDM); may be null.
  void (*adjust)(const weights::Index& file, Checkpoint& checkpoint) = nullptr;
};

std::span<const Family> families();

/// Parts of a single file, with configurations derived from the tensors' shapes.
/// @param warnings  gets what was left out or assumed
/// @throws Error{BadFile} listing what is missing or unexpected
std::map<std::string, Part> split_single_file(const Family& family, const weights::Index& file,
                                              std::vector<std::string>& warnings);

/// The tensors of a single file, LDM layout: what split_single_file takes apart.
/// @throws Error{BadFile} listing the tensors that have no name there
std::map<std::string, weights::TensorEntry> join_single_file(const Family& family,
                                                             const std::map<std::string, Part>& parts);

// Rows that families share.
KeyMap::Tensors unet_to_diffusers(const weights::Index&, const json::object&, std::vector<std::string>&);
KeyMap::Tensors unet_to_ldm(const Part&, std::vector<std::string>&);
KeyMap::Tensors vae_to_diffusers(const weights::Index&, const json::object&, std::vector<std::string>&);
KeyMap::Tensors vae_to_ldm(const Part&, std::vector<std::string>&);
KeyMap::Tensors clip_to_diffusers(const weights::Index&, const json::object&, std::vector<std::string>&);
KeyMap::Tensors clip_to_ldm(const Part&, std::vector<std::string>&);

}  // namespace limn::models
