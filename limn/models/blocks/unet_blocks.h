// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "limn/models/blocks/resnet.h"
#include "limn/models/blocks/transformer.h"

namespace limn::models {

/// One level of a U-Net's way down or up: diffusers' (CrossAttn)DownBlock2D and (CrossAttn)UpBlock2D.
struct UNetLevelConfig {
  std::vector<ResnetBlock2DConfig> resnets;
  std::vector<TransformerConfig> attentions;  // after each resnet (in the middle: between them), or none
  bool resample = false;                      // a down- or upsampler at the end
  int64_t downsample_padding = 1;
};

class DownBlock2D : public nn::Module {
 public:
  explicit DownBlock2D(const UNetLevelConfig& config);
  /// @param skips  takes the output of each layer, for the way up
  at::Tensor forward(at::Tensor hidden_states, const at::Tensor& temb, const AttentionContext& context,
                     std::vector<at::Tensor>& skips) const;

  /// Recompute the layers in the backward pass instead of keeping what they made.
  void set_gradient_checkpointing(bool on) { checkpointing_ = on; }

 private:
  bool checkpointing_ = false;
  nn::ModuleList<ResnetBlock2D> resnets_;
  nn::ModuleList<Transformer2DModel> attentions_;
  nn::ModuleList<Downsample2D> downsamplers_;
};

/// FreeU in one block on the way up (Si et al. 2023, eq. 1 to 3): the first half of the channels times `backbone`, the
/// skips' four lowest frequencies times `skip`.
struct FreeUFactors {
  double backbone = 1, skip = 1;
};

class UpBlock2D : public nn::Module {
 public:
  explicit UpBlock2D(const UNetLevelConfig& config);
  /// @param skips  outputs of the way down; the last ones are taken off
  at::Tensor forward(at::Tensor hidden_states, const at::Tensor& temb, const AttentionContext& context,
                     std::vector<at::Tensor>& skips, const FreeUFactors& freeu = {}) const;

  /// Recompute the layers in the backward pass instead of keeping what they made.
  void set_gradient_checkpointing(bool on) { checkpointing_ = on; }

 private:
  bool checkpointing_ = false;
  nn::ModuleList<ResnetBlock2D> resnets_;
  nn::ModuleList<Transformer2DModel> attentions_;
  nn::ModuleList<Upsample2D> upsamplers_;
};

/// diffusers' UNetMidBlock2DCrossAttn, or one resnet alone: UNetMidBlock2D as its U-Net makes it.
class UNetMidBlock2D : public nn::Module {
 public:
  explicit UNetMidBlock2D(const UNetLevelConfig& config);  // one resnet more than attentions
  at::Tensor forward(at::Tensor hidden_states, const at::Tensor& temb, const AttentionContext& context) const;

  /// Recompute the layers in the backward pass instead of keeping what they made.
  void set_gradient_checkpointing(bool on) { checkpointing_ = on; }

 private:
  bool checkpointing_ = false;
  nn::ModuleList<ResnetBlock2D> resnets_;
  nn::ModuleList<Transformer2DModel> attentions_;
};

}  // namespace limn::models
