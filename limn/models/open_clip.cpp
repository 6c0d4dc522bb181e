// SPDX-License-Identifier: Apache-2.0
#include "limn/models/open_clip.h"

#include <algorithm>
#include <charconv>

#include <ATen/ops/cat.h>

#include "limn/base/error.h"
#include "limn/weights/tensor.h"

namespace limn::models {
namespace {

using Tensors = KeyMap::Tensors;
using weights::TensorEntry;

struct Rename {
  std::string_view open_clip, diffusers;
};
constexpr Rename kTop[] = {
    {"positional_embedding", "text_model.embeddings.position_embedding.weight"},
    {"token_embedding.weight", "text_model.embeddings.token_embedding.weight"},
    {"ln_final.weight", "text_model.final_layer_norm.weight"},
    {"ln_final.bias", "text_model.final_layer_norm.bias"},
};
constexpr Rename kLayer[] = {
    {"ln_1.", "layer_norm1."},
    {"ln_2.", "layer_norm2."},
    {"mlp.c_fc.", "mlp.fc1."},
    {"mlp.c_proj.", "mlp.fc2."},
    {"attn.out_proj.", "self_attn.out_proj."},
};
constexpr std::string_view kProjections[] = {"q_proj", "k_proj", "v_proj"};  // in in_proj's order
constexpr std::string_view kBlocks = "transformer.resblocks.", kLayers = "text_model.encoder.layers.";
constexpr std::string_view kTextProjection = "text_projection", kProjectionWeight = "text_projection.weight";

/// "<prefix>12.rest" taken apart; nothing for other keys.
struct LayerKey {
  int64_t layer;
  std::string_view rest;
};
std::optional<LayerKey> layer_key(std::string_view key, std::string_view prefix) {
  if (!key.starts_with(prefix)) return {};
  key.remove_prefix(prefix.size());
  int64_t layer = 0;
  const auto [end, code] = std::from_chars(key.data(), key.data() + key.size(), layer);
  const auto digits = static_cast<size_t>(end - key.data());
  if (code != std::errc() || digits >= key.size() || key[digits] != '.') return {};
  return LayerKey{layer, key.substr(digits + 1)};
}

std::string layer_name(std::string_view prefix, int64_t layer, std::string_view before,
                       std::string_view after) {
  std::string out(prefix);
  return out.append(std::to_string(layer)).append(".").append(before).append(after);
}

TensorEntry transposed(TensorEntry entry) {
  if (entry.shape.size() != 2) return entry;
  if (entry.strides.empty()) entry.strides = {entry.shape[1], 1};
  std::swap(entry.shape[0], entry.shape[1]);
  std::swap(entry.strides[0], entry.strides[1]);
  return entry;
}

/// Row thirds of in_proj_weight or in_proj_bias; empty when it does not divide.
std::vector<TensorEntry> thirds(const TensorEntry& whole) {
  if (whole.shape.empty() || whole.shape[0] % 3 != 0) return {};
  const at::Tensor dense = weights::to_tensor(whole);
  std::vector<TensorEntry> out;
  for (const at::Tensor& part : dense.chunk(3, 0)) out.push_back(weights::to_entry(part));
  return out;
}

/// in_proj_weight → {q,k,v}_proj.weight. False when the key is another one.
bool split_in_proj(Tensors& out, const LayerKey& key, const TensorEntry& entry) {
  constexpr std::string_view kInProj = "attn.in_proj_";
  if (!key.rest.starts_with(kInProj)) return false;
  const auto parts = thirds(entry);
  if (parts.empty()) return false;
  for (size_t i = 0; i < parts.size(); ++i)
    out[layer_name(kLayers, key.layer, "self_attn.", std::string(kProjections[i]) + ".") +
        std::string(key.rest.substr(kInProj.size()))] = parts[i];
  return true;
}

bool rename_layer(Tensors& out, const LayerKey& key, const TensorEntry& entry, bool to_open_clip) {
  for (const Rename& row : kLayer) {
    const std::string_view from = to_open_clip ? row.diffusers : row.open_clip;
    if (!key.rest.starts_with(from)) continue;
    out[layer_name(to_open_clip ? kBlocks : kLayers, key.layer, to_open_clip ? row.open_clip : row.diffusers,
                   key.rest.substr(from.size()))] = entry;
    return true;
  }
  return false;
}

bool rename_top(Tensors& out, std::string_view key, const TensorEntry& entry, bool to_open_clip) {
  for (const Rename& row : kTop) {
    if (key != (to_open_clip ? row.diffusers : row.open_clip)) continue;
    out[std::string(to_open_clip ? row.open_clip : row.diffusers)] = entry;
    return true;
  }
  return false;
}

int64_t layers_of(const Tensors& tensors) {
  int64_t layers = 0;
  for (const auto& [key, entry] : tensors)
    if (const auto found = layer_key(key, kBlocks)) layers = std::max(layers, found->layer + 1);
  return layers;
}

/// q, k and v of all layers, joined again. What is left of a triple stays in `rest`.
void join_in_proj(Tensors& out, Tensors& rest) {
  const Tensors all = rest;
  for (const auto& [key, entry] : all) {
    const auto found = layer_key(key, kLayers);
    constexpr std::string_view kQuery = "self_attn.q_proj.";
    if (!found || !found->rest.starts_with(kQuery)) continue;
    const std::string_view leaf = found->rest.substr(kQuery.size());  // "weight" or "bias"
    std::vector<at::Tensor> parts;
    std::vector<std::string> keys;
    for (std::string_view name : kProjections) {
      keys.push_back(
          layer_name(kLayers, found->layer, "self_attn.", std::string(name) + "." + std::string(leaf)));
      const auto part = all.find(keys.back());
      if (part != all.end()) parts.push_back(weights::to_tensor(part->second));
    }
    if (parts.size() != 3) continue;
    for (const std::string& used : keys) rest.erase(used);
    out[layer_name(kBlocks, found->layer, "attn.in_proj_", leaf)] = weights::to_entry(at::cat(parts, 0));
  }
}

}  // namespace

Tensors open_clip_to_diffusers(const Tensors& tensors, int64_t left_out, bool projected,
                               std::vector<std::string>& unexpected) {
  const int64_t used = layers_of(tensors) - left_out;
  Tensors out;
  for (const auto& [key, entry] : tensors) {
    if (key == kTextProjection) {
      if (projected) out[std::string(kProjectionWeight)] = transposed(entry);
    } else if (const auto layer = layer_key(key, kBlocks)) {
      if (layer->layer < used && !split_in_proj(out, *layer, entry) &&
          !rename_layer(out, *layer, entry, false))
        unexpected.push_back(key);
    } else if (!rename_top(out, key, entry, false)) {
      unexpected.push_back(key);
    }
  }
  return out;
}

Tensors diffusers_to_open_clip(const Tensors& tensors, std::vector<std::string>& unexpected) {
  Tensors out, rest = tensors;
  join_in_proj(out, rest);
  for (const auto& [key, entry] : rest) {
    const auto layer = layer_key(key, kLayers);
    if (key == kProjectionWeight)
      out[std::string(kTextProjection)] = transposed(entry);
    else if (!(layer && rename_layer(out, *layer, entry, true)) && !rename_top(out, key, entry, true))
      unexpected.push_back(key);
  }
  return out;
}

}  // namespace limn::models
