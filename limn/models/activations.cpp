// SPDX-License-Identifier: Apache-2.0
#include "limn/models/activations.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "limn/nn/fast_path.h"

namespace limn::models {
namespace {

struct Ledger {
  int64_t now = 0, most = 0;
};

/// The largest buffers that limn's kernels asked for, which they keep; sizes as in limn/kernels.
struct Scratch {
  int64_t winograd_inputs = 0, attention = 0, of_a_thread = 0;  // bytes

  void note_winograd(int64_t tiles, int64_t channels) {
    constexpr int64_t kPointBytes = 36 * 4, kInputs = int64_t{8} << 20, kColumns = 32, kDepth = 256;
    const int64_t block = std::min(tiles, std::max<int64_t>(kInputs / (kPointBytes * channels), 1));
    winograd_inputs = std::max(winograd_inputs, kPointBytes * block * channels);
    of_a_thread = std::max(of_a_thread, kPointBytes * kColumns * (std::min(channels, kDepth) + block));
  }
  /// @param floats  keys of one head
  void note_attention(int64_t heads, int64_t floats) {
    constexpr int64_t kMostPacked = int64_t{1} << 20;  // floats, unless one head has more
    attention = std::max(attention, 4 * std::max(2 * floats, std::min(2 * heads * floats, kMostPacked)));
  }
};

/// Bytes that count as alive while a copy of this is: what at::Tensor's reference count does.
class Alive {
 public:
  Alive() = default;
  Alive(Ledger& ledger, int64_t bytes) : held_(&ledger, [bytes](Ledger* l) { l->now -= bytes; }) {
    ledger.now += bytes;
    ledger.most = std::max(ledger.most, ledger.now);
  }

 private:
  std::shared_ptr<Ledger> held_;
};

/// A feature map, or with width 1 the tokens of a transformer, without its numbers.
struct Map {
  int64_t channels = 0, height = 0, width = 1;
  Alive memory;
};

struct Conv {
  int64_t kernel = 3, stride = 1, padding = 1;
  bool norm = false, addition = false, residual = false;  // nn::Conv2dExtras; a norm comes with an activation
};
constexpr Conv kOneByOne{.kernel = 1, .padding = 0};

/// Layers as nn/layers.cpp computes them. One network's; one thread at a time.
class Layers {
 public:
  Layers(const Arithmetic& how, int64_t batch) : how_(how), batch_(batch) {}

  Activations peak() const {
    return {ledger_.most,
            scratch_.winograd_inputs + scratch_.attention + how_.threads * scratch_.of_a_thread};
  }

  Map made(int64_t channels, int64_t height, int64_t width) {
    return {channels, height, width, alive(batch_ * channels * height * width)};
  }
  Map like(const Map& x) { return made(x.channels, x.height, x.width); }
  Map like(const Map& x, int64_t channels) { return made(channels, x.height, x.width); }

  Map conv(const Map& input, int64_t out, const Conv& c = {}) {
    const auto side = [&c](int64_t in) { return (in + 2 * c.padding - c.kernel) / c.stride + 1; };
    const int64_t height = side(input.height), width = side(input.width);
    const bool is_linear = c.kernel == 1 && c.stride == 1 && c.padding == 0;
    const bool is_winograd = c.kernel == 3 && c.stride == 1 && c.padding == 1 &&
                             nn::fast_conv3x3_pays(input.height, input.width, input.channels, out);
    if (how_.fast && is_winograd) {
      scratch_.note_winograd(batch_ * blocks(height) * blocks(width), input.channels);
      return made(out, height, width);
    }
    Map x = input;
    if (c.norm) x = like(x);
    if (c.norm) x = like(x);  // the activation
    if (how_.fast && is_linear) {
      Map y = made(out, height, width);
      return c.addition ? like(y) : y;
    }
    Map y = convolved(x, out, height, width, c.kernel);
    if (c.addition) y = like(y);
    if (c.residual) y = like(y);
    return y;
  }

  Map norm(const Map& x) { return like(x); }

  Map linear(const Map& x, int64_t out, bool residual = false) {
    const Alive weight = converted(x.channels * out);
    Map y = like(x, out);
    return residual && !how_.fast ? like(y) : y;
  }

  /// Gated to half of `out` channels.
  Map geglu(const Map& x, int64_t out) {
    if (how_.fast) return like(x, out / 2);
    const Map parts = linear(x, out);
    const Map gate = like(x, out / 2);
    return like(x, out / 2);
  }

  Map attention(const Map& x, const Map& context, int64_t heads, bool residual) {
    const int64_t channels = x.channels, size = channels / heads;
    const Map q = linear(x, channels), k = linear(context, channels), v = linear(context, channels);
    const Map mixed = mix(q, k, size);
    return linear(mixed, channels, residual);
  }

  /// Softmax(QKᵀ)V. limn's kernel packs keys and values of some heads, at least of one.
  Map mix(const Map& q, const Map& k, int64_t head_size) {
    if (how_.fast) scratch_.note_attention(batch_ * q.channels / head_size, k.height * k.width * head_size);
    return like(q);
  }

  Map resnet(const Map& x, int64_t out, bool has_time, bool scale_shift = false, double output_scale = 1) {
    Map h = conv(x, out, {.norm = true, .addition = has_time && !scale_shift});
    const Map shortcut = x.channels == out ? x : conv(x, out, kOneByOne);
    if (scale_shift && has_time) {
      const Map normed = norm(h), scaled = like(h);
      h = like(h);
    }
    h = conv(h, out, {.norm = true, .residual = true});
    return output_scale == 1 ? h : like(h);
  }

  Map downsampled(const Map& x, int64_t padding) {
    const Conv half{.stride = 2, .padding = padding};
    if (padding != 0) return conv(x, x.channels, half);
    const Map padded = made(x.channels, x.height + 1, x.width + 1);
    return conv(padded, x.channels, half);
  }

  Map upsampled(const Map& x, int64_t height, int64_t width) {
    const Map large = made(x.channels, height, width);
    return conv(large, x.channels);
  }

  Map block(Map x, const Map& context, int64_t heads, bool only_cross_attention) {
    const auto attended = [&](bool to_context) {
      const Map normed = norm(x);
      return attention(normed, to_context ? context : normed, heads, true);
    };
    x = attended(only_cross_attention);
    x = attended(true);
    const Map normed = norm(x);
    return linear(geglu(normed, 8 * x.channels), x.channels, true);
  }

  Map transformer(const Map& hidden, const Map& context, int64_t heads, int64_t layers,
                  bool linear_projection, bool only_cross_attention) {
    const int64_t channels = hidden.channels;
    Map x = norm(hidden);
    x = linear_projection ? linear(x, channels) : conv(x, channels, kOneByOne);
    for (int64_t i = 0; i < layers; ++i) x = block(x, context, heads, only_cross_attention);
    Conv out = kOneByOne;
    out.residual = true;
    if (linear_projection) x = linear(x, channels);
    const Map map = how_.fast ? x : like(x);
    return linear_projection ? like(x) : conv(map, channels, out);
  }

 private:
  /// Tiles of Winograd's output along a side.
  static int64_t blocks(int64_t side) { return (side + 3) / 4; }
  static constexpr int64_t kLanes = 16;  // of channels in oneDNN's blocked order

  Alive alive(int64_t elements) {
    return {ledger_, elements * static_cast<int64_t>(c10::elementSize(how_.dtype))};
  }
  /// A weight brought to the type that LibTorch computes in.
  Alive converted(int64_t elements) {
    return how_.converts_weights && !how_.fast ? alive(elements) : Alive();
  }

  /// By oneDNN, which puts weights in its own order; of maps that are not channels-last the pixels, too.
  Map convolved(const Map& x, int64_t out, int64_t height, int64_t width, int64_t kernel) {
    const auto blocked = [](int64_t channels) { return (channels + kLanes - 1) / kLanes * kLanes; };
    const int64_t elements = x.channels * out * kernel * kernel;
    const Alive weight = how_.converts_weights ? alive(elements) : Alive();
    if (how_.fast) {
      const Alive ordered = alive(elements), reordered = kernel > 1 ? alive(elements) : Alive();
      return made(out, height, width);
    }
    Map inside;
    {
      const Map pixels = x.channels < kLanes ? Map() : like(x, blocked(x.channels));
      const Alive ordered = alive(blocked(x.channels) * blocked(out) * kernel * kernel);
      inside = made(blocked(out), height, width);
    }
    return made(out, height, width);
  }

  Arithmetic how_;
  int64_t batch_;
  Ledger ledger_;
  Scratch scratch_;
};

Map autoencoder_attention(Layers& layers, const Map& x) {
  const Map tokens = layers.norm(x);
  const auto mixed = [&] {
    const Map q = layers.linear(tokens, x.channels), k = layers.linear(tokens, x.channels),
              v = layers.linear(tokens, x.channels);
    return layers.mix(q, k, x.channels);
  }();
  const Map out = layers.linear(mixed, x.channels);
  return layers.like(x);
}

Map autoencoder_middle(Layers& layers, const AutoencoderKLConfig& c, const Map& input) {
  Map x = layers.resnet(input, input.channels, false);
  if (c.mid_block_add_attention) x = autoencoder_attention(layers, x);
  return layers.resnet(x, x.channels, false);
}

Map tiny_block(Layers& layers, const Map& x) {
  Map h;
  {
    const Map first = layers.conv(x, x.channels), active = layers.like(first);
    h = layers.conv(active, x.channels);
  }
  const Map active = layers.like(h), last = layers.conv(active, x.channels), sum = layers.like(x);
  return layers.like(x);
}

}  // namespace

Activations unet_activations(const UNet2DConditionConfig& c, const Arithmetic& how, const MapSize& size,
                             int64_t context_tokens) {
  Layers layers(how, size.batch);
  const size_t levels = c.block_out_channels.size();
  const auto resnet = [&](const Map& x, int64_t out, double scale) {
    return layers.resnet(x, out, true, c.scale_shift, scale);
  };
  const auto transformer = [&](const Map& x, size_t level, int64_t depth, bool only_cross) {
    const Map context{c.cross_attention_dim[level], context_tokens};
    return layers.transformer(x, context, c.attention_heads[level], depth, c.use_linear_projection,
                              only_cross);
  };

  const Map sample = layers.made(c.in_channels, size.height, size.width);
  const Map context = layers.made(c.cross_attention_dim.front(), context_tokens, 1);
  Map x = layers.conv(sample, c.block_out_channels[0]);
  std::vector<Map> skips{x};
  const auto down = [&](Map h, size_t level) {
    const bool attends = c.down_block_types[level] == "CrossAttnDownBlock2D";
    for (int64_t i = 0; i < c.layers_per_block[level]; ++i) {
      h = resnet(h, c.block_out_channels[level], c.resnet_out_scale_factor);
      if (attends)
        h = transformer(h, level, c.transformer_layers[level][static_cast<size_t>(i)],
                        c.only_cross_attention[level]);
      skips.push_back(h);
    }
    if (level + 1 == levels) return h;
    h = layers.downsampled(h, c.downsample_padding);
    skips.push_back(h);
    return h;
  };
  const auto middle = [&](Map h) {
    h = resnet(h, h.channels, c.mid_block_scale_factor);
    if (c.mid_block != MidBlock::CrossAttention) return h;
    h = transformer(h, levels - 1, c.mid_transformer_layers, false);
    return resnet(h, h.channels, c.mid_block_scale_factor);
  };
  const auto up = [&](Map h, size_t block) {
    const size_t level = levels - 1 - block;
    const bool attends = c.up_block_types[block] == "CrossAttnUpBlock2D";
    for (int64_t i = 0; i <= c.layers_per_block[level]; ++i) {
      const Map skip = skips.back();
      skips.pop_back();
      const auto with_skip = [&] {
        const Map both = layers.like(h, h.channels + skip.channels);
        return resnet(both, c.block_out_channels[level], c.resnet_out_scale_factor);
      };
      h = with_skip();
      if (attends)
        h = transformer(h, level, c.up_transformer_layers[block][static_cast<size_t>(i)],
                        c.only_cross_attention[level]);
    }
    return level == 0 ? h : layers.upsampled(h, skips.back().height, skips.back().width);
  };
  for (size_t level = 0; level < levels; ++level) x = down(x, level);
  if (c.mid_block != MidBlock::None) x = middle(x);
  for (size_t block = 0; block < levels; ++block) x = up(x, block);
  x = layers.conv(x, c.out_channels, {.norm = true});
  return layers.peak();
}

int64_t cross_attention_bytes(const UNet2DConditionConfig& c, const Arithmetic& how, int64_t branches,
                              int64_t context_tokens) {
  const size_t levels = c.block_out_channels.size();
  int64_t channels = 0;
  const auto add = [&](size_t level, const std::vector<int64_t>& depths, int64_t layers) {
    for (int64_t i = 0; i < layers; ++i)
      channels += c.block_out_channels[level] * depths[static_cast<size_t>(i)];
  };
  for (size_t i = 0; i < levels; ++i) {
    const size_t level = levels - 1 - i;
    if (c.down_block_types[i] == "CrossAttnDownBlock2D")
      add(i, c.transformer_layers[i], c.layers_per_block[i]);
    if (c.up_block_types[i] == "CrossAttnUpBlock2D")
      add(level, c.up_transformer_layers[i], c.layers_per_block[level] + 1);
  }
  if (c.mid_block == MidBlock::CrossAttention) add(levels - 1, {c.mid_transformer_layers}, 1);
  return 2 * channels * branches * context_tokens * static_cast<int64_t>(c10::elementSize(how.dtype));
}

Activations decoder_activations(const AutoencoderKLConfig& c, const Arithmetic& how, const MapSize& size) {
  Layers layers(how, size.batch);
  Map x = layers.made(c.latent_channels, size.height, size.width);
  if (c.use_post_quant_conv) x = layers.conv(x, c.latent_channels, kOneByOne);
  const Map latents = x;
  x = layers.conv(latents, c.block_out_channels.back());
  x = autoencoder_middle(layers, c, x);
  for (size_t level = c.block_out_channels.size(); level-- > 0;) {
    for (int64_t i = 0; i <= c.layers_per_block; ++i)
      x = layers.resnet(x, c.block_out_channels[level], false);
    if (level > 0) x = layers.upsampled(x, 2 * x.height, 2 * x.width);
  }
  x = layers.conv(x, c.out_channels, {.norm = true});
  return layers.peak();
}

Activations encoder_activations(const AutoencoderKLConfig& c, const Arithmetic& how, const MapSize& size) {
  Layers layers(how, size.batch);
  const Map pixels = layers.made(c.in_channels, size.height, size.width);
  Map x = layers.conv(pixels, c.block_out_channels[0]);
  for (size_t level = 0; level < c.block_out_channels.size(); ++level) {
    for (int64_t i = 0; i < c.layers_per_block; ++i) x = layers.resnet(x, c.block_out_channels[level], false);
    if (level + 1 < c.block_out_channels.size()) x = layers.downsampled(x, 0);
  }
  x = autoencoder_middle(layers, c, x);
  x = layers.conv(x, 2 * c.latent_channels, {.norm = true});
  return layers.peak();
}

Activations decoder_activations(const AutoencoderTinyConfig& c, const Arithmetic& how, const MapSize& size) {
  Layers layers(how, size.batch);
  const std::vector<int64_t>& widths = c.decoder_block_out_channels;
  const Map latents = layers.made(c.latent_channels, size.height, size.width);
  Map x = layers.conv(latents, widths[0]);
  x = layers.like(x);
  for (size_t i = 0; i < widths.size(); ++i) {
    for (int64_t n = 0; n < c.num_decoder_blocks[i]; ++n) x = tiny_block(layers, x);
    const bool last = i + 1 == widths.size();
    if (!last) x = layers.made(x.channels, 2 * x.height, 2 * x.width);
    x = layers.conv(x, last ? c.out_channels : widths[i]);
  }
  return layers.peak();
}

Activations encoder_activations(const AutoencoderTinyConfig& c, const Arithmetic& how, const MapSize& size) {
  Layers layers(how, size.batch);
  const std::vector<int64_t>& widths = c.encoder_block_out_channels;
  Map x = layers.made(c.in_channels, size.height, size.width);
  for (size_t i = 0; i < widths.size(); ++i) {
    x = layers.conv(x, widths[i], {.stride = i == 0 ? 1 : 2});
    for (int64_t n = 0; n < c.num_encoder_blocks[i]; ++n) x = tiny_block(layers, x);
  }
  x = layers.conv(x, c.latent_channels);
  return layers.peak();
}

Activations text_activations(const text::CLIPTextConfig& c, const Arithmetic& how, int64_t batch) {
  Layers layers(how, batch);
  const Map x = layers.made(c.hidden_size, c.max_position_embeddings, 1);
  const auto layer = [&](Map h) {
    const auto attended = [&] {
      const Map mixed = layers.attention(layers.norm(h), h, c.num_attention_heads, false);
      return layers.like(h);
    };
    h = attended();
    const Map inner = layers.linear(layers.norm(h), c.intermediate_size), active = layers.like(inner);
    const Map out = layers.linear(active, c.hidden_size);
    return layers.like(h);
  };
  layer(x);
  return layers.peak();
}

}  // namespace limn::models
