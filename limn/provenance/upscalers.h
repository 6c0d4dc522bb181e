// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <span>
#include <string_view>

namespace limn::provenance {

/// What A1111 calls something of ours.
struct Choice {
  std::string_view label, name;
};

/// Upscalers of second passes; the first is the usual one.
inline std::span<const Choice> upscaler_labels() {
  static constexpr Choice kLabels[] = {{"Latent", "latent"},
                                       {"Latent (antialiased)", "latent_antialiased"},
                                       {"Latent (bicubic)", "latent_bicubic"},
                                       {"Latent (nearest)", "latent_nearest"},
                                       {"Lanczos", "lanczos"}};
  return kLabels;
}

inline std::string_view label_of_upscaler(std::string_view name) {
  const auto labels = upscaler_labels();
  const auto found = std::ranges::find(labels, name, &Choice::name);
  return found == labels.end() ? labels.front().label : found->label;
}

}  // namespace limn::provenance
