// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "limn/models/autoencoder_kl/autoencoder_kl.h"
#include "limn/models/autoencoder_tiny/autoencoder_tiny.h"
#include "limn/models/model.h"

namespace limn::engine {

/// A model as its configurations and headers describe it; of its weights nothing is read. A value.
struct Described {
  std::string name;
  models::Checkpoint checkpoint;
  models::RequestDefaults defaults;
  models::UNet2DConditionConfig unet;
  std::optional<models::AutoencoderKLConfig> vae;
  std::optional<models::AutoencoderTinyConfig> tiny_vae;
  std::map<std::string, text::CLIPTextConfig> texts;

  int64_t factor() const {
    return vae ? vae->factor() : int64_t{1} << (tiny_vae->encoder_block_out_channels.size() - 1);
  }
  int64_t latent_channels() const { return vae ? vae->latent_channels : tiny_vae->latent_channels; }
  int64_t native_size() const { return unet.sample_size * factor(); }  // pixels
  bool edits() const { return unet.in_channels == 2 * latent_channels(); }
};

/// Where a model lies, all links followed. @param model  empty: the embedded model. @throws Error{NotFound}
std::filesystem::path place_of(const std::filesystem::path& model);
/// What it is called in records.
std::string model_name_of(const std::filesystem::path& model);

/// @param vae  in the place of its own; empty: none
/// @throws Error as models::open_checkpoint
Described describe_model(const std::filesystem::path& model, const std::filesystem::path& vae = {});

}  // namespace limn::engine
