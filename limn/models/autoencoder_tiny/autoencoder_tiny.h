// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <ATen/TensorOperators.h>

#include "limn/base/json.h"
#include "limn/models/autoencoder.h"
#include "limn/nn/layers.h"
#include "limn/weights/index.h"

namespace limn::models {

/// Numbers of a tiny autoencoder's shape, named and defaulted as diffusers' AutoencoderTiny config. A plain value.
struct AutoencoderTinyConfig {
  int64_t in_channels = 3, out_channels = 3, latent_channels = 4, upsampling_scaling_factor = 2;
  std::vector<int64_t> encoder_block_out_channels = {64, 64, 64, 64};
  std::vector<int64_t> decoder_block_out_channels = {64, 64, 64, 64};
  std::vector<int64_t> num_encoder_blocks = {1, 3, 3, 3}, num_decoder_blocks = {3, 3, 3, 1};
  std::string act_fn = "relu";
  double scaling_factor = 1;
  bool decoder_only = false;  // limn's own field, for files that hold the decoder alone

  static AutoencoderTinyConfig from_json(const json::object& config, const std::string& where);
};

/// A few small convolutions that stand in for the real autoencoder: a decoder for previews and quick pictures.
/// Immutable after loading; safe to share between threads.
/// Source: TAESD (Bohan 2023); names of diffusers' AutoencoderTiny.
class AutoencoderTiny : public nn::Module, public Autoencoder {
 public:
  explicit AutoencoderTiny(const AutoencoderTinyConfig& config);

  /// Certain: no logvar. @throws Error{Unsupported} without an encoder
  DiagonalGaussian encode(const at::Tensor& pixels) const override;
  at::Tensor decode(const at::Tensor& latents) const override;
  at::Tensor scale(const at::Tensor& latents) const override { return latents * config_.scaling_factor; }
  at::Tensor unscale(const at::Tensor& latents) const override { return latents / config_.scaling_factor; }
  bool encodes() const override { return !config_.decoder_only; }
  int64_t factor() const override;
  int64_t latent_channels() const override { return config_.latent_channels; }
  at::TensorOptions parameters_options() const override;

  const AutoencoderTinyConfig& config() const { return config_; }

 private:
  /// Three convolutions with a residual.
  class Block : public nn::Module {
   public:
    Block(int64_t channels, nn::ActivationFunction activation);
    at::Tensor forward(const at::Tensor& x) const;

   private:
    nn::ActivationFunction activation_;
    nn::Module conv_;
    nn::Conv2d conv_0_, conv_2_, conv_4_;
  };
  /// One entry of a torch Sequential: a block, a convolution, or nothing with parameters.
  struct Layer {
    std::unique_ptr<nn::Conv2d> conv;
    std::unique_ptr<Block> block;
    bool activates = false, upsamples = false;
  };
  struct Sequence : nn::Module {
    nn::Module layers_module;
    std::vector<Layer> layers;
    Layer& add(Layer layer);
  };
  at::Tensor run(const Sequence& sequence, at::Tensor x) const;

  AutoencoderTinyConfig config_;
  nn::ActivationFunction activation_;
  Sequence encoder_, decoder_;
};

}  // namespace limn::models
