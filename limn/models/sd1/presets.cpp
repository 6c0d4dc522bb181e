// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <boost/json/value_from.hpp>

#include "limn/base/error.h"
#include "limn/models/sd1/sd1.h"

namespace limn::models::sd1 {
namespace {

constexpr int64_t kGroups = 32, kHeads = 8, kTextHeadSize = 64;

/// Sizes of the tensors that must be there.
class Shapes {
 public:
  explicit Shapes(const weights::Index& index) : index_(index) {}

  int64_t size(const std::string& key, size_t dimension) const {
    const weights::TensorEntry* entry = index_.find(key);
    if (!entry)
      throw Error(ErrorCode::BadFile, index_.origin + ": " + key, "is missing", "the file is not complete");
    if (entry->shape.size() <= dimension || entry->shape[dimension] < 1)
      throw Error(ErrorCode::BadFile, index_.origin + ": " + key,
                  "expected at least " + std::to_string(dimension + 1) + " dimensions, none of them 0");
    return entry->shape[dimension];
  }
  bool has(const std::string& key) const { return index_.has(key); }
  const std::string& origin() const { return index_.origin; }

  /// How many n there are, from 0 up, for which `before` n `after` is a tensor.
  int64_t count(const std::string& before, const std::string& after) const {
    int64_t n = 0;
    while (has(before + std::to_string(n) + after)) ++n;
    return n;
  }

 private:
  const weights::Index& index_;
};

struct Level {
  int64_t channels = 0, layers = 0;
  bool attention = false;
};

/// One number for all levels, as diffusers' layers_per_block wants it.
int64_t layers_per_block(const std::vector<int64_t>& layers, const std::string& origin) {
  if (layers.empty() || std::ranges::any_of(layers, [&](int64_t n) { return n < 1 || n != layers.front(); }))
    throw Error(ErrorCode::BadFile, origin,
                "expected the same number of ResNet layers, at least 1, at every level");
  return layers.front();
}

std::vector<Level> unet_levels(const Shapes& shapes) {
  std::vector<Level> levels(1);
  for (int64_t n = 1;; ++n) {
    const std::string block = "input_blocks." + std::to_string(n) + ".";
    if (shapes.has(block + "0.op.weight")) {
      levels.emplace_back();
    } else if (shapes.has(block + "0.out_layers.3.weight")) {
      levels.back().channels = shapes.size(block + "0.out_layers.3.weight", 0);
      levels.back().attention |= shapes.has(block + "1.proj_in.weight");
      ++levels.back().layers;
    } else {
      return levels;
    }
  }
}

/// The width of the text states, or SD 1.5's where no attention block says it.
int64_t cross_attention_dim(const weights::Index& unet, const Shapes& shapes) {
  for (const auto& [key, entry] : unet.tensors)
    if (key.ends_with(".attn2.to_k.weight")) return shapes.size(key, 1);
  return 768;
}

json::array repeated(std::string_view value, size_t count) { return json::array(count, json::value(value)); }

/// SD 1.5's unet/config.json, without what the shapes tell.
json::object unet_preset() {
  return {{"_class_name", "UNet2DConditionModel"},
          {"_diffusers_version", "0.6.0"},
          {"act_fn", "silu"},
          {"attention_head_dim", kHeads},
          {"center_input_sample", false},
          {"downsample_padding", 1},
          {"flip_sin_to_cos", true},
          {"freq_shift", 0},
          {"mid_block_scale_factor", 1},
          {"norm_eps", 1e-5},
          {"norm_num_groups", kGroups},
          {"sample_size", 64}};
}

json::object vae_preset() {
  return {{"_class_name", "AutoencoderKL"},
          {"_diffusers_version", "0.6.0"},
          {"act_fn", "silu"},
          {"norm_num_groups", kGroups},
          {"sample_size", 512},
          {"scaling_factor", 0.18215}};
}

json::object text_encoder_preset() {
  return {{"architectures", json::array{"CLIPTextModel"}},
          {"attention_dropout", 0.0},
          {"bos_token_id", 0},
          {"dropout", 0.0},
          {"eos_token_id", 2},
          {"hidden_act", "quick_gelu"},
          {"initializer_factor", 1.0},
          {"initializer_range", 0.02},
          {"layer_norm_eps", 1e-5},
          {"model_type", "clip_text_model"},
          {"pad_token_id", 1}};
}

}  // namespace

json::object unet_config(const weights::Index& unet) {
  const Shapes shapes(unet);
  const std::vector<Level> levels = unet_levels(shapes);
  std::vector<int64_t> channels, layers;
  json::array down, up;
  for (const Level& level : levels) {
    channels.push_back(level.channels);
    layers.push_back(level.layers);
    down.emplace_back(level.attention ? "CrossAttnDownBlock2D" : "DownBlock2D");
    up.emplace(up.begin(), level.attention ? "CrossAttnUpBlock2D" : "UpBlock2D");
  }
  json::object config = unet_preset();
  config["block_out_channels"] = json::value_from(channels);
  config["cross_attention_dim"] = cross_attention_dim(unet, shapes);
  config["down_block_types"] = std::move(down);
  config["in_channels"] = shapes.size("input_blocks.0.0.weight", 1);
  config["layers_per_block"] = layers_per_block(layers, shapes.origin());
  config["mid_block_type"] =
      shapes.has("middle_block.1.proj_in.weight") ? "UNetMidBlock2DCrossAttn" : "UNetMidBlock2D";
  config["out_channels"] = shapes.size("out.2.weight", 0);
  config["up_block_types"] = std::move(up);
  if (shapes.has("time_embed.cond_proj.weight"))
    config["time_cond_proj_dim"] = shapes.size("time_embed.cond_proj.weight", 1);
  return config;
}

json::object vae_config(const weights::Index& vae) {
  const Shapes shapes(vae);
  std::vector<int64_t> channels, layers;
  for (int64_t level = 0, last = shapes.count("encoder.down.", ".block.0.conv1.weight"); level < last;
       ++level) {
    const std::string down = "encoder.down." + std::to_string(level) + ".block.";
    channels.push_back(shapes.size(down + "0.conv1.weight", 0));
    layers.push_back(shapes.count(down, ".conv1.weight"));
  }
  json::object config = vae_preset();
  config["block_out_channels"] = json::value_from(channels);
  config["down_block_types"] = repeated("DownEncoderBlock2D", channels.size());
  config["in_channels"] = shapes.size("encoder.conv_in.weight", 1);
  config["latent_channels"] = shapes.size("decoder.conv_in.weight", 1);
  config["layers_per_block"] = layers_per_block(layers, shapes.origin());
  config["out_channels"] = shapes.size("decoder.conv_out.weight", 0);
  config["up_block_types"] = repeated("UpDecoderBlock2D", channels.size());
  if (!shapes.has("quant_conv.weight")) config["use_quant_conv"] = false;
  if (!shapes.has("post_quant_conv.weight")) config["use_post_quant_conv"] = false;
  return config;
}

json::object text_encoder_config(const weights::Index& text_encoder) {
  const Shapes shapes(text_encoder);
  const std::string root = shapes.has("text_model.embeddings.token_embedding.weight") ? "text_model." : "";
  const int64_t hidden_size = shapes.size(root + "embeddings.token_embedding.weight", 1);
  json::object config = text_encoder_preset();
  config["hidden_size"] = hidden_size;
  config["intermediate_size"] = shapes.size(root + "encoder.layers.0.mlp.fc1.weight", 0);
  config["max_position_embeddings"] = shapes.size(root + "embeddings.position_embedding.weight", 0);
  config["num_attention_heads"] = std::max<int64_t>(1, hidden_size / kTextHeadSize);
  config["num_hidden_layers"] = shapes.count(root + "encoder.layers.", ".mlp.fc1.weight");
  config["projection_dim"] = hidden_size;
  config["vocab_size"] = shapes.size(root + "embeddings.token_embedding.weight", 0);
  return config;
}

}  // namespace limn::models::sd1
