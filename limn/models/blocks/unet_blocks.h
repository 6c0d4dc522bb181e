// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "limn/models/blocks/resnet.h"
#include "limn/models/blocks/transformer.h"

namespace limn::models {

/// One level of a U-Net's way down or up: diffusers' (CrossAttn)DownBlock2D and (CrossAttn)UpBlock2D.
struct UNetLevelConfig {
  std::vector<ResnetBlock2DConfig> resnets;
  std::optional<TransformerConfig> attention;  // after each resnet
  bool resample = false;                       // a down- or upsampler at the end
  int64_t downsample_padding = 1;
};

class DownBlock2D : public nn::Module {
 public:
  explicit DownBlock2D(const UNetLevelConfig& config);
  /// @param skips  takes the output of each layer, for the way up
  at::Tensor forward(at::Tensor hidden_states, const at::Tensor& temb, const at::Tensor& context,
                     std::vector<at::Tensor>& skips) const;

  /// Recompute the layers in the backward pass instead of keeping what they made.
  void set_gradient_checkpointing(bool on) { checkpointing_ = on; }

 private:
  bool checkpointing_ = false;
  nn::ModuleList<ResnetBlock2D> resnets_;
  nn::ModuleList<Transformer2DModel> attentions_;
  nn::ModuleList<Downsample2D> downsamplers_;
};

class UpBlock2D : public nn::Module {
 public:
  explicit UpBlock2D(const UNetLevelConfig& config);
  /// @param skips  outputs of the way down; the last ones are taken off
  at::Tensor forward(at::Tensor hidden_states, const at::Tensor& temb, const at::Tensor& context,
                     std::vector<at::Tensor>& skips) const;

  /// Recompute the layers in the backward pass instead of keeping what they made.
  void set_gradient_checkpointing(bool on) { checkpointing_ = on; }

 private:
  bool checkpointing_ = false;
  nn::ModuleList<ResnetBlock2D> resnets_;
  nn::ModuleList<Transformer2DModel> attentions_;
  nn::ModuleList<Upsample2D> upsamplers_;
};

/// diffusers' UNetMidBlock2DCrossAttn (with attention) and UNetMidBlock2D without.
class UNetMidBlock2D : public nn::Module {
 public:
  explicit UNetMidBlock2D(const UNetLevelConfig& config);  // one resnet more than attentions
  at::Tensor forward(at::Tensor hidden_states, const at::Tensor& temb, const at::Tensor& context) const;

  /// Recompute the layers in the backward pass instead of keeping what they made.
  void set_gradient_checkpointing(bool on) { checkpointing_ = on; }

 private:
  bool checkpointing_ = false;
  nn::ModuleList<ResnetBlock2D> resnets_;
  nn::ModuleList<Transformer2DModel> attentions_;
};

}  // namespace limn::models
