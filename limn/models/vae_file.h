// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "limn/models/checkpoint.h"

namespace limn::models {

/// A separate VAE for a model, or in the place of its own: a diffusers folder (or a model's folder that holds one), an
/// AutoencoderKL with diffusers' or LDM's names, or a TAESD file (diffusers', ComfyUI's or its author's names), which may
/// hold the decoder alone. Files do not say the latents' scale: an AutoencoderKL file gets that of the model's own VAE.
/// @throws Error{NotFound}; Error{BadFile} for other files and for another number of latent channels
Part open_vae(const Checkpoint& checkpoint, const std::filesystem::path& path);
void use_vae(Checkpoint& checkpoint, const std::filesystem::path& path);

}  // namespace limn::models
