// SPDX-License-Identifier: Apache-2.0
#include "limn/models/derive_config.h"

#include <algorithm>

#include <boost/json/value_from.hpp>

#include "limn/base/error.h"
#include "limn/models/shapes.h"

namespace limn::models {
namespace {

constexpr int64_t kGroups = 32, kHeads = 8, kTextHeadSize = 64, kTimeIdSize = 256;

struct Level {
  int64_t channels = 0;
  std::vector<int64_t> depths;  // transformer blocks after each resnet; 0: no attention
  bool attends() const {
    return std::ranges::any_of(depths, [](int64_t depth) { return depth > 0; });
  }
};

/// One number where all levels have it, as diffusers' layers_per_block wants it, else a list.
json::value layers_per_block(const std::vector<int64_t>& layers, const std::string& origin) {
  if (layers.empty() || std::ranges::find(layers, 0) != layers.end())
    throw Error(ErrorCode::BadFile, origin, "expected ResNet layers, at least 1, at every level");
  if (std::ranges::all_of(layers, [&](int64_t n) { return n == layers.front(); })) return layers.front();
  return json::value_from(layers);
}

int64_t depth_at(const Shapes& shapes, const std::string& block) {
  return shapes.count(block + "1.transformer_blocks.", ".norm1.weight");
}

std::vector<Level> levels_down(const Shapes& shapes) {
  std::vector<Level> levels(1);
  for (int64_t n = 1;; ++n) {
    const std::string block = "input_blocks." + std::to_string(n) + ".";
    if (shapes.has(block + "0.op.weight")) {
      levels.emplace_back();
    } else if (shapes.has(block + "0.out_layers.3.weight")) {
      levels.back().channels = shapes.size(block + "0.out_layers.3.weight", 0);
      levels.back().depths.push_back(depth_at(shapes, block));
    } else {
      return levels;
    }
  }
}

std::vector<Level> levels_up(const Shapes& shapes) {
  std::vector<Level> levels(1);
  for (int64_t n = 0;; ++n) {
    const std::string block = "output_blocks." + std::to_string(n) + ".";
    if (!shapes.has(block + "0.out_layers.3.weight")) return levels;
    levels.back().depths.push_back(depth_at(shapes, block));
    if (shapes.has(block + "1.conv.weight") || shapes.has(block + "2.conv.weight")) levels.emplace_back();
  }
}

/// Depths as diffusers writes them: one number a level where its attentions are alike, 1 where it has none.
json::array depths_of(const std::vector<Level>& levels) {
  json::array out;
  for (const Level& level : levels) {
    const bool alike =
        std::ranges::all_of(level.depths, [&](int64_t d) { return d == level.depths.front(); });
    if (!level.attends())
      out.emplace_back(1);
    else if (alike)
      out.emplace_back(level.depths.front());
    else
      out.emplace_back(json::value_from(level.depths));
  }
  return out;
}

/// Transformer depths, where they are not one everywhere.
void put_depths(json::object& config, const std::vector<Level>& down, const std::vector<Level>& up) {
  const json::array ways_down = depths_of(down), ways_up = depths_of(up);
  if (std::ranges::any_of(ways_down, [](const json::value& depth) { return depth != json::value(1); }))
    config["transformer_layers_per_block"] = ways_down;
  const json::array mirrored(ways_down.rbegin(), ways_down.rend());
  const bool lists =
      std::ranges::any_of(ways_down, [](const json::value& depth) { return depth.is_array(); });
  if (ways_up != mirrored || lists) {
    config["transformer_layers_per_block"] = ways_down;
    config["reverse_transformer_layers_per_block"] = ways_up;
  }
}

json::value mid_block_type(const Shapes& shapes) {
  if (shapes.has("middle_block.1.proj_in.weight")) return "UNetMidBlock2DCrossAttn";
  return shapes.has("middle_block.0.in_layers.0.weight") ? json::value("UNetMidBlock2D") : json::value();
}

/// The width of the text states, or SD 1.5's where no attention block says it.
int64_t cross_attention_dim(const weights::Index& unet, const Shapes& shapes) {
  for (const auto& [key, entry] : unet.tensors)
    if (key.ends_with(".attn2.to_k.weight")) return shapes.size(key, 1);
  return 768;
}

bool has_linear_projection(const weights::Index& unet, const Shapes& shapes) {
  return std::ranges::any_of(unet.tensors, [&](const auto& tensor) {
    return tensor.first.ends_with(".proj_in.weight") && shapes.is_matrix(tensor.first);
  });
}

json::array repeated(std::string_view value, size_t count) { return json::array(count, json::value(value)); }

/// SD 1.5's unet/config.json, without what the shapes tell.
json::object unet_preset() {
  return {{"_class_name", "UNet2DConditionModel"},
          {"_diffusers_version", "0.6.0"},
          {"act_fn", "silu"},
          {"center_input_sample", false},
          {"downsample_padding", 1},
          {"flip_sin_to_cos", true},
          {"freq_shift", 0},
          {"mid_block_scale_factor", 1},
          {"norm_eps", 1e-5},
          {"norm_num_groups", kGroups}};
}

json::object vae_preset() {
  return {{"_class_name", "AutoencoderKL"},
          {"_diffusers_version", "0.6.0"},
          {"act_fn", "silu"},
          {"norm_num_groups", kGroups}};
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

json::object unet_config(const weights::Index& unet, const UNetHints& hints) {
  const Shapes shapes(unet);
  const std::vector<Level> down = levels_down(shapes), up = levels_up(shapes);
  std::vector<int64_t> channels, layers, heads;
  json::array down_types, up_types;
  for (const Level& level : down) {
    channels.push_back(level.channels);
    layers.push_back(static_cast<int64_t>(level.depths.size()));
    if (hints.head_channels > 0) heads.push_back(std::max<int64_t>(1, level.channels / hints.head_channels));
    down_types.emplace_back(level.attends() ? "CrossAttnDownBlock2D" : "DownBlock2D");
    up_types.emplace(up_types.begin(), level.attends() ? "CrossAttnUpBlock2D" : "UpBlock2D");
  }
  json::object config = unet_preset();
  config["attention_head_dim"] = heads.empty() ? json::value(kHeads) : json::value_from(heads);
  config["block_out_channels"] = json::value_from(channels);
  config["cross_attention_dim"] = cross_attention_dim(unet, shapes);
  config["down_block_types"] = std::move(down_types);
  config["in_channels"] = shapes.size("input_blocks.0.0.weight", 1);
  config["layers_per_block"] = layers_per_block(layers, shapes.origin());
  config["mid_block_type"] = mid_block_type(shapes);
  config["out_channels"] = shapes.size("out.2.weight", 0);
  config["sample_size"] = hints.sample_size;
  config["up_block_types"] = std::move(up_types);
  put_depths(config, down, up);
  if (has_linear_projection(unet, shapes)) config["use_linear_projection"] = true;
  if (shapes.has("label_emb.0.0.weight")) {
    config["addition_embed_type"] = "text_time";
    config["addition_time_embed_dim"] = kTimeIdSize;
    config["projection_class_embeddings_input_dim"] = shapes.size("label_emb.0.0.weight", 1);
  }
  if (shapes.has("time_embed.cond_proj.weight"))
    config["time_cond_proj_dim"] = shapes.size("time_embed.cond_proj.weight", 1);
  return config;
}

json::object vae_config(const weights::Index& vae, const VaeHints& hints) {
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
  config["sample_size"] = hints.sample_size;
  config["scaling_factor"] = hints.scaling_factor;
  if (hints.force_upcast) config["force_upcast"] = true;
  config["up_block_types"] = repeated("UpDecoderBlock2D", channels.size());
  if (!shapes.has("quant_conv.weight")) config["use_quant_conv"] = false;
  if (!shapes.has("post_quant_conv.weight")) config["use_post_quant_conv"] = false;
  return config;
}

json::object clip_text_config(const weights::Index& text_encoder) {
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

json::object open_clip_text_config(const weights::Index& text_encoder, int64_t left_out, bool projected) {
  const Shapes shapes(text_encoder);
  const int64_t hidden_size = shapes.size("token_embedding.weight", 1);
  json::object config = text_encoder_preset();
  config["architectures"] = json::array{projected ? "CLIPTextModelWithProjection" : "CLIPTextModel"};
  config["hidden_act"] = "gelu";
  config["hidden_size"] = hidden_size;
  config["intermediate_size"] = shapes.size("transformer.resblocks.0.mlp.c_fc.weight", 0);
  config["max_position_embeddings"] = shapes.size("positional_embedding", 0);
  config["num_attention_heads"] = std::max<int64_t>(1, hidden_size / kTextHeadSize);
  config["num_hidden_layers"] = shapes.count("transformer.resblocks.", ".ln_1.weight") - left_out;
  config["projection_dim"] = shapes.has("text_projection") ? shapes.size("text_projection", 1) : hidden_size;
  config["vocab_size"] = shapes.size("token_embedding.weight", 0);
  return config;
}

}  // namespace limn::models
