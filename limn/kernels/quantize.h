// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "limn/kernels/element_type.h"

namespace limn::kernels {

/// Weights as ElementType::Int8: scales[row] = max|w| / 127 of the row and out = w / scale, to the nearest (ties to even),
/// in [-127, 127]. Of a convolution a row is an output channel. A row without a normal scale becomes 0, and one with a NaN
/// or an infinity has a scale of NaN: its results are NaN, too. Safe to call from several threads.
/// Source: Jacob et al. 2018, §2.1, with a zero point of 0 and a scale a row, as is usual for weights alone.
/// @param weights  [rows, row_size], contiguous, not Int8
/// @param out      [rows, row_size]
/// @param scales   [rows]
void quantize_rows(const Weights& weights, int64_t rows, int64_t row_size, int8_t* out, float* scales);

}  // namespace limn::kernels
