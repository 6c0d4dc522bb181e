// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace limn::pipelines {

/// Ways to do less that change the picture. The defaults switch them off.
struct Shortcuts {
  /// The deep layers of the U-Net are done at every so manieth call of it; what they made is used again in between:
  /// DeepCache (Ma et al. 2023, §3.2).
  int64_t step_cache = 1;
  /// The last layer of the way down that is done at every call, counted from 0 with downsamplers.
  int64_t step_cache_branch = 0;
  /// Share of the tokens that self-attention takes together with others: models::TokenMerging.
  double token_merging = 0;
};

}  // namespace limn::pipelines
