// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "limn/base/error.h"
#include "limn/weights/index.h"

namespace limn::weights {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kStems[] = {"diffusion_pytorch_model", "model", "pytorch_model"};

/// What stands after the stem: with a variant, `first` + "." + variant + `last`.
struct Ending {
  std::string_view first, last;
};
constexpr Ending kEndings[] = {
    {"", ".safetensors"},
    {".safetensors.index", ".json"},
    {"", ".bin"},
    {".bin.index", ".json"},
};

// The variants people mean when they did not say; others follow in order of name.
constexpr std::string_view kVariants[] = {"fp32", "fp16", "bf16"};

std::vector<std::string> list(const fs::path& folder) {
  std::error_code code;
  std::vector<std::string> names;
  for (fs::directory_iterator entry(folder, code), end; !code && entry != end; entry.increment(code))
    names.push_back(entry->path().filename().string());
  if (code) throw Error(ErrorCode::NotFound, folder.string(), "is no folder that can be listed");
  std::ranges::sort(names);
  return names;
}

/// The variant in `name`, or empty. Shards ("fp16-00001-of-00002") are none.
std::string variant_of(std::string_view name, const std::string& first, std::string_view last) {
  if (!name.starts_with(first + ".") || !name.ends_with(last) ||
      name.size() <= first.size() + 1 + last.size())
    return {};
  const std::string_view variant =
      name.substr(first.size() + 1, name.size() - first.size() - 1 - last.size());
  const bool is_word =
      variant.find("-of-") == std::string_view::npos && variant.find('.') == std::string_view::npos;
  return is_word ? std::string(variant) : "";
}

size_t rank_of(std::string_view variant) {
  return static_cast<size_t>(std::ranges::find(kVariants, variant) - std::begin(kVariants));
}

std::string find_plain(const std::vector<std::string>& names) {
  for (const Ending& ending : kEndings)
    for (std::string_view stem : kStems) {
      const std::string name = std::string(stem) + std::string(ending.first) + std::string(ending.last);
      if (std::ranges::binary_search(names, name)) return name;
    }
  return {};
}

std::string find_variant(const std::vector<std::string>& names) {
  for (const Ending& ending : kEndings)
    for (std::string_view stem : kStems) {
      std::string best, best_variant;
      for (const std::string& name : names) {
        const std::string variant =
            variant_of(name, std::string(stem) + std::string(ending.first), ending.last);
        if (variant.empty() || (!best.empty() && rank_of(variant) >= rank_of(best_variant))) continue;
        best = name;
        best_variant = variant;
      }
      if (!best.empty()) return best;
    }
  return {};
}

}  // namespace

Index open_component_folder(const fs::path& folder) {
  const std::vector<std::string> names = list(folder);
  std::string name = find_plain(names);
  if (name.empty()) name = find_variant(names);
  if (!name.empty()) return open_tensor_file(folder / name);
  std::string found;
  for (size_t i = 0; i < names.size() && i < 8; ++i) found += (i ? ", " : "") + names[i];
  throw Error(
      ErrorCode::NotFound, folder.string(),
      "expected weights named diffusion_pytorch_model, model or pytorch_model (.safetensors, .bin or their "
      ".index.json), found " +
          (found.empty() ? "an empty folder" : found),
      "download the weights of this part of the model");
}

}  // namespace limn::weights
