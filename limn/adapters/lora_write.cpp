// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <ATen/ops/tensor.h>

#include "limn/adapters/lora.h"
#include "limn/base/named_table.h"
#include "limn/weights/safetensors.h"
#include "limn/weights/tensor.h"

namespace limn::adapters {
namespace {

constexpr LoraLayout kLayouts[] = {
    {"diffusers", "PEFT's names, as diffusers' save_lora_weights writes them"},
    {"kohya", "lora_unet_… and lora_te_…, as AUTOMATIC1111, ComfyUI and kohya's scripts use them"},
};

std::string kohya_prefix(const LoraLayer& layer) {
  std::string name = layer.module;
  std::ranges::replace(name, '.', '_');
  return (layer.part == "unet" ? "lora_unet_" : "lora_te_") + name;
}

/// What PEFT must know besides the tensors: rank and alpha, where layers differ by pattern.
std::string adapter_metadata(std::span<const LoraLayer> layers) {
  json::object out;
  for (const char* part : {"unet", "text_encoder"}) {
    json::object ranks, alphas;
    json::array targets;
    int64_t rank = 0;
    double alpha = 0;
    for (const LoraLayer& layer : layers) {
      if (layer.part != part) continue;
      if (rank == 0) {
        rank = layer.down.size(0);
        alpha = layer.alpha;
      }
      targets.emplace_back(layer.module);
      if (layer.down.size(0) != rank) ranks[layer.module] = layer.down.size(0);
      if (layer.alpha != alpha) alphas[layer.module] = layer.alpha;
    }
    if (rank == 0) continue;
    const std::string prefix = std::string(part) + ".";
    out[prefix + "peft_type"] = "LORA";
    out[prefix + "r"] = rank;
    const auto whole = static_cast<int64_t>(alpha);
    out[prefix + "lora_alpha"] =
        alpha == static_cast<double>(whole) ? json::value(whole) : json::value(alpha);
    out[prefix + "rank_pattern"] = ranks;
    out[prefix + "alpha_pattern"] = alphas;
    out[prefix + "target_modules"] = targets;
    out[prefix + "bias"] = "none";
    out[prefix + "lora_dropout"] = 0.0;
    out[prefix + "use_dora"] = false;
    out[prefix + "use_rslora"] = false;
  }
  return to_text(out);
}

}  // namespace

std::span<const LoraLayout> lora_layouts() { return kLayouts; }

void write_lora(const std::filesystem::path& path, std::span<const LoraLayer> layers, std::string_view layout,
                const std::map<std::string, std::string>& more) {
  const bool kohya = find_named(lora_layouts(), layout, "lora.layout").name == "kohya";
  std::map<std::string, weights::TensorEntry> tensors;
  std::map<std::string, std::string> metadata = more;
  metadata["format"] = "pt";
  for (const LoraLayer& layer : layers) {
    const std::string prefix = kohya ? kohya_prefix(layer) : layer.part + "." + layer.module;
    tensors[prefix + (kohya ? ".lora_down.weight" : ".lora_A.weight")] = weights::to_entry(layer.down);
    tensors[prefix + (kohya ? ".lora_up.weight" : ".lora_B.weight")] = weights::to_entry(layer.up);
    if (layer.mid.defined()) tensors[prefix + ".lora_mid.weight"] = weights::to_entry(layer.mid);
    if (kohya) tensors[prefix + ".alpha"] = weights::to_entry(at::tensor(layer.alpha, at::kFloat));
  }
  if (kohya && !layers.empty()) {
    metadata["ss_network_module"] = "networks.lora";
    metadata["ss_network_dim"] = std::to_string(layers.front().down.size(0));
    metadata["ss_network_alpha"] = std::to_string(layers.front().alpha);
  } else {
    metadata["lora_adapter_metadata"] = adapter_metadata(layers);
  }
  weights::write_safetensors(path, tensors, metadata);
}

}  // namespace limn::adapters
