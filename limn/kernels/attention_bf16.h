// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

namespace limn::kernels {

/// attention-inl.h's score_tile and value_tile for 1, 2, … 14 rows and tiles of 32 queries, with pairs of bfloat16 in
/// place of float32 in `panel` and `lanes`: a word holds two channels, or two keys, the first in its low half.
struct Bf16Tiles {
  using Function = void (*)(const float* panel, const float* lanes, int64_t pairs, float* out,
                            float* top_or_factor);
  std::array<Function, 14> score, value;
};

/// Those of AVX512-BF16; null where the processor lacks it.
const Bf16Tiles* bf16_tiles();

}  // namespace limn::kernels
