// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "limn/kernels/element_type.h"

namespace limn::kernels {

/// Arguments of linear(); arrays are row-major, strides in elements.
template <typename T>
struct LinearArguments {
  const T* x = nullptr;  // [rows, depth]
  int64_t rows = 0, depth = 0, x_stride = 0;
  Weights weight;               // [columns, depth], contiguous
  int64_t columns = 0;          // with `geglu`, of value and gate together: twice y's
  const float* bias = nullptr;  // [columns]
  bool geglu = false;           // y = value · GELU(gate), the first and the second half of the columns
  const T* residual = nullptr;  // [rows, columns of y], added
  int64_t residual_stride = 0;
  T* y = nullptr;  // [rows, columns, or half of them]; may be `residual`
  int64_t y_stride = 0;
  bool int8_x = false;  // x too is rounded to 8 bits, with a scale a row; only for weights of Int8
};
using LinearArgs = LinearArguments<float>;
using LinearBf16Args = LinearArguments<uint16_t>;  // bits of bfloat16

/// y = x Wᵀ + bias, then GEGLU (Shazeer 2020) and the residual where asked. Weights are packed at each use, a block of
/// columns at a time, from the type they lie in: nothing is kept, so nothing can be out of date.
/// A row's bits depend on no other row, nor on the number of threads. Safe to call from several threads.
void linear(const LinearArgs& args);

/// The same on bfloat16 arrays: all is float32 until y is rounded, once, to the nearest even. With AVX512-BF16 weights are
/// rounded to bfloat16 before (of Int8 nothing is lost), and denormal numbers count as 0; elsewhere they are not.
void linear(const LinearBf16Args& args);

/// Whether the processor multiplies integers of 8 bits (AVX512-VNNI): elsewhere `int8_x` changes nothing.
bool multiplies_int8();

/// Whether the processor multiplies pairs of bfloat16 (AVX512-BF16).
bool multiplies_bfloat16();

/// Whether the processor has vectors for which these kernels are written (AVX2, AVX-512, NEON).
bool has_vectors();

}  // namespace limn::kernels
