// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "limn/kernels/element_type.h"

namespace limn::kernels {

/// pack-inl.h's and tile-inl.h's work with narrow numbers, several to a word, the first in its low bits. A panel is
/// [words of the depth][32 columns]. Rows of a product are always made of the same operations, however many there are.
struct Bf16Panels {
  /// Weights [column][depth] rounded to bfloat16, two a word; of Int8 the integers, without scales. Columns past `columns`
  /// become 0.
  void (*pack)(const Weights& weights, int64_t first_column, int64_t columns, int64_t depth, float* panel);
  /// c[r][32] = Σ a[r][k] · panel[k], in float32
  void (*multiply)(int64_t rows, const uint16_t* a, int64_t a_stride, const float* panel, int64_t depth,
                   float* c);
};

/// Rows in 8 bits: a number is integer · scale.
struct Int8Rows {
  const int8_t* data = nullptr;   // [rows, stride], 0 where the stride passes the depth
  int64_t stride = 0;             // a multiple of 4
  const float* scales = nullptr;  // [rows]
  const int32_t* sums = nullptr;  // [rows], of the integers
};

struct Int8Panels {
  /// Weights [column][depth] of Int8, four a word, each plus 128, as the instruction multiplies unsigned by signed numbers.
  void (*pack)(const int8_t* weights, int64_t columns, int64_t depth, float* panel);
  /// c[r][32] = scale[r] · Σ a[r][k] · weight[k], the sum in integers
  void (*multiply)(int64_t rows, const Int8Rows& a, int64_t first_row, const float* panel, float* c);
};

/// Those of AVX512-BF16 and of AVX512-VNNI; null where the processor lacks it.
const Bf16Panels* bf16_panels();
const Int8Panels* int8_panels();

}  // namespace limn::kernels
