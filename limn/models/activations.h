// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "limn/models/autoencoder_kl/autoencoder_kl.h"
#include "limn/models/autoencoder_tiny/autoencoder_tiny.h"
#include "limn/models/unet_2d_condition/unet_2d_condition.h"
#include "limn/text/clip_text_model.h"

namespace limn::models {

/// How a network computes on the CPU, as far as that decides what memory it needs.
struct Arithmetic {
  at::ScalarType dtype = at::kFloat;
  bool fast = true;  // by limn's kernels where they exist: nn::takes_fast_path
  bool converts_weights =
      true;  // weights lie in another type and get `dtype` at each use that is no kernel's
  int threads = 1;
};

/// A batch of maps: pictures, or latents.
struct MapSize {
  int64_t batch, height, width;
};

/// Bytes that a network needs at its worst moment besides its weights.
struct Activations {
  int64_t tensors =
      0;  // alive at once: inputs, results, what is converted or put in another order on the way
  int64_t scratch = 0;  // of limn's kernels, which keep it for the next call
  int64_t total() const { return tensors + scratch; }
};

/// Each follows the network's forward() line by line with sizes in the place of tensors, so it must change with it; the
/// test counts what LibTorch allocates for real.
/// @param size            of the latents, or for encoders of the picture
/// @param context_tokens  of the text
Activations unet_activations(const UNet2DConditionConfig& config, const Arithmetic& how, const MapSize& size,
                             int64_t context_tokens);
/// Keys and values of the texts, which stay for a whole run. @param branches  texts, of one picture
int64_t cross_attention_bytes(const UNet2DConditionConfig& config, const Arithmetic& how, int64_t branches,
                              int64_t context_tokens);
Activations decoder_activations(const AutoencoderKLConfig& config, const Arithmetic& how,
                                const MapSize& size);
Activations decoder_activations(const AutoencoderTinyConfig& config, const Arithmetic& how,
                                const MapSize& size);
Activations encoder_activations(const AutoencoderKLConfig& config, const Arithmetic& how,
                                const MapSize& size);
Activations encoder_activations(const AutoencoderTinyConfig& config, const Arithmetic& how,
                                const MapSize& size);
Activations text_activations(const text::CLIPTextConfig& config, const Arithmetic& how, int64_t batch);

}  // namespace limn::models
