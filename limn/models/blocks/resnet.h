// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "limn/nn/layers.h"

namespace limn::models {

struct ResnetBlock2DConfig {
  int64_t in_channels;
  int64_t out_channels;
  int64_t temb_channels = 0;  // 0: no timestep (autoencoder)
  int64_t groups = 32;
  double eps = 1e-5;
  nn::ActivationFunction activation;
  bool scale_shift =
      false;  // the timestep scales and shifts the second norm, instead of being added before it
  double output_scale_factor = 1.0;
};

/// Residual block: two 3×3 convolutions, the timestep added between them. Immutable after loading; safe to
/// share. Source: Ho et al. 2020, appendix B; scale and shift: Dhariwal & Nichol 2021, §4.3. diffusers'
/// ResnetBlock2D.
class ResnetBlock2D : public nn::Module {
 public:
  explicit ResnetBlock2D(const ResnetBlock2DConfig& config);

  /// @param hidden_states  [batch, in_channels, height, width]
  /// @param temb           [batch, temb_channels]; undefined when temb_channels is 0
  /// @return               [batch, out_channels, height, width]
  at::Tensor forward(const at::Tensor& hidden_states, const at::Tensor& temb) const;

 private:
  ResnetBlock2DConfig config_;
  nn::GroupNorm norm1_;
  nn::Conv2d conv1_;
  std::optional<nn::Linear> time_emb_proj_;
  nn::GroupNorm norm2_;
  nn::Conv2d conv2_;
  std::optional<nn::Conv2d> conv_shortcut_;  // empty when the channel counts agree
};

/// Halves height and width by a 3×3 convolution of stride 2. Padding 0 pads right and below only
/// (autoencoder).
class Downsample2D : public nn::Module {
 public:
  Downsample2D(int64_t channels, int64_t padding);
  at::Tensor forward(const at::Tensor& hidden_states) const;

 private:
  int64_t padding_;
  nn::Conv2d conv_;
};

/// Nearest-neighbour enlargement to height × width, then a 3×3 convolution.
class Upsample2D : public nn::Module {
 public:
  explicit Upsample2D(int64_t channels);
  at::Tensor forward(const at::Tensor& hidden_states, int64_t height, int64_t width) const;

 private:
  nn::Conv2d conv_;
};

}  // namespace limn::models
