// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "limn/base/json.h"
#include "limn/weights/index.h"

namespace limn::models {

/// One fragment of a key in both layouts. `conv_is_linear`: LDM holds a 1×1 convolution's weight [out, in, 1,
/// 1] where diffusers holds a linear layer's [out, in]; the bytes are the same.
struct KeyRule {
  std::string_view ldm, diffusers;
  bool conv_is_linear = false;
};

/// Names of one model's tensors in the LDM layout and in diffusers' layout, both ways. Immutable.
class KeyMap {
 public:
  /// A module's prefix in both layouts, and the rules for what follows it (the first that fits counts).
  struct Block {
    std::string ldm, diffusers;
    std::span<const KeyRule> inner;
  };
  struct Name {
    std::string key;
    bool conv_is_linear = false;
  };
  using Tensors = std::map<std::string, weights::TensorEntry>;

  explicit KeyMap(std::vector<Block> blocks) : blocks_(std::move(blocks)) {}

  /// Nothing when no rule maps the key.
  std::optional<Name> to_diffusers(std::string_view ldm_key) const;
  std::optional<Name> to_ldm(std::string_view diffusers_key) const;

  /// All tensors under their other name and in their other shape. Keys that no rule maps go to `unexpected`.
  Tensors to_diffusers(const Tensors& tensors, std::vector<std::string>& unexpected) const;
  Tensors to_ldm(const Tensors& tensors, std::vector<std::string>& unexpected) const;

 private:
  std::vector<Block> blocks_;
};

/// The map of a UNet2DConditionModel of any block layout, without a prefix such as "model.diffusion_model.".
/// @param config  diffusers' config.json: block_out_channels, layers_per_block, down_block_types,
///                up_block_types, mid_block_type, class_embed_type, addition_embed_type, num_class_embeds
/// @throws Error{BadFile} for fields of the wrong type or out of range
KeyMap unet_key_map(const json::object& config, const std::string& where);

/// The map of an AutoencoderKL, without a prefix. @param config  block_out_channels, layers_per_block
KeyMap vae_key_map(const json::object& config, const std::string& where);

/// The map of a CLIP text model: LDM holds transformers' names; names of before 2022-11 and of transformers 5
/// lack "text_model." and are read too.
const KeyMap& clip_text_key_map();

/// Brings the keys of a diffusers folder's component to the names of diffusers 0.42: the VAE's old attention
/// names (query, key, value, proj_attn), and text models without "text_model.".
/// @param class_name  "AutoencoderKL", "CLIPTextModel", …
void modernise_keys(std::string_view class_name, weights::Index& tensors);

/// @throws Error{BadFile} that lists `keys`, if there are any, as what no rule knows
void refuse_unexpected(const std::string& where, const std::vector<std::string>& keys);

/// Schedule buffers and the like, which are no parameters and may be dropped without a word.
bool is_harmless_buffer(std::string_view key);

}  // namespace limn::models
