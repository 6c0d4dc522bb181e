// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace limn::models {

/// A diagonal normal distribution over latents (Kingma & Welling 2013).
struct DiagonalGaussian {
  at::Tensor mean;  // [batch, latent_channels, h, w]
  at::Tensor
      logvar;  // likewise, clamped to [-30, 20]; undefined: the encoder is certain, sample() is the mean
  /// @param noise  standard normal, of the mean's shape; may be undefined where logvar is
  at::Tensor sample(const at::Tensor& noise) const;
};

/// What turns pictures into latents and back. Immutable after loading; safe to share between threads.
class Autoencoder {
 public:
  virtual ~Autoencoder() = default;

  /// @param pixels  [batch, 3, height, width] in [-1, 1]; sides divisible by factor()
  /// @return        the distribution of latents, not scaled
  virtual DiagonalGaussian encode(const at::Tensor& pixels) const = 0;

  /// @param latents  [batch, latent_channels, h, w], not scaled
  /// @return         [batch, 3, h * factor, w * factor], about [-1, 1]
  virtual at::Tensor decode(const at::Tensor& latents) const = 0;

  /// The denoiser's scale from the autoencoder's, and back.
  virtual at::Tensor scale(const at::Tensor& latents) const = 0;
  virtual at::Tensor unscale(const at::Tensor& latents) const = 0;

  /// Whether encode() can be called: a decoder may come alone.
  virtual bool encodes() const { return true; }

  /// Pixels of a side for one latent of that side: 8 for Stable Diffusion.
  virtual int64_t factor() const = 0;
  virtual int64_t latent_channels() const = 0;
  /// Where the parameters are and of what type.
  virtual at::TensorOptions parameters_options() const = 0;
};

}  // namespace limn::models
