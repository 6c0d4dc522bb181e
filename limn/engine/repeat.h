// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "limn/engine/request.h"
#include "limn/provenance/recipe.h"

namespace limn::engine {

/// What makes a picture again, as far as its metadata says.
struct Repeat {
  provenance::Recipe recipe;
  GenerateRequest request;
  std::vector<std::string> honoured;  // "steps: 20", field by field
  std::vector<std::string> changed;   // "steps: 30, was 20": what the caller has otherwise
  std::vector<std::string> problems;  // what cannot be done as the picture says, and why
  bool model_found = false;           // request.model (empty: the embedded model) is what the picture names
};

/// Reads a picture's metadata into a request, and looks for its model, VAE and LoRAs in `folders`, by hash where one is
/// known and by name else.
/// @param changes  fields of a request that the caller will set; a model among them is checked against the picture's hash
/// @throws Error{NotFound} for a picture without metadata that limn can read; Error{BadFile} for damaged metadata
Repeat repeat_picture(const std::filesystem::path& picture, std::span<const std::filesystem::path> folders,
                      const json::object& changes = {});

/// The recipe inside a picture's texts, for `limn info`; empty lines when there is none.
std::string describe(const provenance::Recipe& recipe);

}  // namespace limn::engine
