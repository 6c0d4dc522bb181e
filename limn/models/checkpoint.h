// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "limn/base/json.h"
#include "limn/weights/index.h"

namespace limn::models {

/// One component of a model: its configuration and its tensors, keys and shapes as diffusers has them.
struct Part {
  json::object config;  // as diffusers' config.json
  weights::Index tensors;
};

/// A model on disk, whatever its layout, brought to diffusers' names. Nothing is loaded yet. A value.
struct Checkpoint {
  std::filesystem::path path;
  std::string layout;                 // "diffusers folder" or "single file"
  std::string family;                 // a name of families()
  json::object model_index;           // empty for a single file
  std::map<std::string, Part> parts;  // "unet", "vae", "text_encoder", "text_encoder_2"
  json::object scheduler_config;      // as scheduler_config.json; the family's default for a single file
  // Folders with vocab.json and merges.txt, or tokenizer.json; empty: use the built-in one.
  std::filesystem::path tokenizer, tokenizer_2;
  bool requires_aesthetics_score = false;  // Stable Diffusion XL's refiner
  bool force_zeros_for_empty_prompt =
      true;  // diffusers: no negative prompt is zeros, for models with two encoders
  std::vector<std::filesystem::path> files;  // weight files, in order of their path
  std::vector<std::string> warnings;         // what was left out or assumed, for the user
};

/// Opens a diffusers folder or a single-file checkpoint (LDM layout; safetensors or pickle), found by
/// content.
/// @throws Error{NotFound}, Error{BadFile}; Error{Unsupported} with the right name for what is recognised but
///         cannot be run
Checkpoint open_checkpoint(const std::filesystem::path& path);

/// Where a single file that limn wrote keeps the configurations that shapes do not tell: in its metadata,
/// JSON text of an object with a part's name, or "scheduler", for each that differs from what the family's
/// rules derive.
inline constexpr char kConfigsKey[] = "limn.configs";

}  // namespace limn::models
