// SPDX-License-Identifier: Apache-2.0
#include "limn/models/autoencoder_kl/autoencoder_kl.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/tensor.h>

#include "limn/base/error.h"

namespace limn::models {
namespace {

constexpr double kEps = 1e-6;
constexpr int64_t kMostChannels = 1 << 14;

ResnetBlock2DConfig resnet(const AutoencoderKLConfig& c, nn::ActivationFunction activation,
                           int64_t in_channels, int64_t out_channels) {
  return {.in_channels = in_channels,
          .out_channels = out_channels,
          .groups = c.norm_num_groups,
          .eps = kEps,
          .activation = activation};
}

at::Tensor per_channel(const std::vector<double>& values, const at::Tensor& like) {
  return at::tensor(at::ArrayRef<double>(values), like.options()).view({1, -1, 1, 1});
}

}  // namespace

AutoencoderKLConfig AutoencoderKLConfig::from_json(const json::object& object, const std::string& where) {
  const Fields fields(object, where);
  AutoencoderKLConfig c;
  c.in_channels = fields.integer("in_channels", 3, 1, kMostChannels);
  c.out_channels = fields.integer("out_channels", 3, 1, kMostChannels);
  c.latent_channels = fields.integer("latent_channels", 4, 1, kMostChannels);
  c.block_out_channels = fields.integers("block_out_channels", {64});
  c.layers_per_block = fields.integer("layers_per_block", 1, 1, 64);
  c.norm_num_groups = fields.integer("norm_num_groups", 32, 1, kMostChannels);
  c.sample_size = fields.integer("sample_size", 32, 1, 1 << 20);
  c.act_fn = fields.string("act_fn", "silu");
  c.scaling_factor = fields.number("scaling_factor", 0.18215);
  c.shift_factor = fields.number("shift_factor", 0);
  c.latents_mean = fields.numbers("latents_mean", {});
  c.latents_std = fields.numbers("latents_std", {});
  c.use_quant_conv = fields.boolean("use_quant_conv", true);
  c.use_post_quant_conv = fields.boolean("use_post_quant_conv", true);
  c.mid_block_add_attention = fields.boolean("mid_block_add_attention", true);

  const size_t levels = c.block_out_channels.size();
  const auto down =
      fields.strings("down_block_types", std::vector<std::string>(levels, "DownEncoderBlock2D"));
  const auto up = fields.strings("up_block_types", std::vector<std::string>(levels, "UpDecoderBlock2D"));
  if (levels == 0 || levels > 8 || down.size() != levels || up.size() != levels)
    throw Error(ErrorCode::BadFile, where + ": block_out_channels",
                "expected 1 to 8 levels, as many as block types");
  for (const auto& types : {down, up})
    for (const std::string& type : types)
      if (type != "DownEncoderBlock2D" && type != "UpDecoderBlock2D")
        throw Error(ErrorCode::Unsupported, where + ": block types", "no block type '" + type + "'",
                    "known: DownEncoderBlock2D, UpDecoderBlock2D");
  for (int64_t channels : c.block_out_channels)
    if (channels < 1 || channels > kMostChannels || channels % c.norm_num_groups != 0)
      throw Error(ErrorCode::BadFile, where + ": block_out_channels",
                  std::to_string(channels) + " is not divisible by norm_num_groups, " +
                      std::to_string(c.norm_num_groups));
  for (const auto* list : {&c.latents_mean, &c.latents_std})
    if (!list->empty() && static_cast<int64_t>(list->size()) != c.latent_channels)
      throw Error(ErrorCode::BadFile, where + ": latents_mean, latents_std",
                  "expected one number a latent channel");
  if (c.scaling_factor == 0) throw Error(ErrorCode::BadFile, where + ": scaling_factor", "is 0");
  return c;
}

at::Tensor DiagonalGaussian::sample(const at::Tensor& noise) const {
  return logvar.defined() ? mean + at::exp(0.5 * logvar) * noise : mean;
}

AttentionBlock::AttentionBlock(int64_t channels, int64_t groups, double eps)
    : group_norm_(groups, channels, eps),
      to_q_(channels, channels),
      to_k_(channels, channels),
      to_v_(channels, channels) {
  register_module("group_norm", group_norm_);
  register_module("to_q", to_q_);
  register_module("to_k", to_k_);
  register_module("to_v", to_v_);
  to_out_.emplace(channels, channels);
  register_module("to_out", to_out_);
}

at::Tensor AttentionBlock::forward(const at::Tensor& x) const {
  const at::Tensor tokens = group_norm_.forward(x).flatten(2).transpose(1, 2);  // [batch, h·w, channels]
  const at::Tensor mixed =
      nn::attention(to_q_.forward(tokens), to_k_.forward(tokens), to_v_.forward(tokens), 1);
  return to_out_[0].forward(mixed).transpose(1, 2).reshape(x.sizes()) + x;
}

AutoencoderMidBlock::AutoencoderMidBlock(const AutoencoderKLConfig& c, nn::ActivationFunction activation) {
  const int64_t channels = c.block_out_channels.back();
  if (c.mid_block_add_attention) attentions_.emplace(channels, c.norm_num_groups, kEps);
  for (int i = 0; i < 2; ++i) resnets_.emplace(resnet(c, activation, channels, channels));
  register_module("attentions", attentions_);
  register_module("resnets", resnets_);
}

at::Tensor AutoencoderMidBlock::forward(const at::Tensor& hidden_states) const {
  at::Tensor x = resnets_[0].forward(hidden_states, {});
  if (!attentions_.empty()) x = attentions_[0].forward(x);
  return resnets_[1].forward(x, {});
}

Encoder::Encoder(const AutoencoderKLConfig& c)
    : activation_(nn::find_activation(c.act_fn, "act_fn")),
      conv_in_(c.in_channels, c.block_out_channels[0], 3, {.padding = 1}),
      mid_block_(c, activation_),
      conv_norm_out_(c.norm_num_groups, c.block_out_channels.back(), kEps),
      conv_out_(c.block_out_channels.back(), 2 * c.latent_channels, 3, {.padding = 1}) {
  register_module("conv_in", conv_in_);
  int64_t channels = c.block_out_channels[0];
  for (size_t i = 0; i < c.block_out_channels.size(); ++i) {
    Level& level = down_blocks_.emplace();
    for (int64_t j = 0; j < c.layers_per_block; ++j) {
      level.resnets.emplace(resnet(c, activation_, channels, c.block_out_channels[i]));
      channels = c.block_out_channels[i];
    }
    if (i + 1 < c.block_out_channels.size()) level.downsamplers.emplace(channels, 0);
    level.register_module("resnets", level.resnets);
    level.register_module("downsamplers", level.downsamplers);
  }
  register_module("down_blocks", down_blocks_);
  register_module("mid_block", mid_block_);
  register_module("conv_norm_out", conv_norm_out_);
  register_module("conv_out", conv_out_);
}

at::Tensor Encoder::forward(const at::Tensor& pixels) const {
  at::Tensor x = conv_in_.forward(pixels);
  for (const auto& level : down_blocks_) {
    for (const auto& block : level->resnets) x = block->forward(x, {});
    for (const auto& downsampler : level->downsamplers) x = downsampler->forward(x);
  }
  return conv_out_.forward(mid_block_.forward(x), {.norm = &conv_norm_out_, .activation = activation_}).contiguous();
}

Decoder::Decoder(const AutoencoderKLConfig& c)
    : activation_(nn::find_activation(c.act_fn, "act_fn")),
      conv_in_(c.latent_channels, c.block_out_channels.back(), 3, {.padding = 1}),
      mid_block_(c, activation_),
      conv_norm_out_(c.norm_num_groups, c.block_out_channels[0], kEps),
      conv_out_(c.block_out_channels[0], c.out_channels, 3, {.padding = 1}) {
  register_module("conv_in", conv_in_);
  register_module("mid_block", mid_block_);
  int64_t channels = c.block_out_channels.back();
  for (size_t i = c.block_out_channels.size(); i-- > 0;) {
    Level& level = up_blocks_.emplace();
    for (int64_t j = 0; j <= c.layers_per_block; ++j) {
      level.resnets.emplace(resnet(c, activation_, channels, c.block_out_channels[i]));
      channels = c.block_out_channels[i];
    }
    if (i > 0) level.upsamplers.emplace(channels);
    level.register_module("resnets", level.resnets);
    level.register_module("upsamplers", level.upsamplers);
  }
  register_module("up_blocks", up_blocks_);
  register_module("conv_norm_out", conv_norm_out_);
  register_module("conv_out", conv_out_);
}

at::Tensor Decoder::forward(const at::Tensor& latents) const {
  at::Tensor x = mid_block_.forward(conv_in_.forward(latents));
  for (const auto& level : up_blocks_) {
    for (const auto& block : level->resnets) x = block->forward(x, {});
    for (const auto& upsampler : level->upsamplers) x = upsampler->forward(x, 2 * x.size(2), 2 * x.size(3));
  }
  return conv_out_.forward(x, {.norm = &conv_norm_out_, .activation = activation_}).contiguous();
}

AutoencoderKL::AutoencoderKL(const AutoencoderKLConfig& c) : config_(c), encoder_(c), decoder_(c) {
  register_module("encoder", encoder_);
  register_module("decoder", decoder_);
  if (c.use_quant_conv)
    register_module("quant_conv", quant_conv_.emplace(2 * c.latent_channels, 2 * c.latent_channels, 1));
  if (c.use_post_quant_conv)
    register_module("post_quant_conv", post_quant_conv_.emplace(c.latent_channels, c.latent_channels, 1));
}

DiagonalGaussian AutoencoderKL::encode(const at::Tensor& pixels) const {
  at::Tensor moments = encoder_.forward(pixels);
  if (quant_conv_) moments = quant_conv_->forward(moments);
  const auto parts = moments.chunk(2, 1);
  return {parts[0], at::clamp(parts[1], -30.0, 20.0)};
}

at::Tensor AutoencoderKL::decode(const at::Tensor& latents) const {
  return decoder_.forward(post_quant_conv_ ? post_quant_conv_->forward(latents) : latents);
}

at::Tensor AutoencoderKL::scale(const at::Tensor& latents) const {
  if (!config_.latents_mean.empty() && !config_.latents_std.empty())
    return (latents - per_channel(config_.latents_mean, latents)) * config_.scaling_factor /
           per_channel(config_.latents_std, latents);
  return config_.shift_factor == 0 ? latents * config_.scaling_factor
                                   : (latents - config_.shift_factor) * config_.scaling_factor;
}

at::Tensor AutoencoderKL::unscale(const at::Tensor& latents) const {
  if (!config_.latents_mean.empty() && !config_.latents_std.empty())
    return latents * per_channel(config_.latents_std, latents) / config_.scaling_factor +
           per_channel(config_.latents_mean, latents);
  const at::Tensor x = latents / config_.scaling_factor;
  return config_.shift_factor == 0 ? x : x + config_.shift_factor;
}

}  // namespace limn::models
