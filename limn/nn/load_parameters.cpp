// SPDX-License-Identifier: Apache-2.0
#include "limn/nn/load_parameters.h"

#include <set>
#include <vector>

#include "limn/base/error.h"
#include "limn/nn/layers.h"
#include "limn/weights/tensor.h"

namespace limn::nn {
namespace {

constexpr size_t kMostListed = 12;

std::string text_of(at::IntArrayRef shape) {
  std::string out = "[";
  for (int64_t side : shape) out += (out.size() > 1 ? ", " : "") + std::to_string(side);
  return out + "]";
}

std::string listed(const char* what, const std::vector<std::string>& keys) {
  if (keys.empty()) return "";
  std::string out = "\n  " + std::to_string(keys.size()) + " " + what + ":";
  for (size_t i = 0; i < keys.size() && i < kMostListed; ++i) out += "\n    " + keys[i];
  if (keys.size() > kMostListed) out += "\n    … and " + std::to_string(keys.size() - kMostListed) + " more";
  return out;
}

std::set<const at::Tensor*> weights_of_layers(Module& module) {
  std::set<const at::Tensor*> out;
  module.for_each_module("", [&](const std::string&, Module& layer) {
    if (const auto* linear = dynamic_cast<const Linear*>(&layer)) out.insert(&linear->weight);
    if (const auto* conv = dynamic_cast<const Conv2d*>(&layer)) out.insert(&conv->weight);
  });
  return out;
}

}  // namespace

void load_parameters(Module& module, const weights::Index& index, at::ScalarType dtype, at::Device device,
                     const std::string& part, Widening widening) {
  const std::vector<NamedParameter> parameters = module.parameters();
  std::vector<std::string> missing, unexpected, misshaped;
  std::set<std::string> wanted;
  for (const auto& [name, tensor] : parameters) {
    wanted.insert(name);
    const weights::TensorEntry* entry = index.find(name);
    if (!entry)
      missing.push_back(name);
    else if (at::IntArrayRef(entry->shape) != tensor->sizes())
      misshaped.push_back(name + ": expected " + text_of(tensor->sizes()) + ", found " +
                          text_of(entry->shape));
    else if (!weights::info_of(entry->dtype).floating)
      misshaped.push_back(name + ": expected floating point, found " +
                          std::string(weights::info_of(entry->dtype).long_name));
  }
  for (const auto& [name, entry] : index.tensors)
    if (!wanted.contains(name)) unexpected.push_back(name);
  if (!missing.empty() || !unexpected.empty() || !misshaped.empty())
    throw Error(ErrorCode::BadFile, index.origin + ": " + part,
                "its tensors are not those its configuration asks for" + listed("missing", missing) +
                    listed("unexpected", unexpected) + listed("of another shape or type", misshaped));

  const std::set<const at::Tensor*> may_stay_narrow =
      widening == Widening::AtUse ? weights_of_layers(module) : std::set<const at::Tensor*>{};
  for (const auto& [name, tensor] : parameters) {
    const at::Tensor stored = weights::to_tensor(*index.find(name));
    const bool stays = stored.element_size() == 2 && may_stay_narrow.contains(tensor);
    *tensor = stored.to(at::TensorOptions().dtype(stays ? stored.scalar_type() : dtype).device(device))
                  .contiguous();
  }
}

}  // namespace limn::nn
