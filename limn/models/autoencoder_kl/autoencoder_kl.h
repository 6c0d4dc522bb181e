// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "limn/base/json.h"
#include "limn/models/autoencoder.h"
#include "limn/models/blocks/resnet.h"
#include "limn/models/blocks/transformer.h"

namespace limn::models {

/// Numbers of an autoencoder's shape, named and defaulted as diffusers' AutoencoderKL config. A plain value.
struct AutoencoderKLConfig {
  int64_t in_channels = 3, out_channels = 3, latent_channels = 4;
  std::vector<int64_t> block_out_channels = {64};
  int64_t layers_per_block = 1, norm_num_groups = 32, sample_size = 32;
  std::string act_fn = "silu";
  double scaling_factor = 0.18215, shift_factor = 0;
  std::vector<double> latents_mean, latents_std;  // a channel each, or empty
  bool use_quant_conv = true, use_post_quant_conv = true, mid_block_add_attention = true;

  static AutoencoderKLConfig from_json(const json::object& config, const std::string& where);
  /// Pixels of a side for one latent of that side: 8 for Stable Diffusion.
  int64_t factor() const { return int64_t{1} << (block_out_channels.size() - 1); }
};

/// Self-attention over all pixels of a feature map, one head, with group norm and residual.
class AttentionBlock : public nn::Module {
 public:
  AttentionBlock(int64_t channels, int64_t groups, double eps);
  at::Tensor forward(const at::Tensor& hidden_states) const;  // [batch, channels, height, width]

 private:
  nn::GroupNorm group_norm_;
  nn::Linear to_q_, to_k_, to_v_;
  nn::ModuleList<nn::Linear> to_out_;
};

class AutoencoderMidBlock : public nn::Module {
 public:
  AutoencoderMidBlock(const AutoencoderKLConfig& config, nn::ActivationFunction activation);
  at::Tensor forward(const at::Tensor& hidden_states) const;

 private:
  nn::ModuleList<AttentionBlock> attentions_;
  nn::ModuleList<ResnetBlock2D> resnets_;
};

class Encoder : public nn::Module {
 public:
  explicit Encoder(const AutoencoderKLConfig& config);
  /// @param pixels  [batch, 3, height, width] in [-1, 1]
  /// @return        [batch, 2 * latent_channels, height / factor, width / factor]
  at::Tensor forward(const at::Tensor& pixels) const;
  at::TensorOptions parameters_options() const { return conv_in_.bias.options(); }  // weights may be narrower

 private:
  struct Level : nn::Module {
    nn::ModuleList<ResnetBlock2D> resnets;
    nn::ModuleList<Downsample2D> downsamplers;
  };
  nn::ActivationFunction activation_;
  nn::Conv2d conv_in_;
  nn::ModuleList<Level> down_blocks_;
  AutoencoderMidBlock mid_block_;
  nn::GroupNorm conv_norm_out_;
  nn::Conv2d conv_out_;
};

class Decoder : public nn::Module {
 public:
  explicit Decoder(const AutoencoderKLConfig& config);
  /// @param latents  [batch, latent_channels, h, w]
  /// @return         [batch, 3, h * factor, w * factor], about [-1, 1]
  at::Tensor forward(const at::Tensor& latents) const;

 private:
  struct Level : nn::Module {
    nn::ModuleList<ResnetBlock2D> resnets;
    nn::ModuleList<Upsample2D> upsamplers;
  };
  nn::ActivationFunction activation_;
  nn::Conv2d conv_in_;
  AutoencoderMidBlock mid_block_;
  nn::ModuleList<Level> up_blocks_;
  nn::GroupNorm conv_norm_out_;
  nn::Conv2d conv_out_;
};

/// Turns pictures into small latents and back. Immutable after loading; safe to share between threads.
/// Source: Rombach et al. 2022, §3.1 and appendix G; names of diffusers' AutoencoderKL.
class AutoencoderKL : public nn::Module, public Autoencoder {
 public:
  explicit AutoencoderKL(const AutoencoderKLConfig& config);

  DiagonalGaussian encode(const at::Tensor& pixels) const override;
  at::Tensor decode(const at::Tensor& latents) const override;
  at::Tensor scale(const at::Tensor& latents) const override;
  at::Tensor unscale(const at::Tensor& latents) const override;
  int64_t factor() const override { return config_.factor(); }
  int64_t latent_channels() const override { return config_.latent_channels; }
  at::TensorOptions parameters_options() const override { return encoder_.parameters_options(); }

  const AutoencoderKLConfig& config() const { return config_; }

 private:
  AutoencoderKLConfig config_;
  Encoder encoder_;
  Decoder decoder_;
  std::optional<nn::Conv2d> quant_conv_, post_quant_conv_;
};

}  // namespace limn::models
