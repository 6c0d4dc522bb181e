// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stop_token>

#include "limn/image/image.h"
#include "limn/models/autoencoder.h"

namespace limn::pipelines {

/// How latents are cut when a picture is too large to decode at once, in latents a side.
struct Tiling {
  int64_t largest_untiled = 128;  // larger pictures are tiled
  int64_t tile = 96;
  int64_t overlap = 24;                   // neighbours are blended linearly over it
  bool wraps_x = false, wraps_y = false;  // opposite edges are neighbours: seamless pictures
};

/// Decodes one picture's latents to pixels.
/// @param latents  float32 [1, channels, h, w], the denoiser's scale
/// @return         float32 [1, 3, h * factor, w * factor], about [-1, 1]
/// @throws Error{Cancelled} between tiles
at::Tensor decode_latents(const models::Autoencoder& vae, const at::Tensor& latents, const Tiling& tiling,
                          std::stop_token stop);

/// Previews without decoding: a linear map from a latent to its mean colour, fitted once to what the
/// autoencoder makes of flat coloured squares. Costs one encoding of a 256×256 picture to make, nothing
/// noticeable to use.
class LatentPreview {
 public:
  explicit LatentPreview(const models::Autoencoder& vae);
  /// @param latents  float32 [1, channels, h, w], the denoiser's scale
  /// @return         RGB, w × h pixels
  Image render(const at::Tensor& latents) const;

 private:
  at::Tensor map_;  // [channels + 1, 3]; the last row is the offset
};

}  // namespace limn::pipelines
