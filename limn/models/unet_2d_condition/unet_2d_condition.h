// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "limn/base/json.h"
#include "limn/models/blocks/unet_blocks.h"
#include "limn/models/unet_2d_condition/controls.h"

namespace limn::models {

/// How the U-Net is asked for more than a timestep and a text.
enum class AdditionEmbedding { None, TextTime };

/// What is between the way down and the way up.
enum class MidBlock { None, Resnet, CrossAttention };

/// Numbers of a U-Net's shape, named and defaulted as diffusers' UNet2DConditionModel config. A plain value.
struct UNet2DConditionConfig {
  int64_t sample_size = 64;  // of the latents it was trained at
  int64_t in_channels = 4, out_channels = 4;
  bool center_input_sample = false, flip_sin_to_cos = true;
  double freq_shift = 0;
  std::vector<std::string> down_block_types, up_block_types;
  MidBlock mid_block = MidBlock::CrossAttention;
  std::vector<bool> only_cross_attention;                   // a level each
  std::vector<int64_t> block_out_channels;                  // a level each, from fine to coarse
  std::vector<int64_t> layers_per_block;                    // a level each
  std::vector<std::vector<int64_t>> transformer_layers;     // a level each, an attention each
  std::vector<std::vector<int64_t>> up_transformer_layers;  // likewise on the way up, from coarse to fine
  int64_t mid_transformer_layers = 1;
  std::vector<int64_t> cross_attention_dim;  // a level each
  std::vector<int64_t> attention_heads;      // a level each; diffusers calls it attention_head_dim
  int64_t downsample_padding = 1, norm_num_groups = 32;
  double mid_block_scale_factor = 1, norm_eps = 1e-5, resnet_out_scale_factor = 1;
  std::string act_fn = "silu";
  bool use_linear_projection = false, scale_shift = false;
  std::optional<int64_t> num_class_embeds, class_projection_dim, time_cond_proj_dim;
  AdditionEmbedding addition_embed = AdditionEmbedding::None;
  int64_t addition_time_embed_dim = 0, addition_input_dim = 0;

  /// @param config  a config.json of class UNet2DConditionModel
  /// @throws Error{BadFile} at a wrong field, Error{Unsupported} at a field whose value limn has no code for
  static UNet2DConditionConfig from_json(const json::object& config, const std::string& where);
};

/// Sinusoids through two linear layers: diffusers' TimestepEmbedding.
class TimestepEmbedding : public nn::Module {
 public:
  TimestepEmbedding(int64_t in_channels, int64_t time_embed_dim, nn::ActivationFunction activation,
                    std::optional<int64_t> cond_proj_dim = {});
  /// @param sample     [batch, in_channels]
  /// @param condition  [batch, cond_proj_dim], or undefined
  /// @return           [batch, time_embed_dim]
  at::Tensor forward(const at::Tensor& sample, const at::Tensor& condition = {}) const;

 private:
  nn::ActivationFunction activation_;
  nn::Linear linear_1_, linear_2_;
  std::optional<nn::Linear> cond_proj_;
};

/// What a denoiser is told besides latents and timestep. Undefined tensors are not given.
struct DenoiserCondition {
  at::Tensor
      encoder_hidden_states;  // [contexts, tokens, cross_attention_dim], each for batch / contexts in a row
  at::Tensor text_embeds;     // [batch, dim]; with AdditionEmbedding::TextTime
  at::Tensor time_ids;        // [batch, 6 or 5], pixels; likewise
  at::Tensor class_labels;    // int64 [batch], or [batch, class_projection_dim]
  at::Tensor timestep_cond;   // [batch or 1, time_cond_proj_dim]: guidance embedding (Meng et al. 2023)
  /// How often the sample counts, with other contexts each time: what comes before the first cross-attention is then done
  /// once. Not with AdditionEmbedding::TextTime, whose timesteps differ.
  int64_t copies = 1;
  KeyValueCache* keys = nullptr;  // for calls with the same encoder_hidden_states
  const UNetControls* controls = nullptr;
};

/// The denoising U-Net of Stable Diffusion 1, 2 and XL. Immutable after loading; safe to share between
/// threads. Source: Rombach et al. 2022, appendix E; names of diffusers' UNet2DConditionModel.
class UNet2DConditionModel : public nn::Module {
 public:
  explicit UNet2DConditionModel(const UNet2DConditionConfig& config);

  /// @param sample    [batch, in_channels, height, width], any height and width
  /// @param timestep  float32 [batch] or [1]
  /// @return          [copies · batch, out_channels, height, width]
  at::Tensor forward(const at::Tensor& sample, const at::Tensor& timestep,
                     const DenoiserCondition& condition) const;

  /// Recompute the blocks' layers in the backward pass: less memory, about a third more time.
  void set_gradient_checkpointing(bool on);

  const UNet2DConditionConfig& config() const { return config_; }
  /// How many feature maps go from the way down to the way up.
  size_t skip_count() const;

 private:
  at::Tensor embed_time(const at::Tensor& sample, const at::Tensor& timestep,
                        const DenoiserCondition& c) const;

  UNet2DConditionConfig config_;
  nn::ActivationFunction activation_;
  nn::Conv2d conv_in_;
  TimestepEmbedding time_embedding_;
  std::optional<nn::Embedding> class_table_;
  std::optional<TimestepEmbedding> class_projection_, add_embedding_;
  nn::ModuleList<DownBlock2D> down_blocks_;
  std::optional<UNetMidBlock2D> mid_block_;
  nn::ModuleList<UpBlock2D> up_blocks_;
  nn::GroupNorm conv_norm_out_;
  nn::Conv2d conv_out_;
};

}  // namespace limn::models
