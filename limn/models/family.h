// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "limn/models/checkpoint.h"
#include "limn/weights/index.h"

namespace limn::models {

/// What the denoiser works on: pixels = decode(latents / scale + shift).
struct LatentFormat {
  int64_t channels;
  int64_t downscale;  // pixels of a side per latent
  double scale;       // diffusers' scaling_factor
  double shift;
};

/// One architecture that limn can run: a value. How its files are told from others is in identify_rules.cpp.
struct Family {
  std::string_view name;            // "sd1", as identify() says it
  std::string_view title;           // "Stable Diffusion 1.x"
  std::string_view pipeline_class;  // diffusers', for model_index.json
  std::string_view prediction;      // of its published models, as diffusers names it: "epsilon"
  LatentFormat latent;
  int64_t native_size;                // pixels of the side it was trained at
  std::string_view scheduler_config;  // JSON text of the scheduler_config.json of its published models

  /// Parts of a single file, with configurations derived from the tensors' shapes.
  /// @param warnings  gets what was left out or assumed
  /// @throws Error{BadFile} listing what is missing or unexpected
  std::map<std::string, Part> (*split)(const weights::Index& file, std::vector<std::string>& warnings);

  /// The tensors of a single file, LDM layout: what split() takes apart.
  /// @throws Error{Unsupported} listing the tensors that have no name there
  std::map<std::string, weights::TensorEntry> (*join)(const std::map<std::string, Part>& parts);
};

std::span<const Family> families();

}  // namespace limn::models
