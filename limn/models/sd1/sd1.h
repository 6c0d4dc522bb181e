// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "limn/base/json.h"
#include "limn/models/family.h"
#include "limn/weights/index.h"

namespace limn::models::sd1 {

/// The row of the table of families.
Family family();

/// A single file's tensors by part ("unet", "vae", "text_encoder"), prefixes stripped, names still LDM's.
/// Harmless buffers go without a word; EMA copies and training leftovers with a warning.
/// @throws Error{BadFile} listing keys of no part, or the parts that are missing
std::map<std::string, weights::Index> split_by_prefix(const weights::Index& file,
                                                      std::vector<std::string>& warnings);

/// What LDM files call a part: "unet" → "model.diffusion_model.".
std::string prefix_of(const std::string& part);

/// diffusers' config.json of Stable Diffusion 1.5, with sizes, layers and block types read off the shapes of
/// LDM-named tensors without prefix. What no shape tells is as in SD 1.5: 8 attention heads, 32 norm groups;
/// text: 64 channels a head.
/// @throws Error{BadFile} naming the tensor that is missing or of a wrong shape
json::object unet_config(const weights::Index& unet);
json::object vae_config(const weights::Index& vae);
json::object text_encoder_config(const weights::Index& text_encoder);

}  // namespace limn::models::sd1
