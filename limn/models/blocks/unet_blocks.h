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

/// The feature of the way up before it meets one of the skips, kept from call to call: DeepCache (Ma et al. 2023, §3.2).
/// Once it is there, what is deeper is left out.
struct DeepFeature {
  size_t skip = 1;   // which, counted from the U-Net's first convolution
  at::Tensor value;  // [batch, channels, height, width]; undefined: this call makes it
};

class DownBlock2D : public nn::Module {
 public:
  explicit DownBlock2D(const UNetLevelConfig& config);
  /// @param temb   [batch or a divisor of it, temb_channels], repeated
  /// @param skips  takes the output of each layer, for the way up
  /// @param deep   ends the way down at its skip, once it has a value; may be null
  at::Tensor forward(at::Tensor hidden_states, const at::Tensor& temb, const AttentionContext& context,
                     std::vector<at::Tensor>& skips, const DeepFeature* deep = nullptr) const;

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
  /// @param hidden_states  undefined as long as the skips are
  /// @param skips  outputs of the way down; the last ones are taken off. Layers whose skip is undefined are left out.
  /// @param deep   begins the way up at its skip, or is made there; may be null
  at::Tensor forward(at::Tensor hidden_states, const at::Tensor& temb, const AttentionContext& context,
                     std::vector<at::Tensor>& skips, const FreeUFactors& freeu = {},
                     DeepFeature* deep = nullptr) const;

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
