// SPDX-License-Identifier: Apache-2.0
#include "limn/base/error.h"
#include "limn/models/unet_2d_condition/unet_2d_condition.h"

namespace limn::models {
namespace {

constexpr int64_t kMostChannels = 1 << 16;  // keeps a lying config from asking for absurd memory
constexpr size_t kMostLevels = 16;
constexpr int64_t kMostDepth = 64;

/// A field limn has code for at one value only.
void require_default(const Fields& fields, std::string_view key, const json::value& only) {
  const json::value* found = fields.find(key);
  if (found && *found != only)
    throw Error(ErrorCode::Unsupported, fields.where() + ": " + std::string(key),
                "expected " + to_text(only) + ", found " + to_text(*found),
                "no Stable Diffusion 1, 2 or XL model sets it");
}

void check_unsupported(const Fields& fields) {
  for (std::string_view key :
       {"encoder_hid_dim", "encoder_hid_dim_type", "num_attention_heads", "cross_attention_norm",
        "time_embedding_act_fn", "timestep_post_act", "time_embedding_dim"})
    require_default(fields, key, nullptr);
  for (std::string_view key : {"dual_cross_attention", "resnet_skip_time_act", "class_embeddings_concat"})
    require_default(fields, key, false);
  require_default(fields, "conv_in_kernel", 3);
  require_default(fields, "conv_out_kernel", 3);
  require_default(fields, "time_embedding_type", "positional");
  require_default(fields, "attention_type", "default");
}

void check_types(const Fields& fields, const std::vector<std::string>& types, std::string_view key,
                 std::string_view plain, std::string_view attending) {
  for (const std::string& type : types)
    if (type != plain && type != attending)
      throw Error(ErrorCode::Unsupported, fields.where() + ": " + std::string(key),
                  "no block type '" + type + "'",
                  "known: " + std::string(plain) + ", " + std::string(attending));
}

void check_range(const Fields& fields, std::string_view key, const std::vector<int64_t>& values,
                 int64_t most) {
  for (int64_t value : values)
    if (value < 1 || value > most)
      throw Error(ErrorCode::BadFile, fields.where() + ": " + std::string(key),
                  "expected numbers from 1 to " + std::to_string(most) + ", found " + std::to_string(value));
}

void read_embeddings(const Fields& fields, UNet2DConditionConfig& c) {
  const std::string class_embed = fields.one_of("class_embed_type", "", {"", "projection"});
  c.num_class_embeds = fields.optional_integer("num_class_embeds");
  const auto projection_dim = fields.optional_integer("projection_class_embeddings_input_dim");
  const std::string addition = fields.one_of("addition_embed_type", "", {"", "text_time"});
  if ((class_embed == "projection" || addition == "text_time") && !projection_dim)
    throw Error(ErrorCode::BadFile, fields.where() + ": projection_class_embeddings_input_dim",
                "missing, though the embedding type needs it");
  if (class_embed == "projection") c.class_projection_dim = projection_dim;
  if (addition == "text_time") {
    c.addition_embed = AdditionEmbedding::TextTime;
    c.addition_input_dim = *projection_dim;
    c.addition_time_embed_dim = fields.integer("addition_time_embed_dim", 256, 2, kMostChannels);
  }
  c.time_cond_proj_dim = fields.optional_integer("time_cond_proj_dim");
  for (const auto& dim : {c.num_class_embeds, c.class_projection_dim, c.time_cond_proj_dim})
    if (dim) check_range(fields, "embedding sizes", {*dim}, kMostChannels);
}

MidBlock read_mid_block(const json::object& object, const Fields& fields) {
  const json::value* type = object.if_contains("mid_block_type");
  if (type && type->is_null()) return MidBlock::None;
  return fields.one_of("mid_block_type", "UNetMidBlock2DCrossAttn",
                       {"UNetMidBlock2DCrossAttn", "UNetMidBlock2D"}) == "UNetMidBlock2D"
             ? MidBlock::Resnet
             : MidBlock::CrossAttention;
}

/// One number of a config: how deep an attention is.
int64_t depth_of(const json::value& value, const std::string& where) {
  const int64_t* depth = value.if_int64();
  if (!depth || *depth < 0 || *depth > kMostDepth)
    throw Error(
        ErrorCode::BadFile, where,
        "expected whole numbers from 0 to " + std::to_string(kMostDepth) + ", found " + to_text(value));
  return *depth;
}

/// A level's depths: one number for all its attentions, or a list of them.
std::vector<int64_t> depths_of(const json::value& value, int64_t attentions, const std::string& where) {
  const json::array* list = value.if_array();
  if (!list) return std::vector<int64_t>(static_cast<size_t>(attentions), depth_of(value, where));
  std::vector<int64_t> out;
  for (const json::value& item : *list) out.push_back(depth_of(item, where));
  if (static_cast<int64_t>(out.size()) < attentions || out.empty())
    throw Error(ErrorCode::BadFile, where,
                "expected " + std::to_string(attentions) + " numbers a level, found " + to_text(value));
  return out;
}

/// A field's value for each level, where one number stands for all.
std::vector<json::value> per_level_values(const Fields& fields, std::string_view key, size_t levels) {
  const json::value* found = fields.find(key);
  if (!found || found->is_null()) return {};
  if (!found->is_array()) return std::vector<json::value>(levels, *found);
  if (found->as_array().size() != levels)
    throw Error(ErrorCode::BadFile, fields.where() + ": " + std::string(key),
                "expected " + std::to_string(levels) + " levels, found " + to_text(*found));
  return {found->as_array().begin(), found->as_array().end()};
}

void read_transformer_layers(const Fields& fields, UNet2DConditionConfig& c) {
  constexpr std::string_view kDown = "transformer_layers_per_block",
                             kUp = "reverse_transformer_layers_per_block";
  const size_t levels = c.block_out_channels.size();
  auto down = per_level_values(fields, kDown, levels);
  if (down.empty()) down.assign(levels, json::value(1));
  auto up = per_level_values(fields, kUp, levels);
  if (up.empty()) up.assign(down.rbegin(), down.rend());
  for (size_t i = 0; i < levels; ++i) {
    const std::string where = fields.where() + ": ";
    c.transformer_layers.push_back(depths_of(down[i], c.layers_per_block[i], where + std::string(kDown)));
    c.up_transformer_layers.push_back(
        depths_of(up[i], c.layers_per_block[levels - 1 - i] + 1, where + std::string(kUp)));
  }
  c.mid_transformer_layers = c.transformer_layers.back().front();
}

}  // namespace

UNet2DConditionConfig UNet2DConditionConfig::from_json(const json::object& object, const std::string& where) {
  const Fields fields(object, where);
  check_unsupported(fields);
  UNet2DConditionConfig c;
  c.sample_size = fields.integer("sample_size", 64, 1, kMostChannels);
  c.in_channels = fields.integer("in_channels", 4, 1, kMostChannels);
  c.out_channels = fields.integer("out_channels", 4, 1, kMostChannels);
  c.center_input_sample = fields.boolean("center_input_sample", false);
  c.flip_sin_to_cos = fields.boolean("flip_sin_to_cos", true);
  c.freq_shift = fields.number("freq_shift", 0);
  c.down_block_types = fields.strings("down_block_types", {"CrossAttnDownBlock2D", "CrossAttnDownBlock2D",
                                                           "CrossAttnDownBlock2D", "DownBlock2D"});
  c.up_block_types = fields.strings(
      "up_block_types", {"UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"});
  c.mid_block = read_mid_block(object, fields);
  c.block_out_channels = fields.integers("block_out_channels", {320, 640, 1280, 1280});

  const size_t levels = c.block_out_channels.size();
  if (levels == 0 || levels > kMostLevels || c.down_block_types.size() != levels ||
      c.up_block_types.size() != levels)
    throw Error(ErrorCode::BadFile, where + ": block_out_channels",
                "has " + std::to_string(levels) + " levels, down_block_types " +
                    std::to_string(c.down_block_types.size()) + ", up_block_types " +
                    std::to_string(c.up_block_types.size()),
                "all three must agree");
  check_types(fields, c.down_block_types, "down_block_types", "DownBlock2D", "CrossAttnDownBlock2D");
  check_types(fields, c.up_block_types, "up_block_types", "UpBlock2D", "CrossAttnUpBlock2D");

  const auto per_level = [&](std::string_view key, int64_t fallback, int64_t most) {
    auto values = fields.integer_or_list(key, levels, std::vector<int64_t>(levels, fallback));
    check_range(fields, key, values, most);
    return values;
  };
  check_range(fields, "block_out_channels", c.block_out_channels, kMostChannels);
  c.only_cross_attention = fields.boolean_or_list("only_cross_attention", levels, false);
  c.layers_per_block = per_level("layers_per_block", 2, 64);
  c.cross_attention_dim = per_level("cross_attention_dim", 1280, kMostChannels);
  c.attention_heads = per_level("attention_head_dim", 8, kMostChannels);
  read_transformer_layers(fields, c);
  c.downsample_padding = fields.integer("downsample_padding", 1, 0, 1);
  c.norm_num_groups = fields.integer("norm_num_groups", 32, 1, kMostChannels);
  c.norm_eps = fields.number("norm_eps", 1e-5);
  c.mid_block_scale_factor = fields.number("mid_block_scale_factor", 1);
  c.resnet_out_scale_factor = fields.number("resnet_out_scale_factor", 1);
  c.act_fn = fields.string("act_fn", "silu");
  c.use_linear_projection = fields.boolean("use_linear_projection", false);
  c.scale_shift =
      fields.one_of("resnet_time_scale_shift", "default", {"default", "scale_shift"}) == "scale_shift";
  read_embeddings(fields, c);
  for (size_t i = 0; i < levels; ++i)
    if (c.block_out_channels[i] % c.norm_num_groups != 0 ||
        c.block_out_channels[i] % c.attention_heads[i] != 0)
      throw Error(ErrorCode::BadFile, where + ": block_out_channels",
                  std::to_string(c.block_out_channels[i]) + " is not divisible by norm_num_groups (" +
                      std::to_string(c.norm_num_groups) + ") and attention_head_dim (" +
                      std::to_string(c.attention_heads[i]) + ")");
  return c;
}

}  // namespace limn::models
