// SPDX-License-Identifier: Apache-2.0
#include "limn/adapters/lora.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/einsum.h>

#include "limn/adapters/lora_keys.h"
#include "limn/adapters/twin.h"
#include "limn/base/error.h"
#include "limn/weights/layout.h"
#include "limn/weights/tensor.h"

namespace limn::adapters {
namespace {

constexpr size_t kMostListed = 12;

struct Pieces {
  at::Tensor down, up, mid;
  std::optional<double> alpha;
};

std::string listed(const char* what, const std::vector<std::string>& keys) {
  if (keys.empty()) return "";
  std::string out = "\n  " + std::to_string(keys.size()) + " " + what + ":";
  for (size_t i = 0; i < keys.size() && i < kMostListed; ++i) out += "\n    " + weights::shown(keys[i]);
  if (keys.size() > kMostListed) out += "\n    … and " + std::to_string(keys.size() - kMostListed) + " more";
  return out;
}

/// Ranks' scales that PEFT keeps beside the tensors: alpha of a part, and of layers that differ.
std::optional<double> alpha_of_metadata(const weights::Index& file, const std::string& part,
                                        const std::string& module) {
  if (const auto found = file.metadata.find("lora_adapter_metadata"); found != file.metadata.end()) {
    const json::value value = parse_json(found->second, file.origin + ": lora_adapter_metadata");
    const json::object* all = value.if_object();
    if (!all) return {};
    if (const json::value* patterns = all->if_contains(part + ".alpha_pattern");
        patterns && patterns->is_object())
      for (const auto& [pattern, alpha] : patterns->as_object())
        if (alpha.is_number() && (module == pattern || module.ends_with("." + std::string(pattern))))
          return alpha.to_number<double>();
    if (const json::value* alpha = all->if_contains(part + ".lora_alpha"); alpha && alpha->is_number())
      return alpha->to_number<double>();
  }
  return {};
}

/// Whether down, up and mid multiply to a change of the layer's shape.
bool fits(const Pieces& p, const std::vector<int64_t>& layer) {
  if (!p.down.defined() || !p.up.defined()) return false;
  const auto down = p.down.sizes(), up = p.up.sizes();
  const bool linear = layer.size() == 2;
  const auto flat = [](at::IntArrayRef s) {
    return s.size() == 2 || (s.size() == 4 && s[2] == 1 && s[3] == 1);
  };
  if (down.size() < 2 || up.size() < 2 || up[0] != layer[0] || down[1] != layer[1] || !flat(up)) return false;
  if (p.mid.defined())
    return !linear && flat(down) && p.mid.dim() == 4 && p.mid.size(0) == up[1] && p.mid.size(1) == down[0] &&
           p.mid.size(2) == layer[2] && p.mid.size(3) == layer[3];
  if (up[1] != down[0]) return false;
  if (linear || flat(down)) return linear ? flat(down) : layer[2] == 1 && layer[3] == 1;
  return down.size() == 4 && down[2] == layer[2] && down[3] == layer[3];
}

/// up · down as the layer's weight has its shape.
at::Tensor product(const LoraLayer& layer, at::IntArrayRef shape) {
  const at::Tensor down = layer.down.to(at::kFloat), up = layer.up.to(at::kFloat).flatten(1);
  if (layer.mid.defined())  // Tucker: LyCORIS, "Kohya's conv with cp decomposition"
    return at::einsum("om,mnkl,ni->oikl", {up, layer.mid.to(at::kFloat), down.flatten(1)});
  return up.matmul(down.flatten(1)).view(shape);
}

/// The module's twin with the changes of its layers added.
template <typename Module>
std::shared_ptr<const Module> changed_twin(const Module& base, const std::string& part,
                                           const std::vector<std::pair<LoraLayer, double>>& changes,
                                           at::ScalarType dtype) {
  std::map<std::string, at::Tensor> sums;
  auto twin = twin_of(base);
  std::map<std::string, at::Tensor> parameters;
  twin->for_each_parameter("", [&](const std::string& name, at::Tensor& t) { parameters[name] = t; });
  for (const auto& [layer, weight] : changes) {
    if (layer.part != part || weight == 0) continue;
    const std::string name = layer.module + ".weight";
    const at::Tensor& original = parameters.at(name);
    const double scale = weight * layer.alpha / static_cast<double>(layer.down.size(0));
    const at::Tensor change = product(layer, original.sizes()).to(original.device()) * scale;
    at::Tensor& sum = sums[name];
    sum = sum.defined() ? sum + change : change;
  }
  twin->for_each_parameter("", [&](const std::string& name, at::Tensor& tensor) {
    if (const auto sum = sums.find(name); sum != sums.end())
      tensor = (tensor.to(at::kFloat) + sum->second).to(dtype);
  });
  return twin;
}

}  // namespace

std::vector<LoraLayer> read_lora(const std::filesystem::path& path, const models::Model& model) {
  const weights::Index file = weights::open_tensor_file(path);
  const LoraNames names(model);
  std::map<std::pair<std::string, std::string>, Pieces> layers;
  std::map<std::string, std::vector<std::string>> kinds;
  std::vector<std::string> homeless, unfit;
  for (const auto& [key, entry] : file.tensors) {
    const auto found = names.find(key);
    if (!found) {
      if (const std::string kind = unsupported_kind(key); !kind.empty())
        kinds[kind].push_back(key);
      else
        homeless.push_back(key);
      continue;
    }
    if (!weights::info_of(entry.dtype).floating && found->role != LoraRole::Alpha) {
      unfit.push_back(key + ": expected floating point");
      continue;
    }
    Pieces& pieces = layers[{found->part, found->module}];
    const at::Tensor tensor = weights::to_tensor(entry);
    if (found->role == LoraRole::Alpha && tensor.numel() != 1)
      unfit.push_back(key + ": expected one number");
    else if (found->role == LoraRole::Alpha)
      pieces.alpha = tensor.to(at::kDouble).item<double>();
    else
      (found->role == LoraRole::Down ? pieces.down
       : found->role == LoraRole::Up ? pieces.up
                                     : pieces.mid) = tensor;
  }
  if (!kinds.empty()) {
    const auto& [kind, keys] = *kinds.begin();
    throw Error(ErrorCode::Unsupported, path.string(),
                "is a " + kind + " file, which limn cannot apply yet" + listed("tensors", keys));
  }
  std::vector<LoraLayer> out;
  for (const auto& [place, pieces] : layers) {
    const auto& [part, module] = place;
    if (!fits(pieces, names.shape_of(part, module))) {
      unfit.push_back(
          part + "." + module + ": " +
          (pieces.down.defined() && pieces.up.defined()
               ? "up " + c10::str(pieces.up.sizes()) + " and down " + c10::str(pieces.down.sizes()) +
                     " do not make the layer's " + weights::shape_text(names.shape_of(part, module))
               : std::string(pieces.down.defined() ? "down without up" : "up or alpha without down")));
      continue;
    }
    const auto beside = pieces.alpha ? pieces.alpha : alpha_of_metadata(file, part, module);
    out.push_back({part, module, pieces.down, pieces.up, pieces.mid,
                   beside.value_or(static_cast<double>(pieces.down.size(0)))});
  }
  if (!homeless.empty() || !unfit.empty() || out.empty())
    throw Error(ErrorCode::BadFile, path.string(),
                "is no LoRA for this model" + listed("tensors without a layer", homeless) +
                    listed("that do not fit", unfit),
                "it may be for another kind of model: `limn info` says which");
  return out;
}

std::shared_ptr<const models::Model> with_loras(const std::shared_ptr<const models::Model>& base,
                                                std::span<const LoraUse> uses) {
  if (uses.empty()) return base;
  const at::NoGradGuard no_grad;
  std::vector<std::pair<LoraLayer, double>> changes;
  for (const LoraUse& use : uses)
    for (LoraLayer& layer : read_lora(use.path, *base)) changes.emplace_back(std::move(layer), use.weight);
  auto out = std::make_shared<models::Model>(*base);
  out->unet = changed_twin(*base->unet, "unet", changes, base->loaded_as.dtype);
  if (base->text_encoder)
    out->text_encoder = changed_twin(*base->text_encoder, "text_encoder", changes, base->loaded_as.dtype);
  if (base->text_encoder_2)
    out->text_encoder_2 =
        changed_twin(*base->text_encoder_2, "text_encoder_2", changes, base->loaded_as.dtype);
  return out;
}

}  // namespace limn::adapters
