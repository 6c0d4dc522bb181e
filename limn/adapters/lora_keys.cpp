// SPDX-License-Identifier: Apache-2.0
#include "limn/adapters/lora_keys.h"

#include <algorithm>

#include "limn/nn/layers.h"

namespace limn::adapters {
namespace {

struct Ending {
  std::string_view text;
  LoraRole role;
};
constexpr Ending kEndings[] = {
    {".lora_down.weight", LoraRole::Down},  // kohya
    {".lora_up.weight", LoraRole::Up},
    {".lora_mid.weight", LoraRole::Mid},
    {".alpha", LoraRole::Alpha},
    {".lora_A.weight", LoraRole::Down},  // PEFT
    {".lora_B.weight", LoraRole::Up},
    {".lora_A.default.weight", LoraRole::Down},
    {".lora_B.default.weight", LoraRole::Up},
    {".lora.down.weight", LoraRole::Down},  // diffusers before PEFT
    {".lora.up.weight", LoraRole::Up},
    {"_lora.down.weight", LoraRole::Down},
    {"_lora.up.weight", LoraRole::Up},
    {".lora_linear_layer.down.weight", LoraRole::Down},
    {".lora_linear_layer.up.weight", LoraRole::Up},
};

struct Kind {
  std::string_view part_of_key, name;
};
constexpr Kind kUnsupported[] = {
    {".dora_scale", "DoRA"},
    {"lora_magnitude_vector", "DoRA"},
    {".hada_", "LoHa"},
    {".lokr_", "LoKr"},
    {".oft_", "OFT"},
    {".on_input", "IA3"},
    {".diff", "full differences"},
    {".set_weight", "patches"},
    {".w_norm", "norms"},
    {".b_norm", "norms"},
    {"bundle_emb.", "bundled embeddings"},
};

std::string with_underscores(std::string name) {
  std::ranges::replace(name, '.', '_');
  return name;
}

}  // namespace

std::string unsupported_kind(const std::string& key) {
  for (const Kind& kind : kUnsupported)
    if (key.find(kind.part_of_key) != std::string::npos) return std::string(kind.name);
  return "";
}

LoraNames::LoraNames(const models::Model& model)
    : unet_names_(models::unet_key_map(model.checkpoint.parts.at("unet").config, "unet")) {
  // The modules only tell their names and shapes here.
  const auto visit = [this](const std::string& part, const nn::Module& module) {
    const_cast<nn::Module&>(module).for_each_module("", [&](const std::string& name, nn::Module& layer) {
      if (const auto* linear = dynamic_cast<const nn::Linear*>(&layer))
        add(part, name, linear->weight.sizes().vec());
      if (const auto* conv = dynamic_cast<const nn::Conv2d*>(&layer))
        add(part, name, conv->weight.sizes().vec());
    });
  };
  visit("unet", *model.unet);
  if (model.text_encoder) visit("text_encoder", *model.text_encoder);
  if (model.text_encoder_2) visit("text_encoder_2", *model.text_encoder_2);
}

void LoraNames::add(const std::string& part, const std::string& module, std::vector<int64_t> shape) {
  const std::pair place(part, module);
  shapes_[place] = std::move(shape);
  const bool unet = part == "unet";
  const bool second = part == "text_encoder_2";
  layers_[(unet ? "lora_unet_" : second ? "lora_te2_" : "lora_te_") + with_underscores(module)] = place;
  if (!unet && !second) layers_["lora_te1_" + with_underscores(module)] = place;
  layers_[part + "." + module] = place;
  layers_["base_model.model." + part + "." + module] = place;
  if (unet) layers_["base_model.model." + module] = place;
  if (const auto ldm = unet ? unet_names_.to_ldm(module + ".weight") : std::nullopt)
    layers_["lora_unet_" + with_underscores(ldm->key.substr(0, ldm->key.rfind('.')))] = place;  // kohya, SDXL
  constexpr std::string_view kOuter = "text_model.";
  if (!unet && module.starts_with(kOuter)) layers_[part + "." + module.substr(kOuter.size())] = place;
  // unet.….attn1.processor.to_q_lora.down.weight
  if (const size_t dot = module.rfind(unet ? ".to_" : "."); unet && dot != std::string::npos) {
    std::string leaf = module.substr(dot + 1);
    if (leaf == "to_out.0") leaf = "to_out";
    layers_[part + "." + module.substr(0, dot) + ".processor." + leaf] = place;
  }
}

std::optional<LoraKey> LoraNames::find(const std::string& key) const {
  for (const Ending& ending : kEndings) {
    if (!key.ends_with(ending.text)) continue;
    const auto found = layers_.find(key.substr(0, key.size() - ending.text.size()));
    if (found != layers_.end()) return LoraKey{found->second.first, found->second.second, ending.role};
  }
  return {};
}

const std::vector<int64_t>& LoraNames::shape_of(const std::string& part, const std::string& module) const {
  return shapes_.at({part, module});
}

}  // namespace limn::adapters
