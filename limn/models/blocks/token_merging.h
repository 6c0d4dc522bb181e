// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

namespace limn::models {

/// Which tokens of a map attention takes as one: token merging for Stable Diffusion (Bolya & Hoffman 2023, §4; matching:
/// Bolya et al. 2022, §3). The upper left token of each 2 × 2 is a destination, the others are sources; the sources that
/// are most like their most similar destination (cosine) go into it. The paper draws the destinations at random; here they
/// are fixed, so that a picture depends on its seed alone.
class TokenMerging {
 public:
  /// @param tokens  [batch, height · width, channels]; each picture of the batch is merged by itself
  /// @param ratio   share of the tokens that go into others, 0 to 1; there are no more than sources
  TokenMerging(const at::Tensor& tokens, int64_t height, int64_t width, double ratio);

  /// The mean of the tokens that are one.  [batch, height · width, channels] → [batch, merged, channels]
  at::Tensor merge(const at::Tensor& tokens) const;
  /// Each token as the one that it went into.  [batch, merged, channels] → [batch, height · width, channels]
  at::Tensor unmerge(const at::Tensor& merged) const;

 private:
  at::Tensor place_;  // int64 [batch · height · width]: row among batch · merged
  at::Tensor count_;  // float32 [batch · merged, 1]: tokens of each
};

}  // namespace limn::models
