// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "limn/base/json.h"
#include "limn/weights/index.h"

namespace limn::models {

// diffusers' config.json of a part, with sizes, layers and block types read off the shapes of LDM-named tensors
// without prefix. What no shape tells is as in the published models of the family.
// All throw Error{BadFile} naming the tensor that is missing or of a wrong shape.

/// What a family's U-Nets have that no shape tells.
struct UNetHints {
  int64_t head_channels = 0;  // channels of an attention head; 0: 8 heads at every level
  int64_t sample_size = 64;   // of the latents it was trained at
};
json::object unet_config(const weights::Index& unet, const UNetHints& hints);

struct VaeHints {
  double scaling_factor = 0.18215;
  int64_t sample_size = 512;  // pixels
  bool force_upcast = false;
};
json::object vae_config(const weights::Index& vae, const VaeHints& hints);

/// A CLIP text model with transformers' names. 64 channels a head.
json::object clip_text_config(const weights::Index& text_encoder);

/// An OpenCLIP text model with its own names ("transformer.resblocks.0.ln_1.weight"). 64 channels a head.
/// @param left_out   layers at the end that the family does not use
/// @param projected  whether its pooled output is used
json::object open_clip_text_config(const weights::Index& text_encoder, int64_t left_out, bool projected);

}  // namespace limn::models
