// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "limn/kernels/element_type.h"

namespace limn::kernels {

/// A 3 × 3 convolution of stride 1 and padding 1; pictures are [batch, height, width, channels], contiguous.
template <typename T>
struct Conv3x3Arguments {
  const T* x = nullptr;
  int64_t batch = 0, height = 0, width = 0, channels = 0;
  /// The input is normalised while it is read: act(x · scale + shift), before padding; null for x as it is.
  const float* scale = nullptr;  // [batch, channels]
  const float* shift = nullptr;  // [batch, channels]
  bool silu = false;             // act is SiLU; only with `scale`
  Weights weight;                // [out_channels, channels, 3, 3], contiguous
  int64_t out_channels = 0;
  const float* bias = nullptr;      // [out_channels]
  const float* addition = nullptr;  // [batch, out_channels], to each pixel: a time embedding
  const T* residual = nullptr;      // as y
  T* y = nullptr;                   // [batch, height, width, out_channels]
};
using Conv3x3Args = Conv3x3Arguments<float>;
using Conv3x3Bf16Args = Conv3x3Arguments<uint16_t>;  // bits of bfloat16

/// Winograd's F(4×4, 3×3): a quarter of the direct method's multiplications. Lavin & Gray 2016, with the points 0, ±√½,
/// ±√2, ∞, which lose half as much precision as 0, ±1, ±2, ∞ (relative L2 1.5e-6 against 3.2e-6 at 320 channels).
/// Weights are transformed at each use, a block at a time: nothing is kept, so nothing can be out of date, and transforming
/// costs less than reading kept ones, four times as large, from memory.
/// A pixel's bits depend on no other picture, nor on the number of threads. Safe to call from several threads.
void winograd_conv3x3(const Conv3x3Args& args);

/// The same on bfloat16 arrays: all is float32 until y is rounded, once, to the nearest even. Rounding what is multiplied,
/// too, would be faster, but the transforms would make the error several times that of y's rounding.
void winograd_conv3x3(const Conv3x3Bf16Args& args);

/// Whether winograd_conv3x3 is faster than a direct convolution, by a model of costs a picture, whatever the batch.
bool winograd_pays(int64_t height, int64_t width, int64_t channels, int64_t out_channels);

}  // namespace limn::kernels
