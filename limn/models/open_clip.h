// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "limn/models/key_map.h"

namespace limn::models {

// OpenCLIP's text model (Ilharco et al. 2021) holds the three projections of an attention in one tensor and the text
// projection transposed; transformers' CLIPTextModel does neither.

/// OpenCLIP's tensors under transformers' names. Slices and transposes share the bytes.
/// @param left_out    layers at the end to leave out: 1 for Stable Diffusion 2, which uses the one before the last
/// @param projected   keep text_projection
/// @param unexpected  gets keys that no rule maps
KeyMap::Tensors open_clip_to_diffusers(const KeyMap::Tensors& tensors, int64_t left_out, bool projected,
                                       std::vector<std::string>& unexpected);

/// The inverse; layers that were left out are not there again.
KeyMap::Tensors diffusers_to_open_clip(const KeyMap::Tensors& tensors, std::vector<std::string>& unexpected);

}  // namespace limn::models
