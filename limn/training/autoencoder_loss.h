// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "limn/models/autoencoder_kl/autoencoder_kl.h"
#include "limn/nn/layers.h"

namespace limn::training {

/// Mean absolute difference of neighbouring pixels' differences, in both directions.
/// @param a, b  [batch, 3, height, width]
at::Tensor gradient_difference(const at::Tensor& a, const at::Tensor& b);

/// Mean absolute difference of spectral amplitudes (Jiang et al. 2021, focal frequency loss, without its weights).
at::Tensor frequency_difference(const at::Tensor& a, const at::Tensor& b);

/// Divergence from the standard normal (Kingma & Welling 2013, appendix B): summed over a sample, mean of the batch.
at::Tensor kl_divergence(const models::DiagonalGaussian& posterior);

/// Features of a frozen convolutional network, compared. Gradients flow through it to the pictures.
class PerceptualLoss {
 public:
  /// @param vgg16  torchvision's VGG-16 (keys features.N.weight), compared at five depths as LPIPS does (Zhang et al.
  ///               2018, eq. 1, all channels weighing the same); empty: five layers of fixed random filters, which
  ///               compare structure too (Liu et al. 2021, "Generic perceptual loss")
  explicit PerceptualLoss(const std::filesystem::path& vgg16);
  /// @param a, b  [batch, 3, height, width] in [-1, 1]
  at::Tensor forward(const at::Tensor& a, const at::Tensor& b) const;

 private:
  struct Layer {
    at::Tensor weight, bias;
    bool pool_before, compare_after;
  };
  std::vector<at::Tensor> features(at::Tensor x) const;
  std::vector<Layer> layers_;
};

/// Says of each patch whether it is of a real picture (Isola et al. 2017, §3.2.2), with group norm, which does not mix
/// the samples of a batch.
class PatchDiscriminator : public nn::Module {
 public:
  /// @param channels  of the first layer; doubled by each of the two blocks
  explicit PatchDiscriminator(int64_t channels);
  /// @param pixels  [batch, 3, height, width] in [-1, 1], at least 32 a side
  /// @return        [batch, 1, h, w], larger for real
  at::Tensor forward(const at::Tensor& pixels) const;

 private:
  struct Block : nn::Module {
    Block(int64_t in_channels, int64_t stride);
    nn::Conv2d conv;
    nn::GroupNorm norm;
  };
  nn::Conv2d conv_in_;
  nn::ModuleList<Block> blocks_;
  nn::Conv2d conv_out_;
};

/// Hinge loss of the discriminator (Lim & Ye 2017): ½ (E[max(0, 1 − D(real))] + E[max(0, 1 + D(fake))]).
at::Tensor hinge_loss(const at::Tensor& real, const at::Tensor& fake);

/// ‖∇ reconstruction‖ / (‖∇ adversarial‖ + 1e-4) at the decoder's last layer, at most 1e4 (Esser et al. 2021, eq. 7).
double adaptive_weight(const at::Tensor& reconstruction, const at::Tensor& adversarial,
                       const at::Tensor& last_layer);

}  // namespace limn::training
