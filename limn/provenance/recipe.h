// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "limn/base/json.h"
#include "limn/image/image.h"
#include "limn/provenance/record.h"

namespace limn::provenance {

/// A LoRA that a picture names.
struct RecipeLora {
  std::string name;  // without folder and ending
  double weight = 1;
  std::string hash;  // as much of it as is known, or empty
};

/// How a picture was made, as its metadata says, in the terms of limn's requests. A plain value.
struct Recipe {
  std::string program;  // "limn", "a1111", "forge", "comfyui", "invokeai", "stable-diffusion.cpp"
  std::string version;
  std::string compat;             // whose conventions make it again: a name of engine's compats()
  json::object fields;            // of a request, by name; samplers as the program calls them
  std::string model, model_hash;  // name; SHA-256 or as much of it as is known
  std::string refiner, refiner_hash;
  std::string vae, vae_hash;  // of its own, where the picture names one
  std::vector<RecipeLora> loras;
  std::vector<std::pair<std::string, std::string>>
      unused;                      // fields that were read and have no place here, as they stand
  std::vector<std::string> notes;  // what is only come near to, and why
};

/// What the texts inside a picture say, whichever program wrote them; nothing when none did.
/// @throws Error{BadFile} at the keyword whose text is damaged
std::optional<Recipe> read_recipe(std::span<const TextEntry> texts);

// One reader a program; nothing for texts of others.
std::optional<Recipe> read_limn(std::span<const TextEntry> texts);
std::optional<Recipe> read_a1111(std::span<const TextEntry> texts);
std::optional<Recipe> read_comfyui(std::span<const TextEntry> texts);
std::optional<Recipe> read_invokeai(std::span<const TextEntry> texts);

/// Takes "<lora:name:weight>" and the like out of a prompt; LoRAs go to the recipe, others to its notes.
std::string without_network_tags(const std::string& prompt, Recipe& recipe);

/// A model file's name without its ending; others as they are ("v1.5" has none).
std::string without_ending(const std::string& file);

json::object to_json(const Recipe& recipe);

}  // namespace limn::provenance
