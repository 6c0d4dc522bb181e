// SPDX-License-Identifier: Apache-2.0
#include "limn/models/key_map.h"

#include <algorithm>

#include "limn/base/error.h"

namespace limn::models {
namespace {

constexpr KeyRule kSame[] = {{"", ""}};
constexpr KeyRule kResnet[] = {
    {"in_layers.0.", "norm1."},  {"in_layers.2.", "conv1."},  {"emb_layers.1.", "time_emb_proj."},
    {"out_layers.0.", "norm2."}, {"out_layers.3.", "conv2."}, {"skip_connection.", "conv_shortcut."},
};
constexpr KeyRule kTransformer[] = {
    {"norm.", "norm."},
    {"proj_in.", "proj_in."},
    {"transformer_blocks.", "transformer_blocks."},
    {"proj_out.", "proj_out."},
};
constexpr KeyRule kVaeResnet[] = {
    {"norm1.", "norm1."},
    {"conv1.", "conv1."},
    {"norm2.", "norm2."},
    {"conv2.", "conv2."},
    {"nin_shortcut.", "conv_shortcut."},
};
constexpr KeyRule kVaeAttention[] = {
    {"norm.", "group_norm."},         {"q.", "to_q.", true}, {"k.", "to_k.", true}, {"v.", "to_v.", true},
    {"proj_out.", "to_out.0.", true},
};
/// AutoencoderKL's attention before diffusers 0.15, on the left.
constexpr KeyRule kOldVaeAttention[] = {
    {"query.", "to_q.", true},
    {"key.", "to_k.", true},
    {"value.", "to_v.", true},
    {"proj_attn.", "to_out.0.", true},
};
constexpr KeyRule kClipText[] = {
    {"text_model.", "text_model."},
    {"embeddings.", "text_model.embeddings."},
    {"encoder.", "text_model.encoder."},
    {"final_layer_norm.", "text_model.final_layer_norm."},
};

constexpr std::string_view kHarmlessNames[] = {
    "betas",
    "logvar",
    "log_one_minus_alphas_cumprod",
    "model_ema.decay",
    "model_ema.num_updates",
    "lvlb_weights",
    "scale_factor",
};
constexpr std::string_view kHarmlessPrefixes[] = {"alphas_cumprod", "sqrt_", "posterior_", "log_one_minus_"};
constexpr std::string_view kHarmlessSuffixes[] = {"position_ids", "logit_scale"};

/// Bounds that keep a hostile config from asking for endless tables.
constexpr int64_t kMostLevels = 16, kMostLayers = 64;

using Block = KeyMap::Block;

std::string number(int64_t n) { return std::to_string(n); }

void add_unet_ends(std::vector<Block>& blocks, const Fields& config) {
  blocks.push_back({"time_embed.0.", "time_embedding.linear_1.", kSame});
  blocks.push_back({"time_embed.2.", "time_embedding.linear_2.", kSame});
  blocks.push_back({"time_embed.cond_proj.", "time_embedding.cond_proj.", kSame});
  if (config.has("addition_embed_type") || config.has("class_embed_type")) {
    const std::string name = config.has("addition_embed_type") ? "add_embedding" : "class_embedding";
    blocks.push_back({"label_emb.0.0.", name + ".linear_1.", kSame});
    blocks.push_back({"label_emb.0.2.", name + ".linear_2.", kSame});
  } else if (config.has("num_class_embeds")) {
    blocks.push_back({"label_emb.", "class_embedding.", kSame});
  }
  blocks.push_back({"input_blocks.0.0.", "conv_in.", kSame});
  blocks.push_back({"out.0.", "conv_norm_out.", kSame});
  blocks.push_back({"out.2.", "conv_out.", kSame});
}

void add_unet_middle(std::vector<Block>& blocks, const json::object& object, const Fields& config) {
  const json::value* type = object.if_contains("mid_block_type");
  if (type && type->is_null()) return;  // no middle block
  blocks.push_back({"middle_block.0.", "mid_block.resnets.0.", kResnet});
  if (config.string("mid_block_type", "UNetMidBlock2DCrossAttn") != "UNetMidBlock2DCrossAttn") return;
  blocks.push_back({"middle_block.1.", "mid_block.attentions.0.", kTransformer});
  blocks.push_back({"middle_block.2.", "mid_block.resnets.1.", kResnet});
}

struct UNetLayout {
  size_t levels = 0;
  std::vector<int64_t> layers;
  std::vector<bool> down_attention, up_attention;
};

bool has_attention(const std::string& block_type) {
  return block_type.find("CrossAttn") != std::string::npos;
}

UNetLayout unet_layout(const Fields& config) {
  UNetLayout layout;
  layout.levels = config.integers("block_out_channels", {320, 640, 1280, 1280}).size();
  const auto down = config.strings("down_block_types", {"CrossAttnDownBlock2D", "CrossAttnDownBlock2D",
                                                        "CrossAttnDownBlock2D", "DownBlock2D"});
  const auto up = config.strings(
      "up_block_types", {"UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"});
  if (layout.levels < 1 || layout.levels > kMostLevels || down.size() != layout.levels ||
      up.size() != layout.levels)
    throw Error(ErrorCode::BadFile, config.where() + ": block_out_channels",
                "expected 1 to " + number(kMostLevels) +
                    " levels, as many as down_block_types and up_block_types; found " +
                    number(layout.levels) + ", " + number(down.size()) + " and " + number(up.size()));
  layout.layers =
      config.integer_or_list("layers_per_block", layout.levels, std::vector<int64_t>(layout.levels, 2));
  for (int64_t layers : layout.layers)
    if (layers < 1 || layers > kMostLayers)
      throw Error(ErrorCode::BadFile, config.where() + ": layers_per_block",
                  "expected 1 to " + number(kMostLayers) + ", found " + number(layers));
  for (const std::string& type : down) layout.down_attention.push_back(has_attention(type));
  for (const std::string& type : up) layout.up_attention.push_back(has_attention(type));
  return layout;
}

void add_unet_down(std::vector<Block>& blocks, const UNetLayout& layout) {
  int64_t n = 1;  // input_blocks.0 is conv_in
  for (size_t level = 0; level < layout.levels; ++level) {
    const std::string down = "down_blocks." + number(level) + ".";
    for (int64_t layer = 0; layer < layout.layers[level]; ++layer, ++n) {
      const std::string input = "input_blocks." + number(n) + ".";
      blocks.push_back({input + "0.", down + "resnets." + number(layer) + ".", kResnet});
      if (layout.down_attention[level])
        blocks.push_back({input + "1.", down + "attentions." + number(layer) + ".", kTransformer});
    }
    if (level + 1 < layout.levels)
      blocks.push_back({"input_blocks." + number(n++) + ".0.op.", down + "downsamplers.0.conv.", kSame});
  }
}

void add_unet_up(std::vector<Block>& blocks, const UNetLayout& layout) {
  int64_t n = 0;
  for (size_t level = 0; level < layout.levels; ++level) {
    const std::string up = "up_blocks." + number(level) + ".";
    const bool attention = layout.up_attention[level];
    for (int64_t layer = 0; layer <= layout.layers[layout.levels - 1 - level]; ++layer, ++n) {
      const std::string output = "output_blocks." + number(n) + ".";
      blocks.push_back({output + "0.", up + "resnets." + number(layer) + ".", kResnet});
      if (attention)
        blocks.push_back({output + "1.", up + "attentions." + number(layer) + ".", kTransformer});
    }
    if (level + 1 < layout.levels)
      blocks.push_back({"output_blocks." + number(n - 1) + (attention ? ".2.conv." : ".1.conv."),
                        up + "upsamplers.0.conv.", kSame});
  }
}

/// Encoder (side "encoder", stages "down") or decoder ("decoder", "up", whose stages LDM counts from the
/// last).
void add_vae_side(std::vector<Block>& blocks, bool decoder, int64_t levels, int64_t layers) {
  const std::string side = decoder ? "decoder." : "encoder.", stage = decoder ? "up" : "down";
  for (const char* name : {"conv_in.", "conv_out."}) blocks.push_back({side + name, side + name, kSame});
  blocks.push_back({side + "norm_out.", side + "conv_norm_out.", kSame});
  blocks.push_back({side + "mid.block_1.", side + "mid_block.resnets.0.", kVaeResnet});
  blocks.push_back({side + "mid.block_2.", side + "mid_block.resnets.1.", kVaeResnet});
  blocks.push_back({side + "mid.attn_1.", side + "mid_block.attentions.0.", kVaeAttention});
  for (int64_t level = 0; level < levels; ++level) {
    const std::string ldm = side + stage + "." + number(decoder ? levels - 1 - level : level) + ".";
    const std::string ours = side + stage + "_blocks." + number(level) + ".";
    for (int64_t layer = 0; layer < layers + decoder; ++layer)
      blocks.push_back(
          {ldm + "block." + number(layer) + ".", ours + "resnets." + number(layer) + ".", kVaeResnet});
    blocks.push_back({ldm + stage + "sample.conv.", ours + stage + "samplers.0.conv.", kSame});
  }
}

/// The key with prefix `from` replaced by `to`, if it starts with it.
std::optional<KeyMap::Name> rename(std::string_view key, const Block& block, bool to_ldm) {
  const std::string& from = to_ldm ? block.diffusers : block.ldm;
  if (!key.starts_with(from)) return std::nullopt;
  const std::string_view rest = key.substr(from.size());
  for (const KeyRule& rule : block.inner) {
    const std::string_view inner = to_ldm ? rule.diffusers : rule.ldm;
    if (!rest.starts_with(inner) || rest.size() == inner.size()) continue;
    std::string name = to_ldm ? block.ldm : block.diffusers;
    name.append(to_ldm ? rule.ldm : rule.diffusers).append(rest.substr(inner.size()));
    return KeyMap::Name{std::move(name), rule.conv_is_linear};
  }
  return std::nullopt;
}

std::optional<KeyMap::Name> rename(std::string_view key, std::span<const Block> blocks, bool to_ldm) {
  for (const Block& block : blocks)
    if (auto name = rename(key, block, to_ldm)) return name;
  return std::nullopt;
}

/// [out, in, 1] and [out, in, 1, 1] become [out, in].
void drop_kernel(weights::TensorEntry& entry) {
  while (entry.shape.size() > 2 && entry.shape.back() == 1) {
    entry.shape.pop_back();
    if (!entry.strides.empty()) entry.strides.pop_back();
  }
}

/// [out, in] becomes [out, in, 1, 1].
void add_kernel(weights::TensorEntry& entry) {
  if (entry.shape.size() != 2) return;
  entry.shape.insert(entry.shape.end(), {1, 1});
  if (!entry.strides.empty()) entry.strides.insert(entry.strides.end(), {1, 1});
}

KeyMap::Tensors rename_all(const KeyMap::Tensors& tensors, std::span<const Block> blocks, bool to_ldm,
                           std::vector<std::string>& unexpected) {
  KeyMap::Tensors renamed;
  for (const auto& [key, entry] : tensors) {
    const auto name = rename(key, blocks, to_ldm);
    if (!name || renamed.contains(name->key)) {
      unexpected.push_back(key);
      continue;
    }
    weights::TensorEntry& target = renamed[name->key] = entry;
    if (name->conv_is_linear) (to_ldm ? add_kernel : drop_kernel)(target);
  }
  return renamed;
}

}  // namespace

std::optional<KeyMap::Name> KeyMap::to_diffusers(std::string_view key) const {
  return rename(key, blocks_, false);
}
std::optional<KeyMap::Name> KeyMap::to_ldm(std::string_view key) const { return rename(key, blocks_, true); }

KeyMap::Tensors KeyMap::to_diffusers(const Tensors& tensors, std::vector<std::string>& unexpected) const {
  return rename_all(tensors, blocks_, false, unexpected);
}
KeyMap::Tensors KeyMap::to_ldm(const Tensors& tensors, std::vector<std::string>& unexpected) const {
  return rename_all(tensors, blocks_, true, unexpected);
}

KeyMap unet_key_map(const json::object& object, const std::string& where) {
  const Fields config(object, where);
  const UNetLayout layout = unet_layout(config);
  std::vector<Block> blocks;
  add_unet_ends(blocks, config);
  add_unet_down(blocks, layout);
  add_unet_middle(blocks, object, config);
  add_unet_up(blocks, layout);
  return KeyMap(std::move(blocks));
}

KeyMap vae_key_map(const json::object& object, const std::string& where) {
  const Fields config(object, where);
  const auto levels =
      static_cast<int64_t>(config.integers("block_out_channels", {128, 256, 512, 512}).size());
  if (levels < 1 || levels > kMostLevels)
    throw Error(ErrorCode::BadFile, where + ": block_out_channels",
                "expected 1 to " + number(kMostLevels) + " levels, found " + number(levels));
  const int64_t layers = config.integer("layers_per_block", 2, 1, kMostLayers);
  std::vector<Block> blocks;
  add_vae_side(blocks, false, levels, layers);
  add_vae_side(blocks, true, levels, layers);
  for (const char* name : {"quant_conv.", "post_quant_conv."}) blocks.push_back({name, name, kSame});
  return KeyMap(std::move(blocks));
}

const KeyMap& clip_text_key_map() {
  static const KeyMap map({{"", "", kClipText}});
  return map;
}

void modernise_keys(std::string_view class_name, weights::Index& index) {
  std::vector<Block> blocks;
  if (class_name == "AutoencoderKL")
    for (const std::string attention : {"encoder.mid_block.attentions.0.", "decoder.mid_block.attentions.0."})
      blocks.push_back({attention, attention, kOldVaeAttention});
  if (class_name.starts_with("CLIPTextModel")) blocks.push_back({"", "", kClipText});
  KeyMap::Tensors modern;
  for (auto& [key, entry] : index.tensors) {
    const auto name = rename(key, blocks, false);
    const auto [place, added] = modern.emplace(name ? name->key : key, entry);
    if (!added)
      throw Error(ErrorCode::BadFile, index.origin + ": " + place->first,
                  "is there twice, also as '" + key + "'");
    if (name && name->conv_is_linear) drop_kernel(place->second);
  }
  index.tensors = std::move(modern);
}

void refuse_unexpected(const std::string& where, const std::vector<std::string>& keys) {
  constexpr size_t kShown = 8;
  if (keys.empty()) return;
  std::string list;
  for (size_t i = 0; i < std::min(keys.size(), kShown); ++i) list += (i ? ", " : "") + keys[i];
  if (keys.size() > kShown) list += ", …";
  throw Error(ErrorCode::BadFile, where,
              number(keys.size()) + " tensors that the architecture has no place for: " + list,
              "the file may be damaged or of another model; `limn info` says what it looks like");
}

bool is_harmless_buffer(std::string_view key) {
  using std::ranges::any_of;
  return any_of(kHarmlessNames, [&](std::string_view name) { return key == name; }) ||
         any_of(kHarmlessPrefixes, [&](std::string_view prefix) { return key.starts_with(prefix); }) ||
         any_of(kHarmlessSuffixes, [&](std::string_view suffix) { return key.ends_with(suffix); });
}

}  // namespace limn::models
