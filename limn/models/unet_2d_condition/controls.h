// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include <ATen/core/Tensor.h>

namespace limn::models {

struct DeepFeature;

/// FreeU's four factors (Si et al. 2023): backbone features are strengthened, low frequencies of the skips weakened,
/// in the first two blocks on the way up.
struct FreeU {
  double s1 = 0.9, s2 = 0.2, b1 = 1.5, b2 = 1.6;
};

/// What guidance methods and shortcuts change inside one call of the U-Net. Absent: nothing.
struct UNetControls {
  const FreeU* freeu = nullptr;
  /// Self-attention in these blocks ("mid", "down", "up", "down.1", "up.0", …) becomes the identity for the pictures of
  /// the batch from `identity_from` on: perturbed-attention guidance (Ahn et al. 2024).
  std::set<std::string> identity_blocks;
  int64_t identity_from = 0;
  /// Gets the probabilities of the first self-attention of the middle block, [batch, heads, tokens, tokens], and its
  /// height and width: self-attention guidance (Hong et al. 2023).
  at::Tensor* mid_attention = nullptr;
  int64_t* mid_height = nullptr;
  int64_t* mid_width = nullptr;
  /// The layers below its skip are left out where it has a value; else it gets one.
  DeepFeature* deep = nullptr;
  /// Share of the tokens that self-attention takes together with others, at the finest level that has attention.
  double token_merging = 0;
};

}  // namespace limn::models
