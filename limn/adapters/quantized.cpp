// SPDX-License-Identifier: Apache-2.0
#include "limn/adapters/quantized.h"

#include "limn/adapters/twin.h"
#include "limn/nn/layers.h"

namespace limn::adapters {

std::shared_ptr<const models::Model> with_int8_weights(const std::shared_ptr<const models::Model>& base,
                                                       bool rounds_inputs) {
  constexpr int64_t kLeastWeights = 1 << 14;
  const auto is_kept = [](const std::string& name) {
    return name == "conv_in" || name == "conv_out" || name.starts_with("time_embedding");
  };
  auto unet = twin_of(*base->unet);
  unet->for_each_module("", [&](const std::string& name, nn::Module& module) {
    if (is_kept(name)) return;
    const auto quantize = [&](auto* layer) {
      if (layer && layer->weight.numel() >= kLeastWeights)
        layer->int8 = nn::Int8Weights::of(layer->weight, rounds_inputs);
    };
    quantize(dynamic_cast<nn::Linear*>(&module));
    quantize(dynamic_cast<nn::Conv2d*>(&module));
  });
  auto out = std::make_shared<models::Model>(*base);
  out->unet = std::move(unet);
  return out;
}

}  // namespace limn::adapters
