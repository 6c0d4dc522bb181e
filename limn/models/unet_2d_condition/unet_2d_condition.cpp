// SPDX-License-Identifier: Apache-2.0
#include "limn/models/unet_2d_condition/unet_2d_condition.h"

#include <algorithm>
#include <numeric>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>

#include "limn/base/error.h"
#include "limn/models/blocks/repeat.h"

namespace limn::models {
namespace {

/// The parts of a level that all its blocks share.
struct LevelBuilder {
  const UNet2DConditionConfig& c;
  nn::ActivationFunction activation;

  ResnetBlock2DConfig resnet(int64_t in_channels, int64_t out_channels, double output_scale) const {
    return {.in_channels = in_channels,
            .out_channels = out_channels,
            .temb_channels = 4 * c.block_out_channels[0],
            .groups = c.norm_num_groups,
            .eps = c.norm_eps,
            .activation = activation,
            .scale_shift = c.scale_shift,
            .output_scale_factor = output_scale};
  }

  TransformerConfig transformer(size_t level, int64_t layers) const {
    return {.channels = c.block_out_channels[level],
            .heads = c.attention_heads[level],
            .layers = layers,
            .cross_attention_dim = c.cross_attention_dim[level],
            .groups = c.norm_num_groups,
            .use_linear_projection = c.use_linear_projection,
            .only_cross_attention = c.only_cross_attention[level]};
  }

  std::vector<TransformerConfig> transformers(size_t level, const std::vector<int64_t>& depths,
                                              size_t count) const {
    std::vector<TransformerConfig> out;
    for (size_t i = 0; i < count; ++i) out.push_back(transformer(level, depths[i]));
    return out;
  }

  UNetLevelConfig down(size_t level) const {
    UNetLevelConfig out;
    const int64_t channels = c.block_out_channels[level];
    int64_t in_channels = c.block_out_channels[level == 0 ? 0 : level - 1];
    for (int64_t i = 0; i < c.layers_per_block[level]; ++i) {
      out.resnets.push_back(resnet(in_channels, channels, c.resnet_out_scale_factor));
      in_channels = channels;
    }
    if (c.down_block_types[level] == "CrossAttnDownBlock2D")
      out.attentions = transformers(level, c.transformer_layers[level], out.resnets.size());
    out.resample = level + 1 < c.block_out_channels.size();
    out.downsample_padding = c.downsample_padding;
    return out;
  }

  UNetLevelConfig mid() const {
    UNetLevelConfig out;
    const size_t last = c.block_out_channels.size() - 1;
    const int64_t channels = c.block_out_channels[last];
    const bool attends = c.mid_block == MidBlock::CrossAttention;
    out.resnets.assign(attends ? 2 : 1, resnet(channels, channels, c.mid_block_scale_factor));
    if (!attends) return out;
    out.attentions = transformers(last, {c.mid_transformer_layers}, 1);
    out.attentions.front().only_cross_attention = false;
    return out;
  }

  /// @param block  0 is the coarsest
  UNetLevelConfig up(size_t block) const {
    UNetLevelConfig out;
    const size_t levels = c.block_out_channels.size(), level = levels - 1 - block;
    const int64_t channels = c.block_out_channels[level];
    const int64_t below =
        c.block_out_channels[block == 0 ? level : level + 1];  // what comes from the coarser level
    const int64_t above = c.block_out_channels[level == 0 ? 0 : level - 1];  // the last skip's channels
    const int64_t layers = c.layers_per_block[level] + 1;
    for (int64_t i = 0; i < layers; ++i)
      out.resnets.push_back(resnet((i == 0 ? below : channels) + (i == layers - 1 ? above : channels),
                                   channels, c.resnet_out_scale_factor));
    if (c.up_block_types[block] == "CrossAttnUpBlock2D")
      out.attentions = transformers(level, c.up_transformer_layers[block], out.resnets.size());
    out.resample = block + 1 < levels;
    return out;
  }
};

/// The factors of one block on the way up.
FreeUFactors freeu_of(const FreeU* freeu, size_t block) {
  if (!freeu || block > 1) return {};
  return block == 0 ? FreeUFactors{freeu->b1, freeu->s1} : FreeUFactors{freeu->b2, freeu->s2};
}

void require(const at::Tensor& tensor, const char* name) {
  LIMN_CHECK(tensor.defined(), std::string("the U-Net was not given ") + name);
}

}  // namespace

TimestepEmbedding::TimestepEmbedding(int64_t in_channels, int64_t time_embed_dim,
                                     nn::ActivationFunction activation, std::optional<int64_t> cond_proj_dim)
    : activation_(activation),
      linear_1_(in_channels, time_embed_dim),
      linear_2_(time_embed_dim, time_embed_dim) {
  register_module("linear_1", linear_1_);
  if (cond_proj_dim) register_module("cond_proj", cond_proj_.emplace(*cond_proj_dim, in_channels, false));
  register_module("linear_2", linear_2_);
}

at::Tensor TimestepEmbedding::forward(const at::Tensor& sample, const at::Tensor& condition) const {
  const at::Tensor x = cond_proj_ && condition.defined() ? sample + cond_proj_->forward(condition) : sample;
  return linear_2_.forward(activation_(linear_1_.forward(x)));
}

UNet2DConditionModel::UNet2DConditionModel(const UNet2DConditionConfig& c)
    : config_(c),
      activation_(nn::find_activation(c.act_fn, "act_fn")),
      conv_in_(c.in_channels, c.block_out_channels[0], 3, {.padding = 1}),
      time_embedding_(c.block_out_channels[0], 4 * c.block_out_channels[0], activation_,
                      c.time_cond_proj_dim),
      conv_norm_out_(c.norm_num_groups, c.block_out_channels[0], c.norm_eps),
      conv_out_(c.block_out_channels[0], c.out_channels, 3, {.padding = 1}) {
  const int64_t time_embed_dim = 4 * c.block_out_channels[0];
  register_module("conv_in", conv_in_);
  register_module("time_embedding", time_embedding_);
  if (c.class_projection_dim)
    register_module("class_embedding",
                    class_projection_.emplace(*c.class_projection_dim, time_embed_dim, activation_));
  else if (c.num_class_embeds)
    register_module("class_embedding", class_table_.emplace(*c.num_class_embeds, time_embed_dim));
  if (c.addition_embed == AdditionEmbedding::TextTime)
    register_module("add_embedding",
                    add_embedding_.emplace(c.addition_input_dim, time_embed_dim, activation_));

  const LevelBuilder build{c, activation_};
  for (size_t i = 0; i < c.block_out_channels.size(); ++i) down_blocks_.emplace(build.down(i));
  register_module("down_blocks", down_blocks_);
  if (c.mid_block != MidBlock::None) register_module("mid_block", mid_block_.emplace(build.mid()));
  for (size_t i = 0; i < c.block_out_channels.size(); ++i) up_blocks_.emplace(build.up(i));
  register_module("up_blocks", up_blocks_);
  register_module("conv_norm_out", conv_norm_out_);
  register_module("conv_out", conv_out_);
}

void UNet2DConditionModel::set_gradient_checkpointing(bool on) {
  for (const auto& block : down_blocks_) block->set_gradient_checkpointing(on);
  if (mid_block_) mid_block_->set_gradient_checkpointing(on);
  for (const auto& block : up_blocks_) block->set_gradient_checkpointing(on);
}

size_t UNet2DConditionModel::skip_count() const {
  const auto& layers =
      config_.layers_per_block;  // and the first convolution, and a downsampler at all levels but one
  return static_cast<size_t>(std::accumulate(layers.begin(), layers.end(), int64_t{0})) + layers.size();
}

at::Tensor UNet2DConditionModel::embed_time(const at::Tensor& sample, const at::Tensor& timestep,
                                            const DenoiserCondition& c) const {
  const auto sinusoids = [&](const at::Tensor& values, int64_t dim) {
    return nn::timestep_embedding(values, dim, config_.flip_sin_to_cos, config_.freq_shift)
        .to(sample.scalar_type());
  };
  const at::Tensor times = timestep.expand({sample.size(0)});
  at::Tensor emb = time_embedding_.forward(sinusoids(times, config_.block_out_channels[0]), c.timestep_cond);
  if (class_table_ || class_projection_) {
    require(c.class_labels, "class_labels");
    emb = emb +
          (class_table_ ? class_table_->forward(c.class_labels) : class_projection_->forward(c.class_labels));
  }
  if (add_embedding_) {
    require(c.text_embeds, "text_embeds");
    require(c.time_ids, "time_ids");
    const at::Tensor ids = sinusoids(c.time_ids.flatten().to(at::kFloat), config_.addition_time_embed_dim)
                               .reshape({sample.size(0), -1});
    emb = emb + add_embedding_->forward(at::cat({c.text_embeds, ids.to(c.text_embeds.scalar_type())}, -1));
  }
  return emb;
}

at::Tensor UNet2DConditionModel::forward(const at::Tensor& sample, const at::Tensor& timestep,
                                         const DenoiserCondition& condition) const {
  const at::Tensor temb = embed_time(sample, timestep, condition);
  const UNetControls none;
  const UNetControls& controls = condition.controls ? *condition.controls : none;
  LIMN_CHECK(condition.copies == 1 || !add_embedding_, "copies of a sample have the same timestep");
  const int64_t batch = condition.copies * sample.size(0);
  const auto finest = std::ranges::find(config_.down_block_types, "CrossAttnDownBlock2D");
  const auto context = [&](const std::string& way, const std::string& index, size_t level) {
    AttentionContext out{condition.encoder_hidden_states, batch, condition.keys};
    if (finest - config_.down_block_types.begin() == static_cast<ptrdiff_t>(level))
      out.merging = controls.token_merging;
    if (controls.identity_blocks.contains(way) || controls.identity_blocks.contains(way + index))
      out.identity_from = controls.identity_from;
    return out;
  };

  at::Tensor x = conv_in_.forward(config_.center_input_sample ? 2 * sample - 1 : sample);
  std::vector<at::Tensor> skips{x};
  const size_t levels = down_blocks_.size();
  const bool shallow = controls.deep && controls.deep->value.defined();
  for (size_t i = 0; i < levels; ++i)
    x = down_blocks_[i].forward(x, temb, context("down", "." + std::to_string(i), i), skips, controls.deep);
  x = shallow ? at::Tensor() : repeated(x, batch);
  skips.resize(skip_count());  // the deep ones are undefined in a shallow call
  if (mid_block_ && !shallow) {
    AttentionContext mid = context("mid", "", levels - 1);
    mid.probabilities = controls.mid_attention;
    if (controls.mid_attention) {
      *controls.mid_height = x.size(2);
      *controls.mid_width = x.size(3);
    }
    x = mid_block_->forward(x, temb, mid);
  }
  for (size_t i = 0; i < up_blocks_.size(); ++i)
    x = up_blocks_[i].forward(x, temb, context("up", "." + std::to_string(i), levels - 1 - i), skips,
                              freeu_of(controls.freeu, i), controls.deep);
  return conv_out_.forward(x, {.norm = &conv_norm_out_, .activation = activation_}).contiguous();
}

}  // namespace limn::models
