// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include "limn/models/model.h"

namespace limn::adapters {

/// Low-rank change of one layer: ΔW = (alpha / rank) · up · down (Hu et al. 2021, §4.1).
struct LoraLayer {
  std::string part;    // "unet" or "text_encoder"
  std::string module;  // dotted path of the Linear or Conv2d: "down_blocks.0.attentions.0.…attn1.to_q"
  at::Tensor down;     // [rank, in] or [rank, in, kernel, kernel]
  at::Tensor up;       // [out, rank] or [out, rank, 1, 1]
  at::Tensor mid;      // Tucker's core [rank, rank, kernel, kernel], or undefined
  double alpha = 0;    // rank where the file does not say
};

/// A LoRA file's layers, found in `model`'s own modules. kohya, diffusers and PEFT key layouts, mixed too.
/// @throws Error{BadFile} that lists every tensor that has no place, no partner or another shape; Error{Unsupported}
///         naming kinds limn cannot apply (DoRA, LoHa, LoKr, …)
std::vector<LoraLayer> read_lora(const std::filesystem::path& path, const models::Model& model);

/// One file at one strength.
struct LoraUse {
  std::filesystem::path path;
  double weight = 1.0;
};

/// A model with the changes of `uses` in their order added to its weights. `base` is not touched and shares what is not
/// changed, so taking a LoRA away gives exactly the bits of never having had it.
/// @throws as read_lora
std::shared_ptr<const models::Model> with_loras(const std::shared_ptr<const models::Model>& base,
                                                std::span<const LoraUse> uses);

/// How a LoRA file names its tensors.
struct LoraLayout {
  std::string_view name;  // "kohya", "diffusers"
  std::string_view help;
};
std::span<const LoraLayout> lora_layouts();

/// Writes a LoRA file, whole or not at all. kohya: lora_unet_…, lora_te_…, alpha as tensors, ss_* metadata; diffusers:
/// unet.….lora_A/B.weight with the alphas in the metadata `lora_adapter_metadata`, as save_lora_weights writes them.
/// @param layout    a name of lora_layouts()
/// @param metadata  more keys for the header
void write_lora(const std::filesystem::path& path, std::span<const LoraLayer> layers, std::string_view layout,
                const std::map<std::string, std::string>& metadata = {});

}  // namespace limn::adapters
