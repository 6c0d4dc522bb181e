// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "limn/weights/index.h"

namespace limn::models {

/// What a Need's `dimension` may be besides the number of one.
enum : int { kPresent = -1, kRank = -2, kAbsent = -3, kLast = -4 };

/// One condition on a file: some tensor whose name fits `key` ('*' stands for any text) has this size.
/// kRank: `size` dimensions; kLast: the last dimension; kPresent: any shape; kAbsent: no such tensor.
struct Need {
  std::string_view key;
  int dimension = kPresent;
  int64_t size = 0;
};

/// One row of the table of what files can be; the first whose needs are all met counts.
struct IdentifyRule {
  std::string_view kind, detail, family, prediction;
  std::array<Need, 4> needs;  // empty keys are no conditions
};
std::span<const IdentifyRule> identify_rules();

/// Names of families for people; the order has no meaning.
struct FamilyTitle {
  std::string_view name, title;
};
std::span<const FamilyTitle> family_titles();

/// Which family an adapter is for, where its kind's row does not say: the first row of that kind that fits.
struct AdapterFamilyRule {
  std::string_view kind, family;
  Need need;
};
std::span<const AdapterFamilyRule> adapter_family_rules();

/// What sets a denoiser apart from its family's text-to-image model.
struct VariantRule {
  std::string_view variant;
  std::array<Need, 2> needs;
};
std::span<const VariantRule> variant_rules();

/// A prediction that tensors of a file state.
struct PredictionRule {
  std::string_view prediction;
  Need need;
};
std::span<const PredictionRule> prediction_rules();

/// Prefixes of the parts of single files.
struct PartPrefix {
  std::string_view prefix, part;
};
std::span<const PartPrefix> part_prefixes();

/// A file's tensors by name, and once more without the prefixes that wrap a denoiser
/// ("model.diffusion_model."). The index must outlive it.
class NamedTensors {
 public:
  explicit NamedTensors(const weights::Index& index);

  /// A tensor that meets the need; null when there is none. (For kAbsent: see meets.)
  const weights::TensorEntry* find(const Need& need) const;
  /// Whether all needs are met; the decisive names and shapes are added to `evidence`.
  bool meets(std::span<const Need> needs, std::vector<std::string>* evidence = nullptr) const;

 private:
  using Named = std::pair<std::string_view, const weights::TensorEntry*>;
  const Named* find_named(const Need& need) const;
  std::vector<Named> tensors_;  // sorted by name
};

/// Whether `text` fits `pattern`, where '*' stands for any text.
bool fits(std::string_view pattern, std::string_view text);

}  // namespace limn::models
