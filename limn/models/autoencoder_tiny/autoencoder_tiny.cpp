// SPDX-License-Identifier: Apache-2.0
#include "limn/models/autoencoder_tiny/autoencoder_tiny.h"

#include <algorithm>

#include <ATen/TensorOperators.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/upsample_nearest2d.h>

#include "limn/base/error.h"

namespace limn::models {
namespace {

constexpr double kLatentMagnitude = 3;  // latents are squashed smoothly to ± this
constexpr int64_t kMostChannels = 1 << 12, kMostLevels = 8, kMostBlocks = 64;

void check(const std::vector<int64_t>& values, size_t levels, int64_t most, const std::string& where) {
  if (values.size() != levels || levels == 0 || levels > kMostLevels ||
      std::ranges::any_of(values, [&](int64_t value) { return value < 1 || value > most; }))
    throw Error(ErrorCode::BadFile, where,
                "expected " + std::to_string(levels) + " numbers from 1 to " + std::to_string(most));
}

}  // namespace

AutoencoderTinyConfig AutoencoderTinyConfig::from_json(const json::object& object, const std::string& where) {
  const Fields fields(object, where);
  AutoencoderTinyConfig c;
  c.in_channels = fields.integer("in_channels", 3, 3, 3);
  c.out_channels = fields.integer("out_channels", 3, 3, 3);
  c.latent_channels = fields.integer("latent_channels", 4, 1, kMostChannels);
  c.upsampling_scaling_factor = fields.integer("upsampling_scaling_factor", 2, 2, 2);
  c.encoder_block_out_channels = fields.integers("encoder_block_out_channels", c.encoder_block_out_channels);
  c.decoder_block_out_channels = fields.integers("decoder_block_out_channels", c.decoder_block_out_channels);
  c.num_encoder_blocks = fields.integers("num_encoder_blocks", c.num_encoder_blocks);
  c.num_decoder_blocks = fields.integers("num_decoder_blocks", c.num_decoder_blocks);
  c.act_fn = fields.string("act_fn", "relu");
  c.scaling_factor = fields.number("scaling_factor", 1);
  c.decoder_only = fields.boolean("decoder_only", false);
  nn::find_activation(c.act_fn, where + ": act_fn");
  const size_t levels = c.encoder_block_out_channels.size();
  check(c.encoder_block_out_channels, levels, kMostChannels, where + ": encoder_block_out_channels");
  check(c.decoder_block_out_channels, levels, kMostChannels, where + ": decoder_block_out_channels");
  check(c.num_encoder_blocks, levels, kMostBlocks, where + ": num_encoder_blocks");
  check(c.num_decoder_blocks, levels, kMostBlocks, where + ": num_decoder_blocks");
  return c;
}

AutoencoderTiny::Block::Block(int64_t channels, nn::ActivationFunction activation)
    : activation_(activation),
      conv_0_(channels, channels, 3, {.padding = 1}),
      conv_2_(channels, channels, 3, {.padding = 1}),
      conv_4_(channels, channels, 3, {.padding = 1}) {
  conv_.register_module("0", conv_0_);
  conv_.register_module("2", conv_2_);
  conv_.register_module("4", conv_4_);
  register_module("conv", conv_);
}

at::Tensor AutoencoderTiny::Block::forward(const at::Tensor& x) const {
  const at::Tensor h = conv_2_.forward(activation_(conv_0_.forward(x)));
  return activation_(conv_4_.forward(activation_(h)) + x);
}

AutoencoderTiny::Layer& AutoencoderTiny::Sequence::add(Layer layer) {
  layers.push_back(std::move(layer));
  Layer& added = layers.back();
  const std::string name = std::to_string(layers.size() - 1);
  if (added.conv) layers_module.register_module(name, *added.conv);
  if (added.block) layers_module.register_module(name, *added.block);
  return added;
}

AutoencoderTiny::AutoencoderTiny(const AutoencoderTinyConfig& c)
    : config_(c), activation_(nn::find_activation(c.act_fn, "act_fn")) {
  const auto conv = [](int64_t in, int64_t out, nn::Conv2dOptions options = {.padding = 1}) {
    return Layer{.conv = std::make_unique<nn::Conv2d>(in, out, 3, options)};
  };
  const auto add_blocks = [&](Sequence& sequence, int64_t count, int64_t channels) {
    for (int64_t i = 0; i < count; ++i)
      sequence.add({.block = std::make_unique<Block>(channels, activation_)});
  };
  int64_t channels = c.in_channels;
  for (size_t i = 0; i < c.encoder_block_out_channels.size(); ++i) {
    const int64_t out = c.encoder_block_out_channels[i];
    encoder_.add(i == 0 ? conv(channels, out)
                        : conv(channels, out, {.stride = 2, .padding = 1, .bias = false}));
    add_blocks(encoder_, c.num_encoder_blocks[i], out);
    channels = out;
  }
  encoder_.add(conv(channels, c.latent_channels));

  const std::vector<int64_t>& widths = c.decoder_block_out_channels;
  decoder_.add(conv(c.latent_channels, widths[0]));
  decoder_.add({.activates = true});
  for (size_t i = 0; i < widths.size(); ++i) {
    const bool last = i + 1 == widths.size();
    add_blocks(decoder_, c.num_decoder_blocks[i], widths[i]);
    if (!last) decoder_.add({.upsamples = true});
    decoder_.add(conv(widths[i], last ? c.out_channels : widths[i], {.padding = 1, .bias = last}));
  }
  for (const auto& [name, sequence] : {std::pair("encoder", &encoder_), std::pair("decoder", &decoder_)}) {
    if (c.decoder_only && sequence == &encoder_) continue;
    sequence->register_module("layers", sequence->layers_module);
    register_module(name, *sequence);
  }
}

at::Tensor AutoencoderTiny::run(const Sequence& sequence, at::Tensor x) const {
  for (const Layer& layer : sequence.layers) {
    if (layer.conv) x = layer.conv->forward(x);
    if (layer.block) x = layer.block->forward(x);
    if (layer.activates) x = activation_(x);
    if (layer.upsamples) x = at::upsample_nearest2d(x, {2 * x.size(2), 2 * x.size(3)});
  }
  return x;
}

DiagonalGaussian AutoencoderTiny::encode(const at::Tensor& pixels) const {
  if (!encodes())
    throw Error(ErrorCode::Unsupported, "vae", "is a decoder alone: it cannot encode a picture",
                "give a VAE with both its halves");
  return {run(encoder_, (pixels + 1) / 2), {}};
}

at::Tensor AutoencoderTiny::decode(const at::Tensor& latents) const {
  return run(decoder_, at::tanh(latents / kLatentMagnitude) * kLatentMagnitude) * 2 - 1;
}

int64_t AutoencoderTiny::factor() const {
  return int64_t{1} << (config_.encoder_block_out_channels.size() - 1);
}

at::TensorOptions AutoencoderTiny::parameters_options() const {
  return decoder_.layers.front().conv->bias.options();  // its weight may be stored in another type
}

}  // namespace limn::models
